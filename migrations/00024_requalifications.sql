-- +goose Up

-- Read model "requalifications": the jobs that judge recorded companies again.

CREATE TABLE requalifications (
    id              text        COLLATE "C" PRIMARY KEY,
    delivery_id     text        COLLATE "C" NOT NULL,
    status          text        NOT NULL,
    obstacle        text        NOT NULL DEFAULT '',
    filter          json        NOT NULL,
    profile_version bigint      NOT NULL,
    count           bigint      NOT NULL,
    seen            bigint      NOT NULL DEFAULT 0,
    qualified       bigint      NOT NULL DEFAULT 0,
    disqualified    bigint      NOT NULL DEFAULT 0,
    excluded        bigint      NOT NULL DEFAULT 0,
    version         bigint      NOT NULL,
    started_at      timestamptz NOT NULL,
    ended_at        timestamptz
) WITH (fillfactor = 50);
CREATE INDEX requalifications_of_delivery ON requalifications (delivery_id, id);
CREATE INDEX requalifications_running ON requalifications (id) WHERE status = 'running';

COMMENT ON COLUMN requalifications.obstacle IS 'Why it stopped, where it did.';
COMMENT ON COLUMN requalifications.count    IS 'Disqualifications that were found when the job was started.';
COMMENT ON COLUMN requalifications.seen     IS 'Of these, looked at so far. A company with several is judged once.';

-- +goose Down

DROP TABLE requalifications;
