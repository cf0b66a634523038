-- Ways in beside git over HTTP: SSH keys, a repository elsewhere, webhooks of where it is.

CREATE TABLE keys (
    id TEXT PRIMARY KEY NOT NULL,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    public_key TEXT NOT NULL,
    comment TEXT NOT NULL,
    -- As Heroku shows it. Not unique: MD5 is no proof of anything.
    md5 TEXT NOT NULL,
    -- By which a connection finds the account: one account a key.
    sha256 TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);
CREATE INDEX keys_of_account ON keys (account_id);

CREATE TABLE source_repositories (
    app_id TEXT PRIMARY KEY NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    url TEXT NOT NULL,
    branch TEXT NOT NULL,
    sealed_deploy_key TEXT NOT NULL,
    deploy_public_key TEXT NOT NULL,
    -- What the repository's server has shown, in OpenSSH's form.
    known_hosts TEXT NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE source_hooks (
    id TEXT PRIMARY KEY NOT NULL,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    -- In whose name it deploys.
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    sender TEXT NOT NULL,
    sealed_secret TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX source_hooks_of_app ON source_hooks (app_id);

-- So that a delivery that was heard is not heard again.
CREATE TABLE source_hook_deliveries (
    hook_id TEXT NOT NULL REFERENCES source_hooks (id) ON DELETE CASCADE,
    delivery TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (hook_id, delivery)
);
