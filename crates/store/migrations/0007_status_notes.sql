-- What the operator says on the status page, and who that is: the first account.

CREATE TABLE status_notes (
    id TEXT PRIMARY KEY NOT NULL,
    -- NULL: about the whole platform.
    app_id TEXT REFERENCES apps (id) ON DELETE CASCADE,
    text TEXT NOT NULL,
    severity TEXT NOT NULL,
    -- When it leaves the page by itself.
    ends_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

ALTER TABLE accounts ADD COLUMN is_operator BIGINT NOT NULL DEFAULT 0;
UPDATE accounts SET is_operator = 1
    WHERE id = (SELECT id FROM accounts ORDER BY created_at, id LIMIT 1);
