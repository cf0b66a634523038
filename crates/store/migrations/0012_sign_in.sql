-- Signing in: what an account says of itself, second factors, forgotten passwords, OAuth clients.

ALTER TABLE accounts ADD COLUMN name TEXT;
ALTER TABLE accounts ADD COLUMN allow_tracking BIGINT NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN beta BIGINT NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN has_two_factor BIGINT NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN last_login BIGINT;
-- NULL: never.
ALTER TABLE accounts ADD COLUMN updated_at BIGINT;
-- The row stays, because releases and builds say who made them; nobody signs in to it.
ALTER TABLE accounts ADD COLUMN deleted_at BIGINT;

CREATE TABLE two_factors (
    account_id TEXT PRIMARY KEY NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    data_key TEXT NOT NULL,
    sealed_secret TEXT NOT NULL,
    -- Since when it is asked for; NULL: no code of it has been shown yet.
    confirmed_at BIGINT,
    -- The newest time step whose code was taken, so that none is taken twice.
    last_step BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Each opens once, in place of a code.
CREATE TABLE recovery_codes (
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    code_hash TEXT NOT NULL,
    PRIMARY KEY (account_id, code_hash)
);

CREATE TABLE password_resets (
    id TEXT PRIMARY KEY NOT NULL,
    account_id TEXT NOT NULL UNIQUE REFERENCES accounts (id) ON DELETE CASCADE,
    token_hash TEXT NOT NULL UNIQUE,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE oauth_clients (
    id TEXT PRIMARY KEY NOT NULL,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    data_key TEXT NOT NULL,
    sealed_secret TEXT NOT NULL,
    secret_hash TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX oauth_clients_of_account ON oauth_clients (account_id);

-- Of a client: its token lives for hours and is made anew with the other.
ALTER TABLE authorizations ADD COLUMN client_id TEXT REFERENCES oauth_clients (id) ON DELETE CASCADE;
ALTER TABLE authorizations ADD COLUMN refresh_token_hash TEXT;
ALTER TABLE authorizations ADD COLUMN refresh_token_hint TEXT;
-- Whether somebody signed in for it with their password.
ALTER TABLE authorizations ADD COLUMN is_session BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX authorizations_by_refresh_token ON authorizations (refresh_token_hash);

CREATE TABLE oauth_grants (
    id TEXT PRIMARY KEY NOT NULL,
    authorization_id TEXT NOT NULL REFERENCES authorizations (id) ON DELETE CASCADE,
    code_hash TEXT NOT NULL UNIQUE,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
