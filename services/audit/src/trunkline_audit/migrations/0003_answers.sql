-- A commit names the text of an answer `answer`; earlier commits and the replies of people name it `text`.
-- depends: 0002_people

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
        CASE event.value ->> 'event' WHEN 'person_replied' THEN 'person' ELSE 'agent' END,
        event.value ->> 'specialty',
        coalesce(event.value ->> 'agent', event.value ->> 'person'),
        coalesce(event.value ->> 'answer', event.value ->> 'text')
    FROM messages
    CROSS JOIN LATERAL jsonb_array_elements(
        CASE jsonb_typeof(payload -> 'events') WHEN 'array' THEN payload -> 'events' ELSE '[]' END
    ) WITH ORDINALITY AS event (value, place)
    WHERE
        type = 'commit'
        AND conversation IS NOT NULL
        AND event.value ->> 'event' IN ('turn_answered', 'person_replied')
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
