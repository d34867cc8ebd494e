-- The process that writes the archive. A lease needs no session, so that connections may be pooled per transaction.
-- depends: 0003_answers

CREATE TABLE IF NOT EXISTS writers (
    name       text        PRIMARY KEY,
    holder     text        NOT NULL,
    epoch      bigint      NOT NULL,
    expires_at timestamptz NOT NULL
);

COMMENT ON TABLE writers IS 'Lease of the only process that writes: each transaction renews it and checks its epoch';

-- Messages that PostgreSQL refused in every form. Each stays in its stream until that removes it.
CREATE TABLE IF NOT EXISTS skipped (
    stream     text        NOT NULL,
    sequence   bigint      NOT NULL,
    at         timestamptz NOT NULL,
    reason     text        NOT NULL,
    skipped_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stream, sequence, at)
);

COMMENT ON TABLE skipped IS 'Messages that could not be stored, with the class of the error';
