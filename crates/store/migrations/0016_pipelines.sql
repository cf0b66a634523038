-- Pipelines: apps in stages, and promotions of a slug from one to others.

CREATE TABLE pipelines (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE,
    owner_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE pipeline_couplings (
    id TEXT PRIMARY KEY NOT NULL,
    pipeline_id TEXT NOT NULL REFERENCES pipelines (id) ON DELETE CASCADE,
    -- An app is in one pipeline at most.
    app_id TEXT NOT NULL UNIQUE REFERENCES apps (id) ON DELETE CASCADE,
    stage TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX couplings_of_pipeline ON pipeline_couplings (pipeline_id);

CREATE TABLE pipeline_promotions (
    id TEXT PRIMARY KEY NOT NULL,
    pipeline_id TEXT NOT NULL REFERENCES pipelines (id) ON DELETE CASCADE,
    source_app_id TEXT NOT NULL,
    source_release_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX promotions_of_pipeline ON pipeline_promotions (pipeline_id);

CREATE TABLE pipeline_promotion_targets (
    id TEXT PRIMARY KEY NOT NULL,
    promotion_id TEXT NOT NULL REFERENCES pipeline_promotions (id) ON DELETE CASCADE,
    app_id TEXT NOT NULL,
    -- The release that was made of the slug, and what else became of it.
    release_id TEXT,
    error_message TEXT
);
CREATE INDEX targets_of_promotion ON pipeline_promotion_targets (promotion_id);
