-- Slugs that run from images: process type → image, as JSON; empty for those that run on a stack.

ALTER TABLE slugs ADD COLUMN images TEXT NOT NULL DEFAULT '{}';
