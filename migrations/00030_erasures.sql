-- +goose Up

-- Read model "erasures": who was erased from what an organisation was told.

CREATE TABLE erasures (
    id              text        COLLATE "C" PRIMARY KEY,
    organisation_id text        COLLATE "C" NOT NULL,
    status          text        NOT NULL,
    subject         json        NOT NULL,
    applied         boolean     NOT NULL DEFAULT false,
    prospects       bigint      NOT NULL DEFAULT 0,
    companies       bigint      NOT NULL DEFAULT 0,
    events          bigint      NOT NULL DEFAULT 0,
    in_clear        bigint      NOT NULL DEFAULT 0,
    version         bigint      NOT NULL,
    started_at      timestamptz NOT NULL,
    ended_at        timestamptz
) WITH (fillfactor = 50);
CREATE INDEX erasures_of_organisation ON erasures (organisation_id, id);
CREATE INDEX erasures_running ON erasures (id) WHERE status = 'running';

COMMENT ON COLUMN erasures.subject  IS 'As in the event that started it. An e-mail address is not in it.';
COMMENT ON COLUMN erasures.applied  IS 'What was found cannot be opened any more.';
COMMENT ON COLUMN erasures.in_clear IS 'Events that were recorded in the clear, by a build that sealed nothing.';

ALTER TABLE organisations
    ADD COLUMN retention_days       int CHECK (retention_days > 0),
    ADD COLUMN retention_applied_at timestamptz;

COMMENT ON COLUMN organisations.retention_days       IS 'For how long what is personal is kept; NULL: for ever.';
COMMENT ON COLUMN organisations.retention_applied_at IS 'When what was older was last erased.';

-- +goose Down

ALTER TABLE organisations DROP COLUMN retention_applied_at, DROP COLUMN retention_days;
DROP TABLE erasures;
