-- Heads of the tree of records with the timestamps of an authority (RFC 3161).
-- depends: 0008_home_region

CREATE TABLE IF NOT EXISTS tree_timestamps (
    size  bigint      PRIMARY KEY,
    root  bytea       NOT NULL,
    at    timestamptz NOT NULL,
    token bytea       NOT NULL
);

COMMENT ON TABLE tree_timestamps IS 'Replies of a timestamp authority (RFC 3161), each for the signed text of a head';
COMMENT ON COLUMN tree_timestamps.at IS 'Time of the authority';
