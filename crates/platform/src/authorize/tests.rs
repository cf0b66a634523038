//! The rules as tables; every route with every standing is asked over HTTP in the server's tests.

use super::*;

fn on_app(permissions: &[Permission]) -> Standing {
    Standing {
        permissions: permissions.iter().copied().collect(),
        ..Standing::default()
    }
}

fn in_team(role: TeamRole) -> Standing {
    Standing {
        role: Some(role),
        ..Standing::default()
    }
}

fn operator() -> Standing {
    Standing {
        is_operator: true,
        ..Standing::default()
    }
}

fn decide(scopes: Option<&[Scope]>, action: Action, standing: &Standing) -> Result<(), Refusal> {
    check_scope(scopes, action)?;
    check_standing(action, standing)
}

#[track_caller]
fn check(scope: Scope, action: Action, standing: &Standing, expected: Result<(), Refusal>) {
    let decision = decide(Some(&[scope]), action, standing);
    assert_eq!(decision, expected, "{scope:?} {action:?} {standing:?}");
}

#[test]
fn nothing_but_the_public_actions_goes_without_a_token() {
    for action in Action::ALL {
        let expected = if action.is_public() {
            Ok(())
        } else {
            Err(Refusal::NoToken)
        };
        let owner = on_app(&Permission::ALL);
        assert_eq!(decide(None, *action, &owner), expected, "{action:?}");
    }
}

#[test]
fn strangers_do_not_learn_that_a_thing_is_there() {
    for action in Action::ALL.iter().filter(|action| action.about().is_some()) {
        for stranger in [Standing::default(), operator()] {
            check(Scope::Global, *action, &stranger, Err(Refusal::Stranger));
        }
        check(
            Scope::Identity,
            *action,
            &Standing::default(),
            Err(Refusal::Scope),
        );
    }
}

#[test]
fn owners_may_do_everything_to_apps_and_admins_to_teams() {
    for action in Action::ALL {
        match action.about() {
            Some(Kind::App | Kind::Pipeline) => {
                check(Scope::Global, *action, &on_app(&Permission::ALL), Ok(()));
            }
            Some(Kind::Team) => {
                for role in [TeamRole::Owner, TeamRole::Admin] {
                    check(Scope::Global, *action, &in_team(role), Ok(()));
                }
            }
            None => {}
        }
    }
}

#[test]
fn each_permission_allows_its_own() {
    use Permission::{Deploy, Manage, Operate, View};
    let refused = Err(Refusal::Standing);
    for (action, allowed) in [
        (Action::ReadApp, &[View][..]),
        (Action::UpdateApp, &[Deploy, Operate]),
        (Action::ManageApp, &[Manage]),
        (Action::DeleteApp, &[Manage]),
        (Action::ReadConfigVars, &[Deploy, Operate]),
        (Action::ReadCode, &[Deploy]),
        (Action::Deploy, &[Deploy]),
        (Action::Scale, &[Deploy, Operate]),
        (Action::Operate, &[Operate]),
        (Action::RunDyno, &[Deploy, Operate]),
        (Action::ReadLog, &[Deploy, Operate]),
        (Action::UpdateCollaborators, &[Manage]),
    ] {
        for permission in Permission::ALL {
            let expected = if allowed.contains(&permission) {
                Ok(())
            } else {
                refused
            };
            check(Scope::Global, action, &on_app(&[permission]), expected);
        }
    }
}

#[test]
fn only_the_operator_speaks_for_the_platform() {
    let action = Action::UpdateStatusNotes;
    for other in [
        Standing::default(),
        on_app(&Permission::ALL),
        in_team(TeamRole::Owner),
    ] {
        assert!(decide(Some(&[Scope::Global]), action, &other).is_err());
    }
    check(Scope::Write, action, &operator(), Ok(()));
    check(Scope::Read, action, &operator(), Err(Refusal::Scope));
}

#[test]
fn scopes() {
    let owner = on_app(&Permission::ALL);
    let refused = Err(Refusal::Scope);
    for (scope, action, expected) in [
        (Scope::Identity, Action::ReadAccount, Ok(())),
        (Scope::Identity, Action::ListApps, refused),
        (Scope::Read, Action::ReadApp, Ok(())),
        (Scope::Read, Action::ReadConfigVars, refused),
        (Scope::Read, Action::UpdateApp, refused),
        (Scope::Write, Action::Deploy, Ok(())),
        (Scope::Write, Action::RunDyno, refused),
        (Scope::ReadProtected, Action::ReadConfigVars, Ok(())),
        (Scope::ReadProtected, Action::UpdateConfigVars, refused),
        (Scope::WriteProtected, Action::UpdateConfigVars, Ok(())),
        (Scope::WriteProtected, Action::UpdateAuthorizations, refused),
    ] {
        check(scope, action, &owner, expected);
    }
}
