//! Many dynos of one app are replaced under load.

use e2e::{App, Load, Platform, until};
use serde_json::{Value, json};

use crate::turn;

const DYNOS: usize = 20;
/// Requests a second, and how many may be under way at once.
const RATE: u32 = 500;
const CLIENTS: usize = 96;

#[test]
fn a_release_of_twenty_dynos_rolls_under_load_and_fails_no_request() {
    let _turn = turn();
    let platform = Platform::start();
    let app = App::deployed(&platform, "static");
    let path = format!("/apps/{}", app.name);
    let web = json!({"updates": [{"type": "web", "quantity": DYNOS}]});
    platform
        .api("PATCH", &format!("{path}/formation"), &web)
        .expect("it scales");
    let before = all_up(&app);
    let load = Load::at_rate(platform.http_addr(), &app.host(), "/", RATE, CLIENTS);
    load.await_more(u64::from(RATE));
    platform
        .api(
            "PATCH",
            &format!("{path}/config-vars"),
            &json!({"ROLL": "1"}),
        )
        .expect("it is released");
    let after = until("every dyno is of the new release", || {
        let dynos = all_up(&app);
        dynos.iter().all(|id| !before.contains(id)).then_some(dynos)
    });
    assert_eq!(after.len(), DYNOS);
    load.await_more(u64::from(RATE));
    assert!(load.finish() >= u64::from(2 * RATE));
}

/// Waits until all dynos are up and nothing else is; their ids.
fn all_up(app: &App<'_>) -> Vec<Value> {
    until("all dynos are up", || {
        let path = format!("/apps/{}/dynos", app.name);
        let dynos = app.platform.api_list(&path).ok()?;
        let all_up = dynos.len() == DYNOS && dynos.iter().all(|dyno| dyno["state"] == "up");
        all_up.then(|| dynos.iter().map(|dyno| dyno["id"].clone()).collect())
    })
}
