-- The region whose records a database holds: the first process that writes claims it, others are refused.
-- depends: 0007_customers

CREATE TABLE IF NOT EXISTS home_region (
    id     boolean PRIMARY KEY DEFAULT true CHECK (id),
    region text    NOT NULL
);

COMMENT ON TABLE home_region IS 'The only region whose records this database holds';
