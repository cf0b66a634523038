-- What was pushed to the registry. The bytes are in the blob store.

-- Blobs that an app may refer to and read; others of the same digest are none of its business.
CREATE TABLE image_blobs (
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (app_id, digest)
);
CREATE INDEX image_blobs_by_digest ON image_blobs (digest);

-- Manifests by the process type that they were pushed for; they are blobs of the app as well.
CREATE TABLE image_manifests (
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    process_type TEXT NOT NULL,
    digest TEXT NOT NULL,
    media_type TEXT NOT NULL,
    -- NULL: an image.
    artifact_type TEXT,
    -- What it is attached to.
    subject TEXT,
    size_bytes BIGINT NOT NULL,
    -- Digests of what it is made of (JSON).
    parts TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (app_id, process_type, digest)
);

CREATE TABLE image_tags (
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    process_type TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (app_id, process_type, name)
);
