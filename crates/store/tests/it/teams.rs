//! Teams, their members and their apps.

use store::{
    NewAccount, NewApp, NewTeam, NewTeamInvitation, Permission, StoreError, TeamRole, TeamUpdate,
    TransferState, hash_token, team_account,
};

use crate::fixture::change;

fn acme(founder: api::ids::AccountId) -> NewTeam {
    NewTeam {
        name: "acme".parse().unwrap(),
        founder,
    }
}

case! {
    async fn a_team_owns_apps_by_an_account_of_its_own(f: Fixture) {
        let team = f.store.create_team(&change(), &acme(f.owner.id)).await.unwrap();
        assert_eq!(f.store.team(team.id).await.unwrap(), team);
        assert_eq!(f.store.team_by_name(&team.name).await.unwrap(), team);
        let account = f.store.account(team_account(team.id)).await.unwrap();
        assert!(account.is_team && account.password_hash.is_none());
        assert_eq!(account.email, "acme@herokumanager.com");
        let new = NewApp { team: Some(team.id), locked: true, ..f.new_app("shop") };
        let app = f.store.create_app(&change(), &new).await.unwrap();
        assert_eq!((app.owner, app.team, app.locked), (account.id, Some(team.id), true));
        assert_eq!(f.store.collaborators(app.id).await.unwrap().len(), 2);
        let refused = f.store.delete_team(&change(), team.id).await.unwrap_err();
        assert!(matches!(refused, StoreError::Conflict { .. }), "{refused}");
        let update = TeamUpdate { name: Some("acme-two".parse().unwrap()), addons_controls: Some(true) };
        let renamed = f.store.update_team(&change(), team.id, &update).await.unwrap();
        assert_eq!((renamed.name.as_str(), renamed.addons_controls), ("acme-two", Some(true)));
        assert!(f.store.account_by_email("acme@herokumanager.com").await.unwrap().is_none());
        f.store.delete_app(&change(), app.id).await.unwrap();
        f.store.delete_team(&change(), team.id).await.unwrap();
        assert!(f.store.account(account.id).await.unwrap_err().is_not_found());
        assert!(f.store.teams().await.unwrap().is_empty());
    }
}

case! {
    async fn members_see_the_apps_of_their_team_until_they_leave(f: Fixture) {
        let new = NewAccount { email: "friend@example.com".to_owned(), password_hash: None };
        let friend = f.store.create_account(&change(), &new).await.unwrap().id;
        let team = f.store.create_team(&change(), &acme(f.owner.id)).await.unwrap();
        let again = f.store.create_team(&change(), &acme(friend)).await.unwrap_err();
        assert!(matches!(again, StoreError::Conflict { resource: "team", .. }), "{again}");
        let new = NewApp { team: Some(team.id), ..f.new_app("shop") };
        let app = f.store.create_app(&change(), &new).await.unwrap();
        for (role, apps) in [
            (TeamRole::Collaborator, 0),
            (TeamRole::Viewer, 1),
            (TeamRole::Member, 1),
            (TeamRole::Admin, 1),
        ] {
            let made = f.store.set_team_member(&change(), team.id, (friend, role)).await.unwrap();
            assert_eq!(f.store.team_member(team.id, friend).await.unwrap(), Some(made));
            assert_eq!(f.store.apps_of(friend).await.unwrap().len(), apps, "{role}");
        }
        assert_eq!(f.store.team_members(team.id).await.unwrap().len(), 2);
        assert_eq!(f.store.teams_of(friend).await.unwrap(), std::slice::from_ref(&team));
        let gone = f.store.delete_team_member(&change(), team.id, f.owner.id).await.unwrap();
        assert_eq!(gone.role, TeamRole::Admin);
        assert!(f.store.apps_of(f.owner.id).await.unwrap().is_empty());
        assert_eq!(f.store.collaborators(app.id).await.unwrap().len(), 1, "the team itself");
        let refused = f.store.delete_team_member(&change(), team.id, f.owner.id).await;
        assert!(refused.unwrap_err().is_not_found());
    }
}

case! {
    async fn an_invitation_is_replaced_accepted_once_and_taken_back(f: Fixture) {
        let team = f.store.create_team(&change(), &acme(f.owner.id)).await.unwrap();
        let new = |token: &str| NewTeamInvitation {
            email: "New@example.com".to_owned(),
            role: TeamRole::Viewer,
            invited_by: f.owner.id,
            token_hash: hash_token(token),
            expires_at: f.clock.now(),
        };
        let first = f.store.put_team_invitation(&change(), team.id, &new("first")).await.unwrap();
        let second = f.store.put_team_invitation(&change(), team.id, &new("second")).await.unwrap();
        assert_eq!((first.id, second.email.as_str()), (second.id, "new@example.com"));
        let hash = hash_token("first");
        assert!(f.store.team_invitation_by_token_hash(&hash).await.unwrap().is_none());
        let new = NewAccount { email: "new@example.com".to_owned(), password_hash: None };
        let account = f.store.create_account(&change(), &new).await.unwrap().id;
        let member = f.store.accept_team_invitation(&change(), &second, account).await.unwrap();
        assert_eq!((member.account, member.role), (account, TeamRole::Viewer));
        let again = f.store.accept_team_invitation(&change(), &second, account).await;
        assert!(again.unwrap_err().is_not_found());
        assert!(f.store.delete_team_invitation(&change(), &second).await.unwrap_err().is_not_found());
        assert!(f.store.team_invitations(team.id).await.unwrap().is_empty());
    }
}

case! {
    async fn an_app_changes_hands_and_its_former_owner_stays(f: Fixture) {
        let new = NewAccount { email: "friend@example.com".to_owned(), password_hash: None };
        let friend = f.store.create_account(&change(), &new).await.unwrap().id;
        let app = f.app("shop").await;
        let first = f.store.create_app_transfer(&change(), app.id, friend).await.unwrap();
        let offer = f.store.create_app_transfer(&change(), app.id, friend).await.unwrap();
        assert!(f.store.app_transfer(first.id).await.unwrap_err().is_not_found(), "replaced");
        let accepted = f.store.accept_app_transfer(&change(), &offer).await.unwrap();
        assert_eq!(accepted.state, TransferState::Accepted);
        let again = f.store.decline_app_transfer(&change(), &offer).await.unwrap_err();
        assert!(matches!(again, StoreError::Stale { .. }), "{again}");
        assert_eq!(f.store.app(app.id).await.unwrap().owner, friend);
        let stays = f.store.collaborator_of(app.id, f.owner.id).await.unwrap().unwrap();
        assert!(!stays.permissions.contains(&Permission::Manage));
        let team = f.store.create_team(&change(), &acme(friend)).await.unwrap();
        let to = (team_account(team.id), Some(team.id));
        let given = f.store.transfer_app(&change(), app.id, to).await.unwrap();
        assert_eq!((given.owner, given.team), to);
        assert!(f.store.lock_app(&change(), app.id, true).await.unwrap().locked);
        assert_eq!(f.store.apps_of_team(team.id).await.unwrap().len(), 1);
        assert!(f.store.apps_joined(friend).await.unwrap().contains(&app.id));
    }
}
