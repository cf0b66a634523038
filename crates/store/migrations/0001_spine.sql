-- The spine: accounts, apps and everything an app owns, and the events that say how it came about.
-- TEXT and BIGINT only, so that SQLite and PostgreSQL read the same file. Times are microseconds
-- since the epoch, flags are 0 or 1, lists and maps are JSON text, sealed values are base64.

CREATE TABLE root_key_check (
    id BIGINT PRIMARY KEY NOT NULL CHECK (id = 1),
    sealed TEXT NOT NULL
);

CREATE TABLE event_counter (
    id BIGINT PRIMARY KEY NOT NULL CHECK (id = 1),
    last_sequence BIGINT NOT NULL
);
INSERT INTO event_counter (id, last_sequence) VALUES (1, 0);

-- No foreign keys: an event outlives what it tells of.
CREATE TABLE events (
    sequence BIGINT PRIMARY KEY NOT NULL,
    id TEXT NOT NULL UNIQUE,
    at BIGINT NOT NULL,
    app_id TEXT,
    actor TEXT NOT NULL,
    origin TEXT NOT NULL,
    cause TEXT NOT NULL,
    request_id TEXT,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    details TEXT NOT NULL
);
CREATE INDEX events_of_app ON events (app_id, sequence);

CREATE TABLE accounts (
    id TEXT PRIMARY KEY NOT NULL,
    email TEXT NOT NULL UNIQUE,
    password_hash TEXT,
    created_at BIGINT NOT NULL
);

CREATE TABLE authorizations (
    id TEXT PRIMARY KEY NOT NULL,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    description TEXT NOT NULL,
    scope TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE,
    token_hint TEXT NOT NULL,
    expires_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX authorizations_of_account ON authorizations (account_id);

CREATE TABLE apps (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE,
    owner_id TEXT NOT NULL REFERENCES accounts (id),
    stack TEXT NOT NULL,
    build_stack TEXT NOT NULL,
    maintenance BIGINT NOT NULL DEFAULT 0,
    buildpack_provided_description TEXT,
    released_at BIGINT,
    repo_size_bytes BIGINT,
    slug_size_bytes BIGINT,
    data_key TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE collaborators (
    id TEXT PRIMARY KEY NOT NULL,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (app_id, account_id)
);
CREATE INDEX collaborators_of_account ON collaborators (account_id);

CREATE TABLE app_features (
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (app_id, name)
);

CREATE TABLE config_vars (
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    sealed TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (app_id, name)
);

CREATE TABLE buildpack_installations (
    id TEXT PRIMARY KEY NOT NULL,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    ordinal BIGINT NOT NULL,
    url TEXT NOT NULL,
    UNIQUE (app_id, ordinal)
);

CREATE TABLE domains (
    id TEXT PRIMARY KEY NOT NULL,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    hostname TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    cname TEXT,
    status TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX domains_of_app ON domains (app_id);

CREATE TABLE sources (
    id TEXT PRIMARY KEY NOT NULL,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    secret_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE slugs (
    id TEXT PRIMARY KEY NOT NULL,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    stack TEXT NOT NULL,
    commit_hash TEXT,
    language TEXT NOT NULL,
    layers TEXT NOT NULL,
    process_types TEXT NOT NULL,
    env TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    checksum TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX slugs_of_app ON slugs (app_id);

CREATE TABLE releases (
    id TEXT PRIMARY KEY NOT NULL,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    slug_id TEXT REFERENCES slugs (id),
    description TEXT NOT NULL,
    status TEXT NOT NULL,
    is_current BIGINT NOT NULL DEFAULT 0,
    sealed_config_vars TEXT NOT NULL,
    failure_message TEXT,
    output_stream BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (app_id, version)
);
CREATE UNIQUE INDEX one_current_release ON releases (app_id) WHERE is_current = 1;
CREATE INDEX unfinished_releases ON releases (status) WHERE status = 'pending';

CREATE TABLE builds (
    id TEXT PRIMARY KEY NOT NULL,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    stack TEXT NOT NULL,
    source_id TEXT,
    sealed_source_url TEXT,
    commit_hash TEXT,
    buildpacks TEXT NOT NULL,
    status TEXT NOT NULL,
    slug_id TEXT REFERENCES slugs (id),
    release_id TEXT REFERENCES releases (id),
    failure_message TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX builds_of_app ON builds (app_id);
CREATE INDEX unfinished_builds ON builds (status) WHERE status = 'pending';

CREATE TABLE formations (
    id TEXT PRIMARY KEY NOT NULL,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    process_type TEXT NOT NULL,
    quantity BIGINT NOT NULL,
    size TEXT NOT NULL,
    command TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (app_id, process_type)
);

CREATE TABLE dynos (
    id TEXT PRIMARY KEY NOT NULL,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    release_id TEXT NOT NULL REFERENCES releases (id),
    release_version BIGINT NOT NULL,
    process_type TEXT NOT NULL,
    number BIGINT NOT NULL,
    kind TEXT NOT NULL,
    size TEXT NOT NULL,
    command TEXT NOT NULL,
    is_attached BIGINT NOT NULL,
    state TEXT NOT NULL,
    state_changed_at BIGINT NOT NULL,
    is_retired BIGINT NOT NULL DEFAULT 0,
    exit_status BIGINT,
    crash_count BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX dynos_of_app ON dynos (app_id);
