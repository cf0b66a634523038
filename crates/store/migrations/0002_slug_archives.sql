-- Slugs that the API makes: their archive comes after the row, and changes it.

ALTER TABLE slugs ADD COLUMN commit_description TEXT;
ALTER TABLE slugs ADD COLUMN awaits_archive BIGINT NOT NULL DEFAULT 0;
ALTER TABLE slugs ADD COLUMN updated_at BIGINT NOT NULL DEFAULT 0;
UPDATE slugs SET updated_at = created_at;
