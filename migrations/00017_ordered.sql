-- +goose Up

-- Destinations that get one dispatch after the other, by sequence.

ALTER TABLE dispatch_targets
    ADD COLUMN ordered boolean NOT NULL GENERATED ALWAYS AS (coalesce((config->>'ordered')::boolean, false)) STORED;
ALTER TABLE dispatches
    ADD COLUMN ordered boolean NOT NULL DEFAULT false;
CREATE INDEX dispatches_ordered ON dispatches (destination_id, sequence) WHERE due IS NOT NULL AND ordered;

COMMENT ON COLUMN dispatch_targets.ordered IS 'A dispatch is attempted when all before it have ended.';
COMMENT ON COLUMN dispatches.ordered       IS 'Its destination is, as long as something is owed. Of those, the first by sequence may be attempted.';

-- +goose Down

DROP INDEX dispatches_ordered;
ALTER TABLE dispatches DROP COLUMN ordered;
ALTER TABLE dispatch_targets DROP COLUMN ordered;
