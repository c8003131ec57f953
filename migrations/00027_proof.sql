-- +goose Up

CREATE TABLE tree_hashes (
    index bigint PRIMARY KEY,
    hash  bytea  NOT NULL
);

COMMENT ON TABLE  tree_hashes       IS 'The Merkle tree over the hashes of the log, from the roots of 256 records each upwards. Made from the log by the follower "tree".';
COMMENT ON COLUMN tree_hashes.index IS 'Stored-hash index, as golang.org/x/mod/sumdb/tlog has it, in a tree whose leaves are those roots.';

CREATE TABLE checkpoints (
    size      bigint      PRIMARY KEY,
    note      text        NOT NULL,
    signed_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX checkpoints_by_time ON checkpoints (signed_at);

COMMENT ON TABLE  checkpoints      IS 'What was signed about the log. State, not made from the log: what others were told cannot be told anew. No rebuild touches it.';
COMMENT ON COLUMN checkpoints.size IS 'How many records the tree was over.';
COMMENT ON COLUMN checkpoints.note IS 'The signed note, byte for byte.';

-- +goose Down

DROP TABLE checkpoints;
DELETE FROM secrets WHERE id = 'checkpoint_key';
DROP TABLE tree_hashes;
DELETE FROM cursors WHERE name = 'tree';
