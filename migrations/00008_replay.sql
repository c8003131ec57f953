-- +goose Up

-- Dispatches that are attempted again. What a job replays goes in a lane of its own, behind the others.

ALTER TABLE dispatches
    ADD COLUMN base     int     NOT NULL DEFAULT 0,
    ADD COLUMN replayed boolean NOT NULL DEFAULT false,
    DROP COLUMN lane;
ALTER TABLE dispatches
    ADD COLUMN lane smallint NOT NULL GENERATED ALWAYS AS (CASE WHEN replayed THEN 2 WHEN attempts > 0 THEN 1 ELSE 0 END) STORED;
CREATE INDEX dispatches_owed ON dispatches (destination_id, lane, due, sequence) WHERE due IS NOT NULL;

COMMENT ON COLUMN dispatches.base     IS 'Attempts made before somebody last asked for it to be retried: the schedule counts from here. What is owed is pending while attempts are as many.';
COMMENT ON COLUMN dispatches.replayed IS 'A job asked last.';
COMMENT ON COLUMN dispatches.lane     IS '0: fresh, 1: to be retried, 2: replayed by a job.';

-- +goose Down

ALTER TABLE dispatches DROP COLUMN lane, DROP COLUMN replayed, DROP COLUMN base;
ALTER TABLE dispatches
    ADD COLUMN lane smallint NOT NULL GENERATED ALWAYS AS (CASE WHEN attempts > 0 THEN 1 ELSE 0 END) STORED;
CREATE INDEX dispatches_owed ON dispatches (destination_id, lane, due, sequence) WHERE due IS NOT NULL;
