-- +goose Up

CREATE TABLE idempotency_keys (
    organisation_id text        COLLATE "C" NOT NULL,
    key             text        COLLATE "C" NOT NULL,
    request         bytea       NOT NULL,
    seed            bytea       NOT NULL,
    answer          bytea,
    worker          uuid        NOT NULL,
    held_until      timestamptz NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),

    PRIMARY KEY (organisation_id, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

COMMENT ON TABLE  idempotency_keys            IS 'Requests made under an Idempotency-Key, and their answers. Kept for a day.';
COMMENT ON COLUMN idempotency_keys.request    IS 'SHA-256 of what was asked for. Sealed, since what was asked for may hold a secret that can be guessed.';
COMMENT ON COLUMN idempotency_keys.seed       IS 'What the IDs and secrets that the request makes are functions of, so that doing it again after a crash makes the same. Sealed.';
COMMENT ON COLUMN idempotency_keys.answer     IS 'Sealed, since it may show a secret. Null while there is none.';
COMMENT ON COLUMN idempotency_keys.held_until IS 'Until when the worker alone works on it.';

-- +goose Down

DROP TABLE idempotency_keys;
