-- +goose Up

-- Builds that do not know of sealed prospects would send them to customers as they are. They claim by this column, and can no more.

ALTER TABLE leases RENAME COLUMN expires_at TO ends_at;

-- +goose Down

ALTER TABLE leases RENAME COLUMN ends_at TO expires_at;
