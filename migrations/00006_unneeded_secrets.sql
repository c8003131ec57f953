-- +goose Up

ALTER TABLE secrets ADD COLUMN unneeded_since timestamptz;

COMMENT ON COLUMN secrets.unneeded_since IS 'When no destination was found to name it any more. It is deleted a while later, when nothing that was under way can need it.';

-- +goose Down

ALTER TABLE secrets DROP COLUMN unneeded_since;
