-- Teams and what people may do: members, permissions, invitations, apps that change hands.

-- A team owns apps through an account of its own, with the same id, into which nobody signs.
ALTER TABLE accounts ADD COLUMN is_team BIGINT NOT NULL DEFAULT 0;

CREATE TABLE teams (
    id TEXT PRIMARY KEY NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name TEXT NOT NULL UNIQUE,
    -- What members may do on apps that nobody let them on; NULL: see them.
    default_permission TEXT,
    -- Whether only listed add-on services may be used; NULL: never said.
    addons_controls BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE team_members (
    id TEXT PRIMARY KEY NOT NULL,
    team_id TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (team_id, account_id)
);
CREATE INDEX team_members_of_account ON team_members (account_id);

CREATE TABLE team_invitations (
    id TEXT PRIMARY KEY NOT NULL,
    team_id TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    email TEXT NOT NULL,
    role TEXT NOT NULL,
    invited_by TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    token_hash TEXT NOT NULL UNIQUE,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (team_id, email)
);

ALTER TABLE apps ADD COLUMN team_id TEXT REFERENCES teams (id);
CREATE INDEX apps_of_team ON apps (team_id);
-- Members of its team cannot let themselves on.
ALTER TABLE apps ADD COLUMN locked BIGINT NOT NULL DEFAULT 0;

ALTER TABLE collaborators ADD COLUMN permissions TEXT NOT NULL
    DEFAULT '["view","deploy","operate"]';
UPDATE collaborators SET permissions = '["view","deploy","operate","manage"]' WHERE role = 'owner';

CREATE TABLE app_transfers (
    id TEXT PRIMARY KEY NOT NULL,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    owner_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    recipient_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX app_transfers_of_app ON app_transfers (app_id);
