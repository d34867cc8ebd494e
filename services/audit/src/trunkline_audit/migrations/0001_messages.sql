-- Every protocol message, as its stream held it.
-- It can be repeated: a process may have been killed before the migration was recorded.

CREATE TABLE IF NOT EXISTS messages (
    stream       text        NOT NULL,
    sequence     bigint      NOT NULL,
    at           timestamptz NOT NULL,
    received_at  timestamptz NOT NULL,
    subject      text        NOT NULL,
    region       text,
    conversation text,
    turn         text,
    type         text,
    payload      jsonb,
    raw          bytea       NOT NULL,
    sha256       bytea       NOT NULL,
    -- A re-created stream numbers its messages from 1 again; the time distinguishes them from the old ones.
    PRIMARY KEY (stream, sequence, at)
);

COMMENT ON TABLE messages IS 'Every protocol message, exactly once';
COMMENT ON COLUMN messages.sequence IS 'Number in the stream';
COMMENT ON COLUMN messages.at IS 'When the stream stored it';
COMMENT ON COLUMN messages.received_at IS 'When audit received it';
COMMENT ON COLUMN messages.turn IS 'The turn it belongs to; null where none';
COMMENT ON COLUMN messages.payload IS 'For searching: raw as JSON, null when it is none; NUL shows as U+FFFD';
COMMENT ON COLUMN messages.raw IS 'The bytes themselves: the truth';
COMMENT ON COLUMN messages.sha256 IS 'SHA-256 of raw';

CREATE INDEX IF NOT EXISTS messages_by_conversation ON messages (conversation, sequence) WHERE conversation IS NOT NULL;

CREATE TABLE IF NOT EXISTS positions (
    stream   text        PRIMARY KEY,
    sequence bigint      NOT NULL,
    at       timestamptz NOT NULL
);

COMMENT ON TABLE positions IS 'Up to where messages has everything of a stream; written in the same transaction';

-- What was said in a conversation, in order: SELECT * FROM conversation_messages WHERE conversation = '...'
-- A customer's text is listed once, even if the client has sent it again; an answer never precedes its question, even
-- if the clocks of two streams differ.
CREATE OR REPLACE VIEW conversation_messages AS
WITH asked AS (
    SELECT DISTINCT ON (conversation, payload ->> 'message_id')
        conversation, turn, at, sequence, payload
    FROM messages
    WHERE type = 'turn.received' AND conversation IS NOT NULL
    ORDER BY conversation, payload ->> 'message_id', at, sequence
),
said AS (
    SELECT
        conversation,
        turn,
        at,
        0 AS place,
        sequence,
        'customer' AS role,
        NULL AS specialty,
        payload ->> 'customer' AS speaker,
        payload ->> 'text' AS text
    FROM asked
    UNION ALL
    SELECT
        conversation,
        turn,
        at,
        event.place,
        sequence,
        'agent',
        event.value ->> 'specialty',
        event.value ->> 'agent',
        event.value ->> 'text'
    FROM messages
    CROSS JOIN LATERAL jsonb_array_elements(
        CASE jsonb_typeof(payload -> 'events') WHEN 'array' THEN payload -> 'events' ELSE '[]' END
    ) WITH ORDINALITY AS event (value, place)
    WHERE type = 'commit' AND conversation IS NOT NULL AND event.value ->> 'event' = 'turn_answered'
),
placed AS (
    SELECT
        *,
        greatest(at, max(at) FILTER (WHERE role = 'customer') OVER (PARTITION BY conversation, turn)) AS said_at
    FROM said
)
SELECT
    conversation,
    row_number() OVER (PARTITION BY conversation ORDER BY said_at, place, sequence) AS number,
    at,
    role,
    specialty,
    speaker,
    text,
    turn
FROM placed
ORDER BY conversation, number;

COMMENT ON VIEW conversation_messages IS 'What customers and agents said, in order';
