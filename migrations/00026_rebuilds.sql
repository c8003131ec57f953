-- +goose Up

-- Rebuilds of read models. Their tables are built beside the ones that are read, and take their place when they are complete.

CREATE SCHEMA IF NOT EXISTS shadow;

COMMENT ON SCHEMA shadow IS 'Tables of read models that are being rebuilt, under the names that they will have.';

CREATE TABLE rebuilds (
    name       text        PRIMARY KEY,
    version    int         NOT NULL,
    position   bigint      NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 10);

COMMENT ON TABLE  rebuilds          IS 'Rebuilds that have begun and not ended, by read model: how far its tables in the schema shadow are.';
COMMENT ON COLUMN rebuilds.version  IS 'Of the read model that is built.';
COMMENT ON COLUMN rebuilds.position IS 'Of the last event applied to them. Moves in the transaction that applies it.';

-- +goose Down

DROP TABLE rebuilds;
DROP SCHEMA IF EXISTS shadow CASCADE;
