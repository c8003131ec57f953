-- +goose Up

CREATE TABLE events (
    position       bigint      PRIMARY KEY,
    version        bigint      NOT NULL,
    recorded_at    timestamptz NOT NULL,
    id             uuid        NOT NULL,
    schema_version smallint    NOT NULL,
    stream         text        COLLATE "C" NOT NULL,
    type           text        COLLATE "C" NOT NULL,
    data           json        NOT NULL,
    metadata       json        NOT NULL,
    hash           bytea       NOT NULL,

    UNIQUE (stream, version)
);

COMMENT ON TABLE  events                IS 'The log: every fact of the ledger, in the order in which they were committed. Never changed.';
COMMENT ON COLUMN events.position       IS 'Place in the log: 1, 2, 3, … without a gap.';
COMMENT ON COLUMN events.version        IS 'Place in the stream: 1, 2, 3, … without a gap.';
COMMENT ON COLUMN events.recorded_at    IS 'Strictly rises with the position.';
COMMENT ON COLUMN events.id             IS 'Given by the writer; unique within the stream, so that an append can be repeated safely.';
COMMENT ON COLUMN events.schema_version IS 'Of the data of this type.';
COMMENT ON COLUMN events.data           IS 'json, not jsonb: the hash is over these very bytes.';
COMMENT ON COLUMN events.metadata       IS 'Why and by whom it was recorded. No decision depends on it.';
COMMENT ON COLUMN events.hash           IS 'SHA-256 over the hash before and all other columns of this row.';

CREATE TABLE log_head (
    id          smallint    PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    position    bigint      NOT NULL,
    recorded_at timestamptz NOT NULL,
    hash        bytea       NOT NULL
) WITH (fillfactor = 10);

COMMENT ON TABLE log_head IS 'The last position given out. Who appends holds this row until commit, which makes positions dense and rise in commit order.';

INSERT INTO log_head (position, recorded_at, hash)
VALUES (0, '1970-01-01 00:00:00Z', decode(repeat('00', 32), 'hex'));

-- +goose StatementBegin
CREATE FUNCTION refuse_change_of_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_user = 'ledger_retention' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'the log is append-only: % on % refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;
-- +goose StatementEnd

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_log();

-- +goose Down

DROP TABLE log_head;
DROP TABLE events;
DROP FUNCTION refuse_change_of_log();
