//! Teams, their members and apps, and who may do what in them.

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::harness::{EMAIL, Harness, Person};

/// The team `acme` of the first account.
async fn acme() -> Harness {
    let harness = Harness::start().await;
    let made = harness.post("/teams", json!({ "name": "acme" })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    harness
}

/// Somebody in `acme`.
async fn member<'h>(harness: &'h Harness, email: &str, role: &str) -> Person<'h> {
    let person = harness.person(email).await;
    let body = json!({ "email": email, "role": role });
    let put = harness.put("/teams/acme/members", body).await;
    assert_eq!(put.status, StatusCode::OK, "{put:?}");
    person
}

fn names(list: &Value) -> Vec<&str> {
    let items = list.as_array().unwrap().iter();
    items.map(|item| item["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_team_is_made_renamed_and_removed() {
    let harness = acme().await;
    let again = harness.post("/teams", json!({ "name": "acme" })).await;
    assert_eq!(again.json()["message"], "Name is already taken");
    let list = harness.get("/teams").await.json();
    assert_eq!(
        (&list[0]["role"], list.as_array().unwrap().len()),
        (&json!("admin"), 1)
    );
    let renamed = harness
        .patch("/teams/acme", json!({ "name": "acme-two" }))
        .await;
    assert_eq!(renamed.json()["name"], "acme-two");
    assert_eq!(
        harness.get("/teams/acme").await.status,
        StatusCode::NOT_FOUND
    );
    let path = format!("/teams/{}", list[0]["id"].as_str().unwrap());
    assert_eq!(harness.delete(&path).await.status, StatusCode::OK);
    assert_eq!(harness.get("/teams").await.json(), json!([]));
}

#[tokio::test]
async fn members_come_change_and_leave_but_for_the_last_admin() {
    let harness = acme().await;
    let nobody = json!({ "email": "nobody@example.com", "role": "member" });
    let refused = harness.put("/teams/acme/members", nobody).await;
    assert_eq!(
        refused.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{refused:?}"
    );
    let ann = member(&harness, "ann@example.com", "member").await;
    let raise = json!({ "email": "ann@example.com", "role": "admin" });
    let refused = ann.ask("PUT", "/teams/acme/members", raise.clone()).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let last = harness
        .delete(&format!("/teams/acme/members/{EMAIL}"))
        .await;
    assert_eq!(last.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        harness.put("/teams/acme/members", raise).await.status,
        StatusCode::OK
    );
    let gone = ann
        .ask("DELETE", &format!("/teams/acme/members/{EMAIL}"), json!({}))
        .await;
    assert_eq!(gone.json()["role"], "admin");
    assert_eq!(
        harness.get("/teams/acme").await.status,
        StatusCode::NOT_FOUND
    );
    let ben = harness.person("ben@example.com").await;
    let body = json!({ "email": "ben@example.com", "role": "viewer" });
    ann.ask("PUT", "/teams/acme/members", body).await;
    let path = "/teams/acme/members/ann@example.com";
    assert_eq!(
        ben.ask("DELETE", path, json!({})).await.status,
        StatusCode::FORBIDDEN
    );
    let path = "/teams/acme/members/ben%40example.com";
    assert_eq!(
        ben.ask("DELETE", path, json!({})).await.status,
        StatusCode::OK
    );
    assert_eq!(ben.get("/teams").await.json(), json!([]));
}

#[tokio::test]
async fn who_is_invited_chooses_a_password_and_is_in() {
    let harness = acme().await;
    let body = json!({ "email": "New@example.com", "role": "member" });
    let invited = harness.put("/teams/acme/invitations", body).await;
    assert_eq!(invited.status, StatusCode::OK, "{invited:?}");
    let invited = invited.json();
    let token = invited["token"].as_str().unwrap();
    let listed = harness.get("/teams/acme/invitations").await;
    assert!(listed.text.contains("new@example.com") && !listed.text.contains(token));
    let page = format!("/invitations/{token}");
    let form = harness.send(
        Harness::request(Method::GET, &page, "")
            .body(Body::empty())
            .unwrap(),
    );
    assert!(form.await.text.contains("new@example.com"));
    let choose = async |password: &str| {
        let body = Body::from(format!("new_password={password}"));
        let request = Harness::request(Method::POST, &page, "").body(body);
        harness.send(request.unwrap()).await.status
    };
    assert_eq!(choose("short").await, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(choose("a+long+enough+one").await, StatusCode::OK);
    assert_eq!(choose("a+long+enough+one").await, StatusCode::NOT_FOUND);
    let members = harness.get("/teams/acme/members").await.json();
    assert_eq!(members[1]["email"], "new@example.com");
    let holder = harness
        .platform
        .password_holder("new@example.com", "a long enough one")
        .await;
    assert_eq!(holder.unwrap().email, "new@example.com");
}

#[tokio::test]
async fn an_invitation_is_for_one_address_and_can_be_taken_back() {
    let harness = acme().await;
    let ann = harness.person("ann@example.com").await;
    let ben = harness.person("ben@example.com").await;
    let body = json!({ "email": "ann@example.com", "role": "viewer" });
    let invite = async || {
        let invited = harness
            .put("/teams/acme/invitations", body.clone())
            .await
            .json();
        let token = invited["token"].as_str().unwrap().to_owned();
        (
            format!("/teams/invitations/{token}/accept"),
            invited["id"].clone(),
        )
    };
    let (first, id) = invite().await;
    let (second, same) = invite().await;
    assert_eq!(id, same);
    let accept =
        async |person: &Person<'_>, path: &str| person.ask("POST", path, json!({})).await.status;
    assert_eq!(
        accept(&ann, &first).await,
        StatusCode::NOT_FOUND,
        "replaced"
    );
    assert_eq!(accept(&ben, &second).await, StatusCode::FORBIDDEN);
    assert_eq!(accept(&ann, &second).await, StatusCode::CREATED);
    assert_eq!(names(&ann.get("/teams").await.json()), ["acme"]);
    let body = json!({ "email": "ben@example.com", "role": "viewer" });
    let invited = harness.put("/teams/acme/invitations", body).await.json();
    let path = format!(
        "/teams/acme/invitations/{}",
        invited["id"].as_str().unwrap()
    );
    assert_eq!(harness.delete(&path).await.status, StatusCode::OK);
    let path = format!(
        "/teams/invitations/{}/accept",
        invited["token"].as_str().unwrap()
    );
    assert_eq!(accept(&ben, &path).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_app_of_a_team_is_seen_joined_and_locked() {
    let harness = acme().await;
    let ann = member(&harness, "ann@example.com", "member").await;
    let stranger = harness.person("eve@example.com").await;
    let refused = stranger
        .ask(
            "POST",
            "/teams/apps",
            json!({ "name": "shop", "team": "acme" }),
        )
        .await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "no word of the team");
    let made = harness
        .post("/teams/apps", json!({ "name": "shop", "team": "acme" }))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let made = made.json();
    assert_eq!(made["owner"]["email"], "acme@herokumanager.com");
    assert_eq!(
        (&made["team"]["name"], &made["joined"]),
        (&json!("acme"), &json!(true))
    );
    assert_eq!(names(&ann.get("/apps").await.json()), ["shop"]);
    assert_eq!(ann.get("/users/~/apps").await.json(), json!([]));
    let vars = "/apps/shop/config-vars";
    assert_eq!(ann.get(vars).await.status, StatusCode::FORBIDDEN);
    harness
        .patch("/teams/apps/shop", json!({ "locked": true }))
        .await;
    let collaborators = "/teams/apps/shop/collaborators";
    let own = json!({ "user": "ann@example.com", "permissions": ["manage"] });
    let refused = ann.ask("POST", collaborators, own.clone()).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "locked");
    harness
        .patch("/teams/apps/shop", json!({ "locked": false }))
        .await;
    let joined = ann.ask("POST", collaborators, own).await;
    assert_eq!(joined.status, StatusCode::CREATED, "{joined:?}");
    let given = joined.json()["permissions"].clone();
    assert_eq!(
        names(&given),
        ["view", "deploy", "operate"],
        "nobody makes themselves a manager"
    );
    assert_eq!(ann.get(vars).await.status, StatusCode::OK);
    let refused = ann.ask("DELETE", "/apps/shop", json!({})).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let left = ann
        .ask(
            "DELETE",
            "/apps/shop/collaborators/ann@example.com",
            json!({}),
        )
        .await;
    assert_eq!(left.status, StatusCode::OK, "{left:?}");
    assert_eq!(ann.get(vars).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn permissions_are_given_and_taken_one_by_one() {
    let harness = acme().await;
    let guest = harness.person("guest@example.com").await;
    harness
        .post("/teams/apps", json!({ "name": "shop", "team": "acme" }))
        .await;
    let path = "/teams/apps/shop/collaborators";
    let body = json!({ "user": "guest@example.com", "permissions": ["deploy"] });
    let added = harness.post(path, body).await;
    assert_eq!(names(&added.json()["permissions"]), ["view", "deploy"]);
    assert_eq!(guest.get("/teams").await.json()[0]["role"], "collaborator");
    let listed = harness.get(path).await.json();
    let roles: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["role"])
        .collect();
    assert_eq!(
        roles,
        ["owner", "admin", "collaborator"],
        "as the CLI tells admins apart"
    );
    assert_eq!(
        guest.get("/teams/acme/members").await.status,
        StatusCode::FORBIDDEN
    );
    let rename = json!({ "name": "shop-two" });
    let refused = guest.ask("PATCH", "/apps/shop", rename.clone()).await;
    assert_eq!(
        refused.status,
        StatusCode::FORBIDDEN,
        "renaming is managing"
    );
    let restart = guest.ask("DELETE", "/apps/shop/dynos", json!({})).await;
    assert_eq!(restart.status, StatusCode::FORBIDDEN);
    let one = format!("{path}/guest@example.com");
    let odd = harness
        .patch(&one, json!({ "permissions": ["dance"] }))
        .await;
    assert_eq!(odd.status, StatusCode::UNPROCESSABLE_ENTITY);
    let all = json!({ "permissions": ["operate", "manage"] });
    let changed = harness.patch(&one, all).await.json();
    assert_eq!(
        names(&changed["permissions"]),
        ["view", "operate", "manage"]
    );
    assert_eq!(
        guest.get("/apps/shop/code").await.status,
        StatusCode::FORBIDDEN
    );
    let renamed = guest.ask("PATCH", "/apps/shop", rename).await;
    assert_eq!(renamed.status, StatusCode::OK, "{renamed:?}");
    let entities = harness.get("/teams/acme/permissions").await.json();
    assert_eq!(
        entities[0]["users"][1]["permissions"],
        json!(["view", "operate", "manage"])
    );
    harness
        .delete("/apps/shop-two/collaborators/guest@example.com")
        .await;
    assert_eq!(
        guest.get("/teams").await.json(),
        json!([]),
        "on no app any more"
    );
}

#[tokio::test]
async fn apps_change_hands_when_the_recipient_agrees() {
    let harness = acme().await;
    let ann = member(&harness, "ann@example.com", "member").await;
    let eve = harness.person("eve@example.com").await;
    harness.app("shop").await;
    let offer = json!({ "app": "shop", "recipient": "ann@example.com" });
    let refused = eve
        .ask("POST", "/account/app-transfers", offer.clone())
        .await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    let made = harness.post("/account/app-transfers", offer).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let path = format!(
        "/account/app-transfers/{}",
        made.json()["id"].as_str().unwrap()
    );
    let accept = json!({ "state": "accepted" });
    assert_eq!(
        eve.ask("PATCH", &path, accept.clone()).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        harness.patch(&path, accept.clone()).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        ann.get("/account/app-transfers").await.json()[0]["state"],
        "pending"
    );
    let accepted = ann.ask("PATCH", &path, accept.clone()).await;
    assert_eq!(accepted.json()["state"], "accepted", "{accepted:?}");
    let again = ann.ask("PATCH", &path, accept).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        ann.get("/apps/shop").await.json()["owner"]["email"],
        "ann@example.com"
    );
    let refused = harness.delete("/apps/shop").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "a collaborator now");
    let given = ann
        .ask("PATCH", "/teams/apps/shop", json!({ "owner": "acme" }))
        .await;
    assert_eq!(given.json()["team"]["name"], "acme", "{given:?}");
    assert_eq!(harness.get("/teams/apps/shop").await.json()["joined"], true);
    let back = harness
        .patch("/teams/apps/shop", json!({ "owner": "eve@example.com" }))
        .await;
    assert_eq!(back.json()["state"], "pending", "eve is asked first");
    let path = format!(
        "/account/app-transfers/{}",
        back.json()["id"].as_str().unwrap()
    );
    let declined = eve
        .ask("PATCH", &path, json!({ "state": "declined" }))
        .await;
    assert_eq!(declined.json()["state"], "declined");
    assert_eq!(eve.get("/apps").await.json(), json!([]));
}

#[tokio::test]
async fn what_teams_are_asked_beyond_is_answered_honestly() {
    let harness = acme().await;
    assert_eq!(
        names(&harness.get("/teams/acme/features").await.json()),
        ["org-access-controls"]
    );
    let controls = json!({ "addons-controls": true });
    let refused = harness.patch("/teams/acme/preferences", controls).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let off = harness
        .patch(
            "/teams/acme/preferences",
            json!({ "addons-controls": false }),
        )
        .await;
    assert_eq!(
        off.json(),
        json!({ "default-permission": null, "addons-controls": false })
    );
    let team = harness.person("team@example.com").await;
    let body = json!({ "user": "acme@herokumanager.com" });
    let refused = team.ask("POST", "/apps", json!({ "name": "mine" })).await;
    assert_eq!(refused.status, StatusCode::CREATED);
    let refused = team.ask("POST", "/apps/mine/collaborators", body).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "a team is nobody");
}
