-- +goose Up

CREATE TABLE subject_keys (
    organisation_id text        COLLATE "C" NOT NULL,
    number          bigint      NOT NULL,
    sealed          bytea,
    begun_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    cleared_to      bigint      NOT NULL DEFAULT 0,

    PRIMARY KEY (organisation_id, number)
);
ALTER TABLE subject_keys ALTER COLUMN sealed SET STORAGE EXTERNAL;

COMMENT ON TABLE  subject_keys            IS 'Keys under which events hold personal data, by organisation. What is destroyed here cannot be read any more, in whatever copy of the log. No rebuild touches it.';
COMMENT ON COLUMN subject_keys.number     IS '1, 2, 3, …: the newest seals. 0 seals nothing: it says what was erased of events that were recorded in the clear.';
COMMENT ON COLUMN subject_keys.sealed     IS 'What is left of the key, sealed like a secret; null: nothing, it was destroyed.';
COMMENT ON COLUMN subject_keys.cleared_to IS 'Of number 0: events in the clear up to this position count as erased.';

-- +goose Down

DROP TABLE subject_keys;
