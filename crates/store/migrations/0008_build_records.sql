-- Builds are numbered within their app and know what they were asked for by; what is kept of how
-- they went; slugs whose layers were removed to make room.

ALTER TABLE builds ADD COLUMN number BIGINT NOT NULL DEFAULT 0;
UPDATE builds SET number = (
    SELECT COUNT(*) FROM builds AS other
    WHERE other.app_id = builds.app_id
        AND (other.created_at < builds.created_at
            OR (other.created_at = builds.created_at AND other.id <= builds.id)));
CREATE UNIQUE INDEX builds_by_number ON builds (app_id, number);
ALTER TABLE builds ADD COLUMN cause TEXT NOT NULL DEFAULT 'archive';
-- The number of the build whose source is built again.
ALTER TABLE builds ADD COLUMN rebuild_of BIGINT;

-- The record is JSON that the platform writes and reads; it holds no secrets.
CREATE TABLE build_records (
    build_id TEXT PRIMARY KEY NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    source_layer TEXT,
    record TEXT NOT NULL
);

-- When its layers were removed; it can be released no more.
ALTER TABLE slugs ADD COLUMN removed_at BIGINT;
