//! The one place that decides who may do what. Default deny.
//!
//! Each request names an [`Action`]; the table in [`Action::rule`] says what kind of person may do
//! it and which token scopes carry it. It must not know about HTTP. Read [`Platform::authorize`].

use api::authorizations::Scope;
use store::App;

use crate::{
    Platform,
    caller::Caller,
    error::{Error, Result},
};

/// Who shows which token: a caller, and how far the token goes.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// Whose token it is.
    pub caller: Caller,
    /// What the token may do.
    pub scopes: Vec<Scope>,
    /// Which token it is; none when a password was given.
    pub authorization: Option<api::ids::AuthorizationId>,
}

/// What a request is about.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// No app: the caller's own account, or what everyone shares.
    Platform,
    /// An app and what belongs to it.
    App(&'a App),
}

/// Something that can be asked of the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// See what is no secret to anyone: the platform's status, names of buildpacks.
    ReadPublic,
    /// Use a URL that carries its own secret; the handler checks it.
    UseSecretUrl,
    /// Begin to sign in; the handler checks the password.
    SignIn,
    /// See the caller's own account.
    ReadAccount,
    /// Change the caller's own account.
    UpdateAccount,
    /// Add and remove the SSH keys that the caller pushes with.
    UpdateKeys,
    /// See the caller's tokens.
    ReadAuthorizations,
    /// Make a token: with another, or with the account's password.
    CreateAuthorization,
    /// Change and revoke the caller's tokens.
    UpdateAuthorizations,
    /// See how many requests are left, which costs none.
    ReadRateLimit,
    /// See stacks, regions, sizes and other lists that are the same for all.
    ReadCatalogue,
    /// List the apps that the caller works on.
    ListApps,
    /// Make an app.
    CreateApp,
    /// Make a place to upload a source to.
    CreateSource,
    /// See an app and what belongs to it, but nothing secret.
    ReadApp,
    /// Rename an app, switch its maintenance mode, features, buildpacks or domains.
    UpdateApp,
    /// Remove an app.
    DeleteApp,
    /// See config vars.
    ReadConfigVars,
    /// Change config vars.
    UpdateConfigVars,
    /// Build, deploy and roll back.
    Deploy,
    /// Scale, restart and stop dynos.
    Operate,
    /// Run a one-off dyno, which sees the config vars.
    RunDyno,
    /// Read the log.
    ReadLog,
    /// Let people work on an app, or no longer.
    UpdateCollaborators,
    /// Stop working on an app.
    LeaveApp,
    /// Say something on the platform's status page.
    UpdateStatusNotes,
}

/// What kind of person may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Anyone,
    SignedIn,
    /// Who answers for the platform itself.
    Operator,
    Collaborator,
    Owner,
}

/// What a person is to an app; the order is the order of power. To the platform itself, the operator
/// or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Stranger,
    Operator,
    Collaborator,
    Owner,
}

impl Action {
    /// Every action, for tests that walk them.
    pub const ALL: [Self; 26] = [
        Self::ReadPublic,
        Self::UseSecretUrl,
        Self::SignIn,
        Self::ReadAccount,
        Self::UpdateAccount,
        Self::UpdateKeys,
        Self::ReadAuthorizations,
        Self::CreateAuthorization,
        Self::UpdateAuthorizations,
        Self::ReadRateLimit,
        Self::ReadCatalogue,
        Self::ListApps,
        Self::CreateApp,
        Self::CreateSource,
        Self::ReadApp,
        Self::UpdateApp,
        Self::DeleteApp,
        Self::ReadConfigVars,
        Self::UpdateConfigVars,
        Self::Deploy,
        Self::Operate,
        Self::RunDyno,
        Self::ReadLog,
        Self::UpdateCollaborators,
        Self::LeaveApp,
        Self::UpdateStatusNotes,
    ];

    /// Whether it needs no token.
    pub fn is_public(self) -> bool {
        self.rule().0 == Who::Anyone
    }

    /// Whether it is about one app.
    pub fn is_of_app(self) -> bool {
        self.rule().0 >= Who::Collaborator
    }

    /// Who may, and which scopes carry it besides `global`.
    fn rule(self) -> (Who, &'static [Scope]) {
        use Scope::{Identity, Read, ReadProtected, Write, WriteProtected};
        const READS: &[Scope] = &[Read, Write, ReadProtected, WriteProtected];
        const WRITES: &[Scope] = &[Write, WriteProtected];
        const READS_SECRETS: &[Scope] = &[ReadProtected, WriteProtected];
        const WRITES_SECRETS: &[Scope] = &[WriteProtected];
        match self {
            Self::ReadPublic | Self::UseSecretUrl | Self::SignIn => (Who::Anyone, &[]),
            Self::ReadAccount | Self::ReadRateLimit => (
                Who::SignedIn,
                &[Identity, Read, Write, ReadProtected, WriteProtected],
            ),
            Self::UpdateAccount
            | Self::UpdateKeys
            | Self::ReadAuthorizations
            | Self::CreateAuthorization
            | Self::UpdateAuthorizations => (Who::SignedIn, &[]),
            Self::ReadCatalogue | Self::ListApps => (Who::SignedIn, READS),
            Self::CreateApp | Self::CreateSource => (Who::SignedIn, WRITES),
            Self::ReadApp | Self::ReadLog => (Who::Collaborator, READS),
            Self::UpdateApp | Self::Deploy | Self::Operate | Self::LeaveApp => {
                (Who::Collaborator, WRITES)
            }
            Self::ReadConfigVars => (Who::Collaborator, READS_SECRETS),
            Self::UpdateConfigVars | Self::RunDyno => (Who::Collaborator, WRITES_SECRETS),
            Self::DeleteApp | Self::UpdateCollaborators => (Who::Owner, WRITES),
            Self::UpdateStatusNotes => (Who::Operator, WRITES),
        }
    }
}

impl Platform {
    /// Allows an action or says why not. Every request passes here before anything else is done.
    ///
    /// # Errors
    /// `Unauthorized` without a token where one is needed, `Forbidden` with one that does not do.
    pub async fn authorize(
        &self,
        bearer: Option<&Bearer>,
        action: Action,
        target: Target<'_>,
    ) -> Result<()> {
        let standing = match (bearer, target) {
            (Some(bearer), Target::App(app)) => Some(self.standing(&bearer.caller, app).await?),
            (Some(bearer), Target::Platform) if action.rule().0 == Who::Operator => {
                let account = self.store.account(bearer.caller.account).await?;
                account.is_operator.then_some(Standing::Operator)
            }
            _ => None,
        };
        decide(
            bearer.map(|bearer| bearer.scopes.as_slice()),
            action,
            standing,
        )
        .map_err(|refusal| match refusal {
            Refusal::NoToken => Error::Unauthorized,
            Refusal::Scope => Error::Forbidden {
                what: "this with the token's scope".to_owned(),
            },
            Refusal::Standing => Error::Forbidden {
                what: match target {
                    Target::App(app) => format!("the app {}", app.name),
                    Target::Platform => "this".to_owned(),
                },
            },
        })
    }

    async fn standing(&self, caller: &Caller, app: &App) -> Result<Standing> {
        if app.owner == caller.account {
            return Ok(Standing::Owner);
        }
        let collaborators = self.store.collaborators(app.id).await?;
        let works_on_it = collaborators
            .iter()
            .any(|row| row.account == caller.account);
        Ok(if works_on_it {
            Standing::Collaborator
        } else {
            Standing::Stranger
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    NoToken,
    Scope,
    Standing,
}

/// The rule itself. `scopes` are those of the token shown, `standing` the caller's to the app.
fn decide(
    scopes: Option<&[Scope]>,
    action: Action,
    standing: Option<Standing>,
) -> Result<(), Refusal> {
    let (who, carried_by) = action.rule();
    if who == Who::Anyone {
        return Ok(());
    }
    let scopes = scopes.ok_or(Refusal::NoToken)?;
    if !scopes
        .iter()
        .any(|scope| *scope == Scope::Global || carried_by.contains(scope))
    {
        return Err(Refusal::Scope);
    }
    let needed = match who {
        Who::Anyone | Who::SignedIn => return Ok(()),
        // Who owns an app is not the platform's operator by that.
        Who::Operator if standing == Some(Standing::Operator) => return Ok(()),
        Who::Operator => return Err(Refusal::Standing),
        Who::Collaborator => Standing::Collaborator,
        Who::Owner => Standing::Owner,
    };
    if standing.is_some_and(|standing| standing >= needed) {
        Ok(())
    } else {
        Err(Refusal::Standing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        scopes: Option<&[Scope]>,
        action: Action,
        standing: Option<Standing>,
        expected: Result<(), Refusal>,
    ) {
        let decision = decide(scopes, action, standing);
        assert_eq!(decision, expected, "{scopes:?} {action:?} {standing:?}");
    }

    #[test]
    fn nothing_but_the_public_actions_goes_without_a_token() {
        for action in Action::ALL {
            let expected = if action.is_public() {
                Ok(())
            } else {
                Err(Refusal::NoToken)
            };
            check(None, action, Some(Standing::Owner), expected);
        }
    }

    #[test]
    fn nothing_of_an_app_goes_for_strangers_or_without_an_app() {
        for action in Action::ALL.into_iter().filter(|action| action.is_of_app()) {
            check(Some(&[Scope::Global]), action, None, Err(Refusal::Standing));
            check(
                Some(&[Scope::Global]),
                action,
                Some(Standing::Stranger),
                Err(Refusal::Standing),
            );
            check(
                Some(&[Scope::Global]),
                action,
                Some(Standing::Owner),
                Ok(()),
            );
        }
    }

    #[test]
    fn only_owners_delete_apps_and_choose_collaborators() {
        for action in Action::ALL.into_iter().filter(|action| action.is_of_app()) {
            let is_for_owners = matches!(action, Action::DeleteApp | Action::UpdateCollaborators);
            let expected = if is_for_owners {
                Err(Refusal::Standing)
            } else {
                Ok(())
            };
            check(
                Some(&[Scope::Global]),
                action,
                Some(Standing::Collaborator),
                expected,
            );
        }
    }

    #[test]
    fn only_the_operator_speaks_for_the_platform() {
        for standing in [None, Some(Standing::Collaborator), Some(Standing::Owner)] {
            let refused = Err(Refusal::Standing);
            check(
                Some(&[Scope::Global]),
                Action::UpdateStatusNotes,
                standing,
                refused,
            );
        }
        let operator = Some(Standing::Operator);
        let action = Action::UpdateStatusNotes;
        check(Some(&[Scope::Write]), action, operator, Ok(()));
        check(Some(&[Scope::Read]), action, operator, Err(Refusal::Scope));
        let app = Action::ReadApp;
        let refused = Err(Refusal::Standing);
        check(Some(&[Scope::Global]), app, operator, refused);
    }

    #[test]
    fn scopes() {
        let owner = Some(Standing::Owner);
        for (scope, action, expected) in [
            (Scope::Identity, Action::ReadAccount, Ok(())),
            (Scope::Identity, Action::ListApps, Err(Refusal::Scope)),
            (Scope::Read, Action::ReadApp, Ok(())),
            (Scope::Read, Action::ReadConfigVars, Err(Refusal::Scope)),
            (Scope::Read, Action::UpdateApp, Err(Refusal::Scope)),
            (Scope::Write, Action::Deploy, Ok(())),
            (Scope::Write, Action::RunDyno, Err(Refusal::Scope)),
            (Scope::ReadProtected, Action::ReadConfigVars, Ok(())),
            (
                Scope::ReadProtected,
                Action::UpdateConfigVars,
                Err(Refusal::Scope),
            ),
            (Scope::WriteProtected, Action::UpdateConfigVars, Ok(())),
            (
                Scope::WriteProtected,
                Action::UpdateAuthorizations,
                Err(Refusal::Scope),
            ),
        ] {
            check(Some(&[scope]), action, owner, expected);
        }
    }
}
