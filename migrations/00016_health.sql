-- +goose Up

-- How destinations have answered of late, for the breaker.

ALTER TABLE dispatch_targets
    ADD COLUMN failures      int    NOT NULL DEFAULT 0,
    ADD COLUMN failing_since timestamptz,
    ADD COLUMN probe_at      timestamptz,
    ADD COLUMN proven        bigint NOT NULL DEFAULT 0,
    ADD COLUMN exhausted     int    NOT NULL DEFAULT 0;

COMMENT ON COLUMN dispatch_targets.failures      IS 'Attempts in a row that came to nothing.';
COMMENT ON COLUMN dispatch_targets.failing_since IS 'When the outcome of the first of them was recorded.';
COMMENT ON COLUMN dispatch_targets.probe_at      IS 'When one attempt may be made again; null while the breaker is closed.';
COMMENT ON COLUMN dispatch_targets.proven        IS 'Attempts that succeeded since the breaker was last open, or the destination was set. It may have that many under way, and two.';
COMMENT ON COLUMN dispatch_targets.exhausted     IS 'Dispatches that failed for good since an attempt last succeeded.';

-- +goose Down

ALTER TABLE dispatch_targets
    DROP COLUMN failures, DROP COLUMN failing_since, DROP COLUMN probe_at, DROP COLUMN proven, DROP COLUMN exhausted;
