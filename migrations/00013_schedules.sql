-- +goose Up

ALTER TABLE deliveries ADD COLUMN timezone text NOT NULL DEFAULT '';

COMMENT ON COLUMN deliveries.timezone IS 'Of the schedule; empty: UTC.';

-- +goose Down

ALTER TABLE deliveries DROP COLUMN timezone;
