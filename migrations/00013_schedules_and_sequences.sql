-- +goose Up

ALTER TABLE deliveries ADD COLUMN timezone text NOT NULL DEFAULT '';

COMMENT ON COLUMN deliveries.timezone IS 'Of the schedule; empty: UTC.';

-- What a receiver misses is found by its number. By delivery, of which each number has one row for each
-- destination: led by the destination, the index would offer itself for what is owed, which has one of few rows.

CREATE INDEX dispatches_in_sequence ON dispatches (delivery_id, sequence, destination_id);

-- +goose Down

DROP INDEX dispatches_in_sequence;
ALTER TABLE deliveries DROP COLUMN timezone;
