-- Crashes that only a dyno's keeper saw and that are on record by now; what ended a dyno that the
-- platform ended; how a process type's dynos are checked (JSON; NULL: as the app's own files say).
ALTER TABLE dynos ADD COLUMN restart_count BIGINT NOT NULL DEFAULT 0;
ALTER TABLE dynos ADD COLUMN error TEXT;
ALTER TABLE formations ADD COLUMN health_checks TEXT;
CREATE INDEX events_of_subject ON events (subject, sequence);
