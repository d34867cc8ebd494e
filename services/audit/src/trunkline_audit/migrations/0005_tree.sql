-- The records as leaves of a Merkle tree (RFC 6962), whose signed heads an auditor keeps: no row can be changed unseen.
-- depends: 0004_writers

ALTER TABLE messages ADD COLUMN IF NOT EXISTS leaf bigint;

COMMENT ON COLUMN messages.leaf IS 'Number in the tree of records, from 0; null until an older row is numbered';

CREATE UNIQUE INDEX IF NOT EXISTS messages_by_leaf ON messages (leaf);

CREATE TABLE IF NOT EXISTS tree_tiles (
    level  smallint NOT NULL,
    number bigint   NOT NULL,
    hashes bytea    NOT NULL,
    root   bytea    NOT NULL,
    PRIMARY KEY (level, number)
);

COMMENT ON TABLE tree_tiles IS 'Full tiles: 256 hashes of leaves on level 0, of the roots of tiles of the level below on others';

CREATE TABLE IF NOT EXISTS tree_heads (
    size      bigint      PRIMARY KEY,
    log       text        NOT NULL,
    root      bytea       NOT NULL,
    at        timestamptz NOT NULL,
    key       text        NOT NULL,
    signature bytea       NOT NULL
);

COMMENT ON TABLE tree_heads IS 'Roots of the tree at a size, signed with the Ed25519 key of that name; unsigned without one';

CREATE TABLE IF NOT EXISTS tree_keys (
    name   text  PRIMARY KEY,
    public bytea NOT NULL
);

COMMENT ON TABLE tree_keys IS 'Public keys of the heads: Ed25519, 32 bytes; the name is the beginning of their SHA-256';

CREATE TABLE IF NOT EXISTS trees (
    name        text    PRIMARY KEY,
    is_numbered boolean NOT NULL
);

COMMENT ON TABLE trees IS 'Whether the rows that are older than the tree all have their numbers';
