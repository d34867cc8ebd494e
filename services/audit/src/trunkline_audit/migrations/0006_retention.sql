-- Records go to archives: their bytes leave the table, their leaves stay.
-- depends: 0005_tree

CREATE TABLE IF NOT EXISTS archive_runs (
    name        text        PRIMARY KEY,
    as_of       timestamptz NOT NULL,
    size        bigint      NOT NULL,
    location    text        NOT NULL,
    verified_at timestamptz
);

COMMENT ON TABLE archive_runs IS 'Runs of retention; records of a run that is not verified are never trimmed';
COMMENT ON COLUMN archive_runs.as_of IS 'Time of the run, from which ages count';
COMMENT ON COLUMN archive_runs.size IS 'Size of the signed head that the proofs lead to';
COMMENT ON COLUMN archive_runs.verified_at IS 'When manifest and objects had been read back and verified';

CREATE TABLE IF NOT EXISTS archive_objects (
    id         bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run        text    NOT NULL REFERENCES archive_runs,
    number     integer NOT NULL,
    name       text    NOT NULL,
    sha256     text    NOT NULL,
    bytes      bigint  NOT NULL,
    records    integer NOT NULL,
    first_leaf bigint  NOT NULL,
    last_leaf  bigint  NOT NULL,
    UNIQUE (run, number)
);

COMMENT ON TABLE archive_objects IS 'Objects of archives, with the SHA-256 of their compressed bytes in hex';

CREATE TABLE IF NOT EXISTS archived_conversations (
    conversation  text        PRIMARY KEY,
    region        text        NOT NULL,
    tenant        text,
    customer      text,
    trimmed_at    timestamptz,
    has_marker    boolean     NOT NULL DEFAULT true
);

COMMENT ON TABLE archived_conversations IS 'Conversations with records in an archive';
COMMENT ON COLUMN archived_conversations.trimmed_at IS 'When their log was trimmed to its last commit, the marker';

ALTER TABLE messages ADD COLUMN IF NOT EXISTS archived bigint REFERENCES archive_objects;
ALTER TABLE messages ALTER COLUMN raw DROP NOT NULL;

COMMENT ON COLUMN messages.archived IS 'Object of an archive that has the record; null if none';
COMMENT ON COLUMN messages.raw IS 'The bytes themselves: the truth; null once they are in an archive only';

CREATE INDEX IF NOT EXISTS messages_closed ON messages (conversation)
WHERE archived IS NULL AND stream = 'CONVERSATIONS' AND subject LIKE 'conv.%.closed';

CREATE INDEX IF NOT EXISTS messages_single ON messages (leaf)
WHERE archived IS NULL AND stream IN ('NOTICES', 'DEAD_LETTERS', 'VIEWS');

CREATE INDEX IF NOT EXISTS messages_archived ON messages (archived) WHERE archived IS NOT NULL AND raw IS NOT NULL;
CREATE INDEX IF NOT EXISTS messages_in_archive ON messages (archived) WHERE archived IS NOT NULL;
