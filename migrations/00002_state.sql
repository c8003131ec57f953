-- +goose Up

CREATE TABLE cursors (
    name     text   PRIMARY KEY,
    version  int    NOT NULL,
    position bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

COMMENT ON TABLE  cursors          IS 'How far each follower of the log has come. Moves in the transaction that writes what the follower made of the events.';
COMMENT ON COLUMN cursors.version  IS 'Of the follower that wrote the tables. Another version starts anew.';
COMMENT ON COLUMN cursors.position IS 'Position of the last event applied.';

CREATE TABLE organisations (
    id         text        COLLATE "C" PRIMARY KEY,
    name       text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
    id              text        COLLATE "C" PRIMARY KEY,
    organisation_id text        COLLATE "C" NOT NULL REFERENCES organisations,
    name            text        NOT NULL,
    hash            bytea       NOT NULL UNIQUE,
    hint            text        NOT NULL,
    scopes          text[]      NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz,
    revoked_at      timestamptz
);

COMMENT ON COLUMN api_keys.hash IS 'SHA-256 of the key. The key itself is shown once and kept nowhere.';
COMMENT ON COLUMN api_keys.hint IS 'First and last characters of the key, for people to tell keys apart.';

CREATE TABLE secrets (
    id         text        COLLATE "C" PRIMARY KEY,
    sealed     bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE secrets IS 'What events name but must not hold: tokens, passwords, signing keys. Sealed with AES-256-GCM, the id as additional data.';

CREATE TABLE leases (
    destination_id text        COLLATE "C" NOT NULL,
    dispatch_id    text        COLLATE "C" NOT NULL,
    attempt        int         NOT NULL,
    worker         uuid        NOT NULL,
    expires_at     timestamptz NOT NULL,

    PRIMARY KEY (destination_id, dispatch_id, attempt)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

COMMENT ON TABLE leases IS 'Attempts under way. A lease that has expired may be taken over; its late outcome is then refused by the version of the dispatch''s stream.';

-- +goose Down

DROP TABLE leases;
DROP TABLE secrets;
DROP TABLE api_keys;
DROP TABLE organisations;
DROP TABLE cursors;
