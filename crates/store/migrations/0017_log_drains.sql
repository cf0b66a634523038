-- Log drains: where an app's log lines are sent to.

CREATE TABLE log_drains (
    id TEXT PRIMARY KEY NOT NULL,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    -- By which the receiver tells drains apart.
    token TEXT NOT NULL UNIQUE,
    -- It may hold a password.
    sealed_url TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX log_drains_of_app ON log_drains (app_id);
