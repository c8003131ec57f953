-- +goose Up

-- Read model "deliveries": what customers configured.

CREATE TABLE deliveries (
    id                 text        COLLATE "C" PRIMARY KEY,
    organisation_id    text        COLLATE "C" NOT NULL,
    name               text        NOT NULL,
    status             text        NOT NULL,
    schedule           text        NOT NULL,
    prospect_search_id text        COLLATE "C" NOT NULL,
    version            bigint      NOT NULL,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL
);
CREATE INDEX deliveries_of_organisation ON deliveries (organisation_id, id);
CREATE INDEX deliveries_of_search ON deliveries (prospect_search_id);

COMMENT ON COLUMN deliveries.version IS 'Of the delivery''s stream: its ETag.';

CREATE TABLE destinations (
    id              text        COLLATE "C" PRIMARY KEY,
    delivery_id     text        COLLATE "C" NOT NULL,
    config          json        NOT NULL,
    disabled_reason text        NOT NULL DEFAULT '',
    version         bigint      NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
CREATE INDEX destinations_of_delivery ON destinations (delivery_id, id);

COMMENT ON COLUMN destinations.config  IS 'As in the event that set it. Names secrets, holds none.';
COMMENT ON COLUMN destinations.version IS 'Of the delivery''s stream when this destination last changed: its ETag.';

-- Read model "companies": the pull feed.

CREATE TABLE companies (
    delivery_id        text        COLLATE "C" NOT NULL,
    delivery_number    bigint      NOT NULL,
    prospect_search_id text        COLLATE "C" NOT NULL,
    search_number      bigint,
    position           bigint      NOT NULL,
    delivered_at       timestamptz NOT NULL,
    score              smallint    NOT NULL,
    handover_id        text        COLLATE "C" NOT NULL,
    company_id         text        COLLATE "C" NOT NULL,
    company            json        NOT NULL,
    prospects          json        NOT NULL,
    match_reasons      json        NOT NULL,

    PRIMARY KEY (delivery_id, delivery_number)
);
CREATE UNIQUE INDEX companies_of_search ON companies (prospect_search_id, search_number) WHERE search_number IS NOT NULL;
CREATE UNIQUE INDEX companies_once_in_search ON companies (prospect_search_id, company_id) WHERE search_number IS NOT NULL;

COMMENT ON TABLE  companies                 IS 'Companies handed over, one row for each delivery they were handed over under.';
COMMENT ON COLUMN companies.delivery_number IS 'Place in the delivery''s feed: 1, 2, 3, … without a gap, so that an offset is a look-up.';
COMMENT ON COLUMN companies.search_number   IS 'Place in the search''s feed, likewise; null when the search had the company before.';

-- Read model "dispatches": what is owed to whom, and what became of it.

CREATE TABLE dispatch_deliveries (
    delivery_id     text    COLLATE "C" PRIMARY KEY,
    organisation_id text    COLLATE "C" NOT NULL,
    paused          boolean NOT NULL
);

COMMENT ON TABLE  dispatch_deliveries        IS 'Deliveries as of this read model''s cursor.';
COMMENT ON COLUMN dispatch_deliveries.paused IS 'What is owed is held: it keeps its place and its due time.';

CREATE TABLE dispatch_targets (
    destination_id text    COLLATE "C" PRIMARY KEY,
    delivery_id    text    COLLATE "C" NOT NULL,
    config         json    NOT NULL,
    version        bigint  NOT NULL,
    disabled       boolean NOT NULL DEFAULT false,
    removed        boolean NOT NULL DEFAULT false,
    last_sequence  bigint  NOT NULL DEFAULT 0,
    pending        bigint  NOT NULL DEFAULT 0,
    retrying       bigint  NOT NULL DEFAULT 0,
    delivered      bigint  NOT NULL DEFAULT 0,
    failed         bigint  NOT NULL DEFAULT 0,
    cancelled      bigint  NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE INDEX dispatch_targets_of_delivery ON dispatch_targets (delivery_id);

COMMENT ON TABLE  dispatch_targets          IS 'Webhook destinations as of this read model''s cursor: a hand-over is owed to those that stood at its position. With the number of their dispatches by status.';
COMMENT ON COLUMN dispatch_targets.version  IS 'Of the delivery''s stream when config was set. Workers reload what they cached by it.';
COMMENT ON COLUMN dispatch_targets.disabled IS 'What is owed is held, as if its delivery were paused.';

CREATE TABLE dispatches (
    id              text        COLLATE "C" PRIMARY KEY,
    sequence        bigint      NOT NULL,
    position        bigint      NOT NULL,
    version         bigint      NOT NULL DEFAULT 0,
    due             timestamptz,
    settled_at      timestamptz,
    attempts        int         NOT NULL DEFAULT 0,
    lane            smallint    NOT NULL GENERATED ALWAYS AS (CASE WHEN attempts > 0 THEN 1 ELSE 0 END) STORED,
    status          text        NOT NULL DEFAULT 'pending',
    destination_id  text        COLLATE "C" NOT NULL,
    delivery_id     text        COLLATE "C" NOT NULL,
    handover_id     text        COLLATE "C" NOT NULL
);
CREATE INDEX dispatches_of_handover ON dispatches (handover_id);
CREATE INDEX dispatches_owed ON dispatches (destination_id, lane, due, sequence) WHERE due IS NOT NULL;

COMMENT ON COLUMN dispatches.sequence   IS 'Place among the destination''s dispatches: 1, 2, 3, … without a gap.';
COMMENT ON COLUMN dispatches.position   IS 'Of the hand-over''s event, which holds what is sent.';
COMMENT ON COLUMN dispatches.version    IS 'Of the dispatch''s stream. An outcome is recorded only on this version.';
COMMENT ON COLUMN dispatches.due        IS 'When the next attempt may be made; null when none is owed.';
COMMENT ON COLUMN dispatches.lane       IS '0: fresh, 1: to be retried.';
COMMENT ON COLUMN dispatches.settled_at IS 'When it was delivered, failed or cancelled.';

-- +goose Down

DROP TABLE dispatches;
DROP TABLE dispatch_targets;
DROP TABLE dispatch_deliveries;
DROP TABLE companies;
DROP TABLE destinations;
DROP TABLE deliveries;
