-- Conversations are found by their customer: by their first commits, which name it, and by those of archives.
-- depends: 0006_retention

-- Only the beginnings of long names are in the index: a row that does not fit would be refused.
CREATE INDEX IF NOT EXISTS messages_by_customer
ON messages (left(payload ->> 'customer', 200), left(payload ->> 'tenant', 200), conversation)
WHERE stream = 'CONVERSATIONS' AND payload ->> 'previous' = '0';

-- Commits whose customer is unknown here, because PostgreSQL cannot represent them as JSON: next to none.
CREATE INDEX IF NOT EXISTS messages_without_customer ON messages (conversation)
WHERE stream = 'CONVERSATIONS' AND payload IS NULL AND raw IS NOT NULL;

CREATE INDEX IF NOT EXISTS archived_conversations_by_customer ON archived_conversations (customer, tenant);
