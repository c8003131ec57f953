-- +goose Up

-- Finds the few destinations that fail, for what is told of breakers. It is led by what never changes: an
-- outcome that changes neither column of the condition leaves the index alone.

CREATE INDEX dispatch_targets_failing ON dispatch_targets (destination_id) WHERE probe_at IS NOT NULL OR exhausted > 0;

-- +goose Down

DROP INDEX dispatch_targets_failing;
