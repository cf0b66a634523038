//! State: one [`Store`] over SQLite or PostgreSQL, sealed at rest, with an event for every change.
//!
//! It must not know why a change is made, nor how anything is built, run or routed. Read [`Store`]
//! and [`Change`] first, then the resource file you need. Every function is safe to cancel: a
//! change that was not acknowledged either happened as a whole or not at all.
#![warn(missing_docs)]

mod accounts;
mod acm;
mod app_features;
mod app_transfers;
mod apps;
mod authorizations;
mod backend;
mod build_records;
mod build_settings;
mod buildpack_installations;
mod builds;
mod change;
mod collaborators;
mod columns;
mod config_vars;
mod domains;
mod dynos;
mod edge;
mod error;
mod events;
mod formations;
mod images;
mod keys;
mod log_drains;
mod migrations;
mod oauth_clients;
mod oauth_tokens;
mod password_resets;
mod pipeline_promotions;
mod pipelines;
mod releases;
mod seal;
mod sleep;
mod slugs;
mod sni_endpoints;
mod source_hooks;
mod source_repositories;
mod sources;
mod status_notes;
mod team_invitations;
mod team_members;
mod teams;
mod two_factors;
mod words;
mod write;

use std::{fmt, path::Path, sync::Arc};

use api::clock::Clock;

pub use crate::{
    accounts::{Account, AccountUpdate, NewAccount},
    acm::{AcmDomain, AcmStatus},
    app_features::AppFeature,
    app_transfers::{AppTransfer, TransferState},
    apps::{App, AppUpdate, NewApp},
    authorizations::{Authorization, NewAuthorization, hash_token},
    build_records::BuildRecord,
    buildpack_installations::BuildpackInstallation,
    builds::{Build, BuildCause, BuildOutcome, BuildStatus, NewBuild},
    change::{Actor, Change},
    collaborators::{Collaborator, CollaboratorRole, NewCollaborator, Permission},
    domains::{Domain, DomainKind, DomainStatus, NewDomain},
    dynos::{Crash, Dyno, DynoKind, DynoState, NewDyno, UnattendedRestart},
    error::{Result, StoreError},
    events::{Event, NewEvent},
    formations::{DEFAULT_SIZE, Formation, FormationUpdate},
    images::{ImageManifest, ImageTag, NewImageManifest},
    keys::{Key, NewKey},
    log_drains::LogDrain,
    oauth_clients::{OauthClient, OauthClientUpdate},
    oauth_tokens::{NewTokens, OauthGrant, Taken},
    password_resets::PasswordReset,
    pipeline_promotions::{PipelinePromotion, PromotionTarget},
    pipelines::{Pipeline, PipelineCoupling},
    releases::{NewRelease, Release, ReleaseOutcome, ReleaseStatus},
    sleep::{AppSleep, SleepChange, SleepPolicyUpdate, SleepState},
    slugs::{CONTAINER_STACK, NewSlug, Slug, SlugContents, SlugImage},
    sni_endpoints::{CertificatePair, SniEndpoint},
    source_hooks::SourceHook,
    source_repositories::{NewSourceRepository, SourceRepository},
    sources::{NewSource, Source},
    status_notes::NewStatusNote,
    team_invitations::{NewTeamInvitation, TeamInvitation},
    team_members::{TeamMember, TeamRole},
    teams::{NewTeam, Team, TeamUpdate, team_account},
    two_factors::TwoFactor,
    words::UnknownWord,
};
use crate::{backend::Backend, seal::RootKey};

/// Where the store is and what opens it.
#[derive(Clone)]
pub struct StoreConfig {
    /// `sqlite:///absolute/path`, `sqlite::memory:` or `postgres://…`.
    pub url: String,
    /// Seals every app's data key. Losing it loses all config vars.
    pub root_key: [u8; 32],
    /// Dates what is written.
    pub clock: Clock,
}

impl StoreConfig {
    /// A store in the SQLite file at `path`, made if it is missing; its directory must exist.
    pub fn sqlite(path: &Path, root_key: [u8; 32], clock: Clock) -> Self {
        Self {
            url: backend::sqlite_url(path),
            root_key,
            clock,
        }
    }
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig").finish_non_exhaustive()
    }
}

/// The platform's memory. Cloning shares it.
#[derive(Clone)]
pub struct Store {
    backend: Backend,
    root_key: Arc<RootKey>,
    clock: Clock,
}

impl Store {
    /// Connects, brings the schema up to date and checks the root key.
    ///
    /// # Errors
    /// [`StoreError::WrongRootKey`] when the database was made under another root key,
    /// [`StoreError::NewerSchema`] when a newer Landfall has written it.
    pub async fn open(config: StoreConfig) -> Result<Self> {
        let backend = Backend::connect(&config.url).await?;
        let root_key = RootKey::new(config.root_key);
        migrations::run(&backend, &root_key, config.clock.now()).await?;
        Ok(Self {
            backend,
            root_key: Arc::new(root_key),
            clock: config.clock,
        })
    }

    /// Closes every connection. Optional: what was acknowledged is safe without it.
    pub async fn close(&self) {
        self.backend.close().await;
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
