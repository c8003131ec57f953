-- +goose Up

ALTER TABLE dispatch_targets ADD COLUMN given_up timestamptz;

COMMENT ON COLUMN dispatch_targets.given_up IS 'Disabled since it has failed for too long: failing_since at that time. Else null.';

-- Finds the few destinations that fail, for what is told of breakers, and to judge them. It is led by what never
-- changes: an outcome that changes no column of the condition leaves the index alone.

CREATE INDEX dispatch_targets_failing ON dispatch_targets (destination_id)
    WHERE probe_at IS NOT NULL OR exhausted > 0 OR given_up IS NOT NULL;

-- +goose Down

DROP INDEX dispatch_targets_failing;
ALTER TABLE dispatch_targets DROP COLUMN given_up;
