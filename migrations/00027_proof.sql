-- +goose Up

CREATE TABLE tree_hashes (
    index bigint PRIMARY KEY,
    hash  bytea  NOT NULL
);

COMMENT ON TABLE  tree_hashes       IS 'The Merkle tree over the hashes of the log, from the roots of 256 records each upwards. Made from the log by the follower "tree".';
COMMENT ON COLUMN tree_hashes.index IS 'Stored-hash index, as golang.org/x/mod/sumdb/tlog has it, in a tree whose leaves are those roots.';

-- +goose Down

DROP TABLE tree_hashes;
DELETE FROM cursors WHERE name = 'tree';
