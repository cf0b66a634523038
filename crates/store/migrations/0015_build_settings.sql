-- What of an app's source is built, when, and with which config vars (JSON; NULL: all of it, always,
-- with all of them).
ALTER TABLE apps ADD COLUMN build_settings TEXT;

-- Of the files that were watched when a slug was built (NULL: none were).
ALTER TABLE slugs ADD COLUMN watch_digest TEXT;
