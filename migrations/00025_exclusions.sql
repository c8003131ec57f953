-- +goose Up

-- Of the read model "deliveries": what organisations exclude from them, for those who look at it. What is decided is
-- decided on the log.

CREATE TABLE exclusions (
    organisation_id text        COLLATE "C" NOT NULL,
    id              text        COLLATE "C" NOT NULL,
    position        bigint      NOT NULL,
    kind            text        COLLATE "C" NOT NULL,
    value           text        NOT NULL,
    reason          text        NOT NULL,
    version         bigint      NOT NULL,
    created_at      timestamptz NOT NULL,

    PRIMARY KEY (organisation_id, id)
);
CREATE INDEX exclusions_in_order ON exclusions (organisation_id, position);
CREATE INDEX exclusions_of_kind ON exclusions (organisation_id, kind, position);

COMMENT ON COLUMN exclusions.position IS 'Of the event that added it, by which they are listed.';
COMMENT ON COLUMN exclusions.version  IS 'Of the exclusion''s stream: its ETag.';

CREATE TABLE exclusion_totals (
    organisation_id text   COLLATE "C" NOT NULL,
    kind            text   COLLATE "C" NOT NULL,
    total           bigint NOT NULL,

    PRIMARY KEY (organisation_id, kind)
);

COMMENT ON TABLE exclusion_totals IS 'How many exclusions there are, kept rather than counted.';

-- For what happened to a company, which is looked up under all deliveries of an organisation.

CREATE INDEX dispatch_deliveries_of_organisation ON dispatch_deliveries (organisation_id);

-- +goose Down

DROP INDEX dispatch_deliveries_of_organisation;
DROP TABLE exclusion_totals;
DROP TABLE exclusions;
