-- +goose Up

-- Read model "stats": what each delivery does, by the hour.

CREATE TABLE stats (
    delivery_id     text        COLLATE "C" NOT NULL,
    destination_id  text        COLLATE "C" NOT NULL,
    hour            timestamptz NOT NULL,
    handed_over     bigint      NOT NULL,
    delivered       bigint      NOT NULL,
    failed          bigint      NOT NULL,
    attempts        bigint      NOT NULL,
    failed_attempts bigint      NOT NULL,
    microseconds    numeric     NOT NULL,
    times           int[]       NOT NULL,

    PRIMARY KEY (delivery_id, destination_id, hour)
) WITH (fillfactor = 50);

COMMENT ON TABLE  stats                IS 'What happened in each hour, by destination; an hour in which nothing did has no row.';
COMMENT ON COLUMN stats.destination_id IS 'Empty: of the delivery as a whole, so that its statistics cost the same however many destinations it has.';
COMMENT ON COLUMN stats.hour           IS 'Begin of the hour in which the events were recorded, UTC.';
COMMENT ON COLUMN stats.handed_over    IS 'Companies; of a destination those that its dispatches are for.';
COMMENT ON COLUMN stats.delivered      IS 'Dispatches, as failed.';
COMMENT ON COLUMN stats.microseconds   IS 'Sum of the times to deliver.';
COMMENT ON COLUMN stats.times          IS 'Number of times to deliver in each class of them: element n + 1 counts class n. Classes after the last element are empty.';

CREATE TABLE stats_targets (
    destination_id text COLLATE "C" PRIMARY KEY,
    delivery_id    text COLLATE "C" NOT NULL
);
CREATE INDEX stats_targets_of_delivery ON stats_targets (delivery_id);

COMMENT ON TABLE stats_targets IS 'Webhook destinations as of this read model''s cursor: a company is handed over to those that stand.';

-- +goose Down

DROP TABLE stats_targets;
DROP TABLE stats;
