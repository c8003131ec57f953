-- +goose Up

-- Recoveries of destinations, to tell of them.

ALTER TABLE dispatch_targets
    ADD COLUMN missed       boolean NOT NULL DEFAULT false,
    ADD COLUMN broken_since timestamptz,
    ADD COLUMN mended       boolean NOT NULL DEFAULT false;
UPDATE dispatch_targets
SET missed = failures > 0, mended = proven > 0, broken_since = CASE WHEN probe_at IS NOT NULL OR given_up IS NOT NULL THEN failing_since END;

COMMENT ON COLUMN dispatch_targets.missed       IS 'Of the attempts in a row that came to nothing, one was to tell of a company.';
COMMENT ON COLUMN dispatch_targets.broken_since IS 'Its breaker opened, or it was disabled, and it had missed a company: failing_since at that time, until its recovery is recorded. Else null.';
COMMENT ON COLUMN dispatch_targets.mended       IS 'An attempt succeeded since the breaker last opened, or it was disabled.';

-- It finds those too whose recovery is to be recorded.

DROP INDEX dispatch_targets_failing;
CREATE INDEX dispatch_targets_failing ON dispatch_targets (destination_id)
    WHERE probe_at IS NOT NULL OR exhausted > 0 OR given_up IS NOT NULL OR broken_since IS NOT NULL;

-- +goose Down

DROP INDEX dispatch_targets_failing;
CREATE INDEX dispatch_targets_failing ON dispatch_targets (destination_id)
    WHERE probe_at IS NOT NULL OR exhausted > 0 OR given_up IS NOT NULL;
ALTER TABLE dispatch_targets DROP COLUMN missed, DROP COLUMN broken_since, DROP COLUMN mended;
