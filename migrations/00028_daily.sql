-- +goose Up

-- Read model "daily": what each delivery does by the day, and for what reasons.

CREATE TABLE daily (
    delivery_id     text    COLLATE "C" NOT NULL,
    destination_id  text    COLLATE "C" NOT NULL,
    day             date    NOT NULL,
    handed_over     bigint  NOT NULL,
    disqualified    bigint  NOT NULL,
    delivered       bigint  NOT NULL,
    failed          bigint  NOT NULL,
    attempts        bigint  NOT NULL,
    failed_attempts bigint  NOT NULL,
    microseconds    numeric NOT NULL,
    times           int[]   NOT NULL,

    PRIMARY KEY (delivery_id, destination_id, day)
) WITH (fillfactor = 50);

COMMENT ON TABLE  daily                IS 'What happened on each day, by destination; a day on which nothing did has no row.';
COMMENT ON COLUMN daily.destination_id IS 'Empty: of the delivery as a whole.';
COMMENT ON COLUMN daily.day            IS 'On which the events were recorded, UTC.';
COMMENT ON COLUMN daily.handed_over    IS 'Companies; of a destination those that its dispatches are for.';
COMMENT ON COLUMN daily.disqualified   IS 'How often a company was; of the delivery as a whole only.';
COMMENT ON COLUMN daily.delivered      IS 'Dispatches, as failed.';
COMMENT ON COLUMN daily.microseconds   IS 'Sum of the times to deliver.';
COMMENT ON COLUMN daily.times          IS 'Number of times to deliver in each class of them, as in stats. time_to_deliver_ms makes percentiles of it.';

CREATE TABLE reasons (
    delivery_id    text   COLLATE "C" NOT NULL,
    destination_id text   COLLATE "C" NOT NULL,
    day            date   NOT NULL,
    kind           text   COLLATE "C" NOT NULL,
    reason         text   COLLATE "C" NOT NULL,
    count          bigint NOT NULL,

    PRIMARY KEY (delivery_id, day, kind, destination_id, reason)
) WITH (fillfactor = 50);

COMMENT ON TABLE  reasons                IS 'How often what happened for which reason, by day.';
COMMENT ON COLUMN reasons.destination_id IS 'Empty: it is about the delivery.';
COMMENT ON COLUMN reasons.day            IS 'On which the events were recorded, UTC.';
COMMENT ON COLUMN reasons.reason         IS 'The first hundred of a day, kind and destination each have a row; empty: all others together.';

CREATE TABLE daily_targets (
    destination_id text COLLATE "C" PRIMARY KEY,
    delivery_id    text COLLATE "C" NOT NULL
);
CREATE INDEX daily_targets_of_delivery ON daily_targets (delivery_id);

COMMENT ON TABLE daily_targets IS 'Webhook destinations as of this read model''s cursor: a company is handed over to those that stand.';

CREATE TABLE daily_rules (
    delivery_id text   COLLATE "C" NOT NULL,
    version     bigint NOT NULL,
    required    text[] NOT NULL,

    PRIMARY KEY (delivery_id, version)
);

COMMENT ON TABLE  daily_rules          IS 'What each version of a delivery''s rules requires: a verdict tells which rules are met, not which had to be.';
COMMENT ON COLUMN daily_rules.required IS 'Names of the rules that disqualify a company which does not meet them.';

-- What time to deliver, in milliseconds, that many percent of those counted by class do not exceed, within 5 %, or half a
-- millisecond in the first class; null when none is counted. A class ends 21/19 times above where it begins, the first at 1 ms.

-- +goose StatementBegin
CREATE FUNCTION time_to_deliver_ms(times int[], percent int) RETURNS double precision
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    total bigint := 0;
    seen  bigint := 0;
    low   bigint := 0;
    high  bigint := 1000;
    n     int;
BEGIN
    FOREACH n IN ARRAY times LOOP
        total := total + n;
    END LOOP;
    FOREACH n IN ARRAY times LOOP
        seen := seen + n;
        IF n > 0 AND seen >= (total * percent + 99) / 100 THEN
            RETURN CASE low WHEN 0 THEN 0.5 ELSE trunc(trunc(2 * low::float8 * high::float8 / (low::float8 + high::float8) * 1000) / 1000) / 1000 END;
        END IF;
        low := high;
        high := high * 21 / 19;
    END LOOP;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- +goose Down

DROP FUNCTION time_to_deliver_ms(int[], int);
DROP TABLE daily_rules;
DROP TABLE daily_targets;
DROP TABLE reasons;
DROP TABLE daily;
DELETE FROM cursors WHERE name = 'daily';
