//! Who may do what, asked of every route: each route × person × token × own, foreign or unknown thing.
//!
//! The real guard of the real table is asked; only the handlers behind it are replaced by one answer, so
//! that nothing is deleted on the way. What is right comes from `matrix/routes.txt`, a row for each
//! route, and from the small tables here, not from the platform. A route without a row fails, as does a
//! row without a route.

use std::collections::{BTreeMap, BTreeSet};

use api::pipeline_couplings::Stage;
use axum::{Router, body::Body};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use server::http::{HttpState, serve, table};
use store::{
    CollaboratorRole, NewAccount, NewApp, NewAuthorization, NewCollaborator, NewTeam, Permission,
    TeamRole, hash_token,
};
use tower::ServiceExt;

use super::harness::{Harness, bearer};

/// What a token may be, and none.
const TOKENS: [&str; 7] = [
    "",
    "global",
    "identity",
    "read",
    "write",
    "read-protected",
    "write-protected",
];
/// One's own, a team's, somebody else's, and none.
const APPS: [&str; 4] = ["solo", "shop", "alien", "nothing-there"];
const TEAMS: [&str; 3] = ["acme", "strangers", "no-such-team"];
const PIPELINES: [&str; 3] = ["line", "alien-line", "no-such-line"];

/// What nobody here has to do with, nothing at all among it, and who asks for it: somebody of each sort.
const FOREIGN: [&str; 7] = [
    "",
    "alien",
    "nothing-there",
    "strangers",
    "no-such-team",
    "alien-line",
    "no-such-line",
];
const WITNESSES: [&str; 4] = ["chief", "owner", "head", "stranger"];

/// Somebody, what they may do on the apps `solo` and `shop`, and what they are in the team `acme`, which
/// owns `shop`. The pipeline `line` is `owner`'s, and `solo` is in it. Nobody here has to do with
/// `alien`, `alien-line` and `strangers`.
struct Person {
    name: &'static str,
    solo: &'static str,
    shop: &'static str,
    acme: &'static str,
}

const fn person(
    name: &'static str,
    solo: &'static str,
    shop: &'static str,
    acme: &'static str,
) -> Person {
    Person {
        name,
        solo,
        shop,
        acme,
    }
}

const PEOPLE: [Person; 12] = [
    person("chief", "", "", ""),
    person("owner", "view deploy operate manage", "", ""),
    person("helper", "view deploy operate", "", ""),
    person("looker", "view", "", ""),
    person("deployer", "", "view deploy", "collaborator"),
    person("keeper", "", "view operate", "member"),
    person("manager", "", "view manage", "member"),
    person("member", "", "view", "member"),
    person("viewer", "", "view", "viewer"),
    person("admin", "", "view deploy operate manage", "admin"),
    person("head", "", "view deploy operate manage", "owner"),
    person("stranger", "", "", ""),
];

impl Person {
    fn email(&self) -> String {
        format!("{}@people.example.com", self.name)
    }

    fn token(&self, scope: &str) -> String {
        format!("token-of-{}-for-{scope}-0123456789", self.name)
    }

    /// Their permissions on an app, or their role in a team; empty for what they may not know of.
    fn standing(&self, thing: &str) -> &'static str {
        match thing {
            "solo" => self.solo,
            "shop" => self.shop,
            "acme" => self.acme,
            "line" if self.name == "owner" => self.solo,
            "line" if !self.solo.is_empty() => "view",
            _ => "",
        }
    }
}

/// A line of `routes.txt`: method, path, who may, and the narrowest scope that does.
struct Row {
    method: Method,
    path: String,
    may: String,
    scope: String,
}

fn rows() -> Vec<Row> {
    let lines = include_str!("matrix/routes.txt").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [method, path, may, scope] = words[..] else {
            panic!("not four words: {line}");
        };
        Row {
            method: method.parse().unwrap(),
            path: path.to_owned(),
            may: may.to_owned(),
            scope: scope.to_owned(),
        }
    };
    lines.map(row).collect()
}

/// Which tokens do where this scope does.
fn tokens_like(scope: &str) -> &'static [&'static str] {
    match scope {
        "global" => &["global"],
        "identity" => &[
            "global",
            "identity",
            "read",
            "write",
            "read-protected",
            "write-protected",
        ],
        "read" => &[
            "global",
            "read",
            "write",
            "read-protected",
            "write-protected",
        ],
        "write" => &["global", "write", "write-protected"],
        "read-protected" => &["global", "read-protected", "write-protected"],
        "write-protected" => &["global", "write-protected"],
        other => panic!("no scope is called {other}"),
    }
}

impl Row {
    fn things(&self) -> &'static [&'static str] {
        match self.may.as_str() {
            "anyone" | "self" | "operator" => &[""],
            may if may.starts_with("team:") => &TEAMS,
            may if may.starts_with("pipeline:") => &PIPELINES,
            _ => &APPS,
        }
    }

    /// The path to one thing; what else it names is never looked at by the guard.
    fn path_to(&self, thing: &str) -> String {
        let segments = self.path.split('/').map(|segment| match segment {
            "{app}" | "{pipeline}" | "{team}" => thing,
            other if other.starts_with('{') => "x",
            other => other,
        });
        segments.collect::<Vec<_>>().join("/")
    }

    /// What is right.
    fn expected(&self, person: &Person, token: &str, thing: &str) -> StatusCode {
        if self.may == "anyone" {
            return StatusCode::NO_CONTENT;
        }
        if token.is_empty() {
            return StatusCode::UNAUTHORIZED;
        }
        if !tokens_like(&self.scope).contains(&token) {
            return StatusCode::FORBIDDEN;
        }
        let standing = person.standing(thing);
        let may = match self.may.as_str() {
            "self" => true,
            "operator" => person.name == "chief",
            _ if standing.is_empty() => return StatusCode::NOT_FOUND,
            may => {
                let words = may.split_once(':').map_or(may, |(_, words)| words);
                let allowed: Vec<&str> = words.split('|').collect();
                standing.split(' ').any(|word| allowed.contains(&word))
            }
        };
        if may {
            StatusCode::NO_CONTENT
        } else {
            StatusCode::FORBIDDEN
        }
    }
}

async fn people(harness: &Harness) {
    let change = harness.caller().change();
    for person in &PEOPLE {
        let account = if person.name == "chief" {
            harness.account
        } else {
            let new = NewAccount {
                email: person.email(),
                password_hash: None,
            };
            harness
                .store
                .create_account(&change, &new)
                .await
                .unwrap()
                .id
        };
        for scope in TOKENS.iter().filter(|scope| !scope.is_empty()) {
            let token = person.token(scope);
            let new = NewAuthorization {
                account,
                description: (*scope).to_owned(),
                scope: vec![(*scope).to_owned()],
                token_hash: hash_token(&token),
                token_hint: String::new(),
                expires_at: None,
                client: None,
                is_session: false,
            };
            let made = harness.store.create_authorization(&change, &new).await;
            made.unwrap();
        }
    }
}

/// The apps and teams, and what the people are to them.
async fn things(harness: &Harness) {
    let store = &harness.store;
    let change = harness.caller().change();
    let account = async |name: &str| {
        let email = format!("{name}@people.example.com");
        let known = store.account_by_email(&email).await.unwrap();
        known.map_or(harness.account, |account| account.id)
    };
    let alien = NewAccount {
        email: "alien@example.com".to_owned(),
        password_hash: None,
    };
    let alien = store.create_account(&change, &alien).await.unwrap().id;
    let team = async |name: &str, founder| {
        let name = name.parse().unwrap();
        let new = NewTeam { name, founder };
        store.create_team(&change, &new).await.unwrap().id
    };
    let acme = team("acme", account("admin").await).await;
    team("strangers", alien).await;
    let app = async |name: &str, owner, team| {
        let new = NewApp {
            name: name.parse().unwrap(),
            owner,
            team,
            locked: false,
            stack: "landfall-13".parse().unwrap(),
            hostname: format!("{name}.localhost"),
        };
        store.create_app(&change, &new).await.unwrap().id
    };
    let solo = app("solo", account("owner").await, None).await;
    let shop = app("shop", account("admin").await, Some(acme)).await;
    app("alien", alien, None).await;
    let pipeline = async |name: &str, owner| {
        let name = name.parse().unwrap();
        store.create_pipeline(&change, owner, &name).await.unwrap()
    };
    let line = pipeline("line", account("owner").await).await;
    pipeline("alien-line", alien).await;
    let coupled = store.create_pipeline_coupling(&change, (line.id, solo), Stage::Staging);
    coupled.await.unwrap();
    for person in &PEOPLE {
        let id = account(person.name).await;
        if let Ok(role) = person.acme.parse::<TeamRole>() {
            store
                .set_team_member(&change, acme, (id, role))
                .await
                .unwrap();
        }
        // What a role in the team brings by itself must come from there.
        let explicit =
            !matches!(person.acme, "admin" | "owner" | "viewer") && person.name != "member";
        for (app, words) in [(solo, person.solo), (shop, person.shop)] {
            let new = NewCollaborator {
                account: id,
                role: CollaboratorRole::Collaborator,
                permissions: words
                    .split_whitespace()
                    .map(|word| word.parse::<Permission>().unwrap())
                    .collect(),
            };
            if explicit && !words.is_empty() && person.name != "owner" {
                store.create_collaborator(&change, app, &new).await.unwrap();
            }
        }
    }
}

/// Every route with its guard, and one answer behind all of them.
fn guards(harness: &Harness) -> Router {
    async fn let_through() -> StatusCode {
        StatusCode::NO_CONTENT
    }
    let routes = table().into_iter();
    let routes = routes.map(|route| route.answering(let_through)).collect();
    serve(routes, HttpState::new(harness.platform.clone()))
}

async fn ask(router: &Router, row: &Row, path: &str, token: &str) -> (StatusCode, String) {
    let mut request = Request::builder().method(&row.method).uri(path);
    if !token.is_empty() {
        request = request.header("authorization", bearer(token));
    }
    let request = request.body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[test]
fn every_route_has_a_row_and_every_row_a_route() {
    let routes: BTreeSet<String> = table()
        .iter()
        .map(|route| format!("{} {}", route.method(), route.path()))
        .collect();
    let rows = rows();
    let count = rows.len();
    let rows: BTreeSet<String> = rows
        .iter()
        .map(|row| format!("{} {}", row.method, row.path))
        .collect();
    assert_eq!(rows.len(), count, "a route has two rows");
    let missing: Vec<_> = routes.difference(&rows).collect();
    let left_over: Vec<_> = rows.difference(&routes).collect();
    assert!(
        missing.is_empty() && left_over.is_empty(),
        "no row in matrix/routes.txt: {missing:#?}\nno route: {left_over:#?}"
    );
}

/// One question: who asks for what with which token, to which thing.
struct Case<'a> {
    row: &'a Row,
    person: &'static Person,
    token: &'static str,
    thing: &'static str,
}

fn cases(rows: &[Row]) -> Vec<Case<'_>> {
    let mut cases = Vec::new();
    for row in rows {
        for person in &PEOPLE {
            for (token, thing) in TOKENS
                .iter()
                .flat_map(|token| row.things().iter().map(move |thing| (*token, *thing)))
            {
                let case = Case {
                    row,
                    person,
                    token,
                    thing,
                };
                cases.push(case);
            }
        }
    }
    // Without a token everybody is the same, and to what is nobody's here nearly so.
    cases.retain(|case| !case.token.is_empty() || case.person.name == "stranger");
    cases.retain(|case| !FOREIGN.contains(&case.thing) || WITNESSES.contains(&case.person.name));
    cases
}

impl Case<'_> {
    async fn ask(&self, router: &Router) -> (StatusCode, String) {
        let path = self.row.path_to(self.thing);
        let shown = self.person.token(self.token);
        let shown = if self.token.is_empty() { "" } else { &shown };
        ask(router, self.row, &path, shown).await
    }

    /// What is wrong with an answer. What may not be known is refused in the words in which anything
    /// of its kind is that is not there.
    fn fault(
        &self,
        (status, text): (StatusCode, &str),
        refusals: &mut BTreeMap<&'static str, String>,
    ) -> Option<String> {
        let expected = self.row.expected(self.person, self.token, self.thing);
        let kind = self.row.things().first().copied().unwrap_or_default();
        let is_same = status != StatusCode::NOT_FOUND
            || *refusals.entry(kind).or_insert_with(|| text.to_owned()) == text;
        (status != expected || !is_same).then(|| {
            format!(
                "{} {}: {} with {:?} to {:?}: {status} {text}, not {expected}",
                self.row.method, self.row.path, self.person.name, self.token, self.thing
            )
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_may_more_or_less_than_the_table_says() {
    let harness = Harness::start().await;
    people(&harness).await;
    things(&harness).await;
    let router = guards(&harness);
    let rows = rows();
    let cases = cases(&rows);
    let mut wrong = Vec::new();
    let mut refusals = BTreeMap::new();
    for case in &cases {
        let (status, text) = case.ask(&router).await;
        wrong.extend(case.fault((status, &text), &mut refusals));
    }
    println!("figure authz_cases {} count", cases.len());
    println!("figure authz_wrong {} count", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.len() >= 20_000, "{} cases", cases.len());
}
