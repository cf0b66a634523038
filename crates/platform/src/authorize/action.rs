//! The table: what can be asked of the platform, who may ask it, and which scopes carry it.
//!
//! A new action is an entry here and nothing else; without a rule it does not compile.

use api::authorizations::Scope;
use store::{Permission, TeamRole};

use super::target::Kind;

/// Who may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    Anyone,
    SignedIn,
    /// Who answers for the platform itself.
    Operator,
    /// Who has one of these permissions on a thing of this kind.
    Permission(Kind, &'static [Permission]),
    /// Who is one of these in the team.
    Role(&'static [TeamRole]),
}

pub(super) type Rule = (Needs, &'static [Scope]);

/// Only `global` carries it.
const GLOBAL: &[Scope] = &[];
const IDENTITY: &[Scope] = &[
    Scope::Identity,
    Scope::Read,
    Scope::Write,
    Scope::ReadProtected,
    Scope::WriteProtected,
];
const READS: &[Scope] = &[
    Scope::Read,
    Scope::Write,
    Scope::ReadProtected,
    Scope::WriteProtected,
];
const WRITES: &[Scope] = &[Scope::Write, Scope::WriteProtected];
const READS_SECRETS: &[Scope] = &[Scope::ReadProtected, Scope::WriteProtected];
const WRITES_SECRETS: &[Scope] = &[Scope::WriteProtected];

const VIEW: Needs = Needs::Permission(Kind::App, &[Permission::View]);
const DEPLOY: Needs = Needs::Permission(Kind::App, &[Permission::Deploy]);
const OPERATE: Needs = Needs::Permission(Kind::App, &[Permission::Operate]);
const MANAGE: Needs = Needs::Permission(Kind::App, &[Permission::Manage]);
const DEPLOY_OR_OPERATE: Needs =
    Needs::Permission(Kind::App, &[Permission::Deploy, Permission::Operate]);

const ANY_ROLE: Needs = Needs::Role(&[
    TeamRole::Owner,
    TeamRole::Admin,
    TeamRole::Member,
    TeamRole::Viewer,
    TeamRole::Collaborator,
]);
const INSIDERS: Needs = Needs::Role(&[
    TeamRole::Owner,
    TeamRole::Admin,
    TeamRole::Member,
    TeamRole::Viewer,
]);
const MEMBERS: Needs = Needs::Role(&[TeamRole::Owner, TeamRole::Admin, TeamRole::Member]);
const ADMINS: Needs = Needs::Role(&[TeamRole::Owner, TeamRole::Admin]);

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident: $needs:expr, $scopes:expr;)+) => {
        /// Something that can be asked of the platform.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action {
            $($(#[$doc])* $name,)+
        }

        impl Action {
            /// Every action, for tests that walk them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Who may, and which scopes carry it besides `global`.
            pub(super) const fn rule(self) -> Rule {
                match self {
                    $(Self::$name => ($needs, $scopes),)+
                }
            }
        }
    };
}

actions! {
    /// See what is no secret to anyone: the platform's status, names of buildpacks.
    ReadPublic: Needs::Anyone, GLOBAL;
    /// Use a URL that carries its own secret; the handler checks it.
    UseSecretUrl: Needs::Anyone, GLOBAL;
    /// Begin to sign in; the handler checks the password.
    SignIn: Needs::Anyone, GLOBAL;
    /// See the caller's own account.
    ReadAccount: Needs::SignedIn, IDENTITY;
    /// Change the caller's own account.
    UpdateAccount: Needs::SignedIn, GLOBAL;
    /// Add and remove the SSH keys that the caller pushes with.
    UpdateKeys: Needs::SignedIn, GLOBAL;
    /// See the caller's tokens.
    ReadAuthorizations: Needs::SignedIn, GLOBAL;
    /// Make a token: with another, or with the account's password.
    CreateAuthorization: Needs::SignedIn, GLOBAL;
    /// Change and revoke the caller's tokens.
    UpdateAuthorizations: Needs::SignedIn, GLOBAL;
    /// See how many requests are left, which costs none.
    ReadRateLimit: Needs::SignedIn, IDENTITY;
    /// See stacks, regions, sizes and other lists that are the same for all.
    ReadCatalogue: Needs::SignedIn, READS;
    /// List the apps that the caller works on.
    ListApps: Needs::SignedIn, READS;
    /// Offer apps to others, and answer what the caller was offered.
    TransferApps: Needs::SignedIn, WRITES;
    /// Make an app.
    CreateApp: Needs::SignedIn, WRITES;
    /// Make a place to upload a source to.
    CreateSource: Needs::SignedIn, WRITES;
    /// List the teams that the caller is in.
    ListTeams: Needs::SignedIn, READS;
    /// Make a team.
    CreateTeam: Needs::SignedIn, WRITES;
    /// See an app and what belongs to it, but nothing secret.
    ReadApp: VIEW, READS;
    /// Switch an app's maintenance mode, features, buildpacks or domains.
    UpdateApp: DEPLOY_OR_OPERATE, WRITES;
    /// Rename, lock or give away an app.
    ManageApp: MANAGE, WRITES;
    /// Remove an app.
    DeleteApp: MANAGE, WRITES;
    /// See config vars.
    ReadConfigVars: DEPLOY_OR_OPERATE, READS_SECRETS;
    /// Change config vars.
    UpdateConfigVars: DEPLOY_OR_OPERATE, WRITES_SECRETS;
    /// See an app's code: git, images, slugs.
    ReadCode: DEPLOY, READS;
    /// Build, deploy and roll back.
    Deploy: DEPLOY, WRITES;
    /// Say how many dynos of which size an app has.
    Scale: DEPLOY_OR_OPERATE, WRITES;
    /// Restart and stop dynos.
    Operate: OPERATE, WRITES;
    /// Run a one-off dyno, which sees the config vars.
    RunDyno: DEPLOY_OR_OPERATE, WRITES_SECRETS;
    /// Read the log.
    ReadLog: DEPLOY_OR_OPERATE, READS;
    /// Let people work on an app, or no longer.
    UpdateCollaborators: MANAGE, WRITES;
    /// Let oneself on an app of one's team.
    JoinApp: VIEW, WRITES;
    /// Stop working on an app.
    LeaveApp: VIEW, WRITES;
    /// Choose where an app's log lines are sent to.
    UpdateLogDrains: DEPLOY_OR_OPERATE, WRITES;
    /// List the pipelines and couplings that the caller may know of, and see what names none.
    ListPipelines: Needs::SignedIn, READS;
    /// Make a pipeline, couple apps and promote; what a body names is guarded by itself.
    CreatePipeline: Needs::SignedIn, WRITES;
    /// See a pipeline and what is in it.
    ReadPipeline: Needs::Permission(Kind::Pipeline, &[Permission::View]), READS;
    /// Rename, give away or remove a pipeline.
    UpdatePipeline: Needs::Permission(Kind::Pipeline, &[Permission::Manage]), WRITES;
    /// See that a team is, and how it is set up.
    ReadTeam: ANY_ROLE, READS;
    /// See who is in a team, and its apps.
    ReadTeamMembers: INSIDERS, READS;
    /// Make an app in a team, or give it one.
    CreateTeamApp: MEMBERS, WRITES;
    /// Rename a team and set it up.
    UpdateTeam: ADMINS, WRITES;
    /// Remove a team.
    DeleteTeam: ADMINS, WRITES;
    /// Choose who is in a team, and as what.
    UpdateTeamMembers: ADMINS, WRITES;
    /// Leave a team.
    LeaveTeam: ANY_ROLE, WRITES;
    /// Make accounts, and let people choose a new password.
    ManageAccounts: Needs::Operator, GLOBAL;
    /// Say something on the platform's status page.
    UpdateStatusNotes: Needs::Operator, WRITES;
}

impl Action {
    /// Whether it needs no token.
    pub const fn is_public(self) -> bool {
        matches!(self.rule().0, Needs::Anyone)
    }

    /// The kind of thing it is about; none for what is the caller's own or everyone's.
    pub const fn about(self) -> Option<Kind> {
        match self.rule().0 {
            Needs::Anyone | Needs::SignedIn | Needs::Operator => None,
            Needs::Permission(kind, _) => Some(kind),
            Needs::Role(_) => Some(Kind::Team),
        }
    }
}
