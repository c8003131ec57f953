-- +goose Up

-- Operational webhooks: of dispatches that failed and destinations that were disabled.

ALTER TABLE dispatch_targets
    ADD COLUMN organisation_id text COLLATE "C",
    ADD COLUMN companies boolean NOT NULL GENERATED ALWAYS AS (coalesce(strpos(config->>'events', '"delivery.company_qualified"') > 0, true)) STORED,
    ADD COLUMN operational text GENERATED ALWAYS AS (nullif(config->>'events', '["delivery.company_qualified"]')) STORED;
UPDATE dispatch_targets t SET organisation_id = v.organisation_id FROM dispatch_deliveries v WHERE v.delivery_id = t.delivery_id;
CREATE INDEX dispatch_targets_operational ON dispatch_targets (organisation_id) WHERE operational IS NOT NULL;

COMMENT ON COLUMN dispatch_targets.companies   IS 'It is told of companies.';
COMMENT ON COLUMN dispatch_targets.operational IS 'What it is told of, if that is not companies alone: a list of names in JSON.';

ALTER TABLE dispatches
    ADD COLUMN event text,
    ALTER COLUMN handover_id DROP NOT NULL;

COMMENT ON COLUMN dispatches.event       IS 'Operational, that it tells of: the type of what is recorded at its position. Null: of a hand-over.';
COMMENT ON COLUMN dispatches.handover_id IS 'That it tells of. Null: of an operational event.';
COMMENT ON COLUMN dispatches.position    IS 'Of the event that it tells of, which holds what is sent.';

-- +goose Down

DELETE FROM dispatches WHERE event IS NOT NULL;
ALTER TABLE dispatches
    ALTER COLUMN handover_id SET NOT NULL,
    DROP COLUMN event;
DROP INDEX dispatch_targets_operational;
ALTER TABLE dispatch_targets DROP COLUMN organisation_id, DROP COLUMN companies, DROP COLUMN operational;
