//! Identifiers, one distinct type per resource, so that they cannot be mixed up.
//!
//! All are UUID version 7: unique without coordination and sorted by creation time.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id, later than every id this process made before.
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id as a plain UUID.
            pub fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )*};
}

ids! {
    /// A person or robot that signs in.
    AccountId;
    /// An app.
    AppId;
    /// An offer to give an app to another owner.
    AppTransferId;
    /// A token grant: `heroku authorizations`.
    AuthorizationId;
    /// A build of one source.
    BuildId;
    /// A buildpack chosen for an app.
    BuildpackInstallationId;
    /// A person who may work on an app.
    CollaboratorId;
    /// A domain name that an app answers on.
    DomainId;
    /// One run of a dyno: a restarted `web.1` is a new dyno with a new id.
    DynoId;
    /// Something that happened, written with the change that made it happen.
    EventId;
    /// How many dynos of one process type an app runs.
    FormationId;
    /// An SSH public key of an account.
    KeyId;
    /// A program that people let act for them.
    OauthClientId;
    /// A code that a client exchanges for tokens.
    OauthGrantId;
    /// That a password may be chosen anew.
    PasswordResetId;
    /// Where an app's log lines are sent to.
    LogDrainId;
    /// An app in a stage of a pipeline.
    PipelineCouplingId;
    /// Apps in stages.
    PipelineId;
    /// A slug on its way to further apps of a pipeline.
    PipelinePromotionId;
    /// An app that a promotion goes to.
    PromotionTargetId;
    /// A numbered release.
    ReleaseId;
    /// A built app, ready to run.
    SlugId;
    /// A certificate of an app, and the domains it is shown for.
    SniEndpointId;
    /// A webhook of a code host.
    SourceHookId;
    /// An uploaded source archive.
    SourceId;
    /// What the operator says on the status page.
    StatusNoteId;
    /// A group of people that owns apps; the same as that of the account it owns them by.
    TeamId;
    /// That somebody may join a team.
    TeamInvitationId;
    /// A person in a team.
    TeamMemberId;
}
