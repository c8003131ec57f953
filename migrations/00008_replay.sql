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

-- Read model "replays": the jobs that replay dispatches.

CREATE TABLE replays (
    id          text        COLLATE "C" PRIMARY KEY,
    delivery_id text        COLLATE "C" NOT NULL,
    status      text        NOT NULL,
    filter      json        NOT NULL,
    count       bigint      NOT NULL,
    replayed    bigint      NOT NULL DEFAULT 0,
    version     bigint      NOT NULL,
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz
) WITH (fillfactor = 50);
CREATE INDEX replays_of_delivery ON replays (delivery_id, id);
CREATE INDEX replays_running ON replays (id) WHERE status = 'running';

COMMENT ON COLUMN replays.count    IS 'Dispatches that were found when the job was started.';
COMMENT ON COLUMN replays.replayed IS 'Dispatches that the job has had attempted again, by their own events.';

-- +goose Down

DROP TABLE replays;

ALTER TABLE dispatches DROP COLUMN lane, DROP COLUMN replayed, DROP COLUMN base;
ALTER TABLE dispatches
    ADD COLUMN lane smallint NOT NULL GENERATED ALWAYS AS (CASE WHEN attempts > 0 THEN 1 ELSE 0 END) STORED;
CREATE INDEX dispatches_owed ON dispatches (destination_id, lane, due, sequence) WHERE due IS NOT NULL;
