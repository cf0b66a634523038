-- When apps sleep, and whether they do. An app without a row is awake and has the default policy.

CREATE TABLE app_sleep (
    app_id TEXT PRIMARY KEY NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    idle_seconds BIGINT,
    stop_after_seconds BIGINT,
    state TEXT NOT NULL,
    state_changed_at BIGINT NOT NULL,
    cause TEXT NOT NULL,
    ticket BIGINT NOT NULL,
    woken_at BIGINT,
    wake_cause TEXT
);
