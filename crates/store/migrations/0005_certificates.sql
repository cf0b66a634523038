-- Certificates of apps, how they are asked for, and what apps ask of clients over TLS.

CREATE TABLE sni_endpoints (
    id TEXT PRIMARY KEY NOT NULL,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    -- Made and renewed by the platform.
    is_acm BIGINT NOT NULL,
    certificate_chain TEXT NOT NULL,
    -- PEM, sealed with the app's data key.
    private_key TEXT NOT NULL,
    starts_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    -- The least number of days before its end that somebody was alarmed at.
    alarmed_days BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (app_id, name)
);

ALTER TABLE domains ADD COLUMN sni_endpoint_id TEXT REFERENCES sni_endpoints (id) ON DELETE SET NULL;

-- How far the certificate of a domain has come, for apps whose certificates are automatic.
CREATE TABLE acm_domains (
    domain_id TEXT PRIMARY KEY NOT NULL REFERENCES domains (id) ON DELETE CASCADE,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    status TEXT NOT NULL,
    reason TEXT,
    -- Since the last success.
    failures BIGINT NOT NULL,
    next_try_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX acm_domains_of_app ON acm_domains (app_id);

-- Accounts at certificate authorities, by the URL of the directory.
CREATE TABLE acme_accounts (
    directory TEXT PRIMARY KEY NOT NULL,
    -- Sealed under the root key.
    data_key TEXT NOT NULL,
    -- Sealed with the data key.
    credentials TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

ALTER TABLE apps ADD COLUMN acm BIGINT NOT NULL DEFAULT 0;
-- JSON, see `api::tls`.
ALTER TABLE apps ADD COLUMN tls TEXT NOT NULL DEFAULT '{}';
