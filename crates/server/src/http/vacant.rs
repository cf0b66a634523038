//! Resources of the Platform API that nobody has here: empty lists, and for one of them an error
//! that says what is missing, in the words clients act on.
//!
//! `docs/compatibility.md` tells people of each of these refusals; the conformance test compares
//! them. A resource leaves this file when it gets one of its own.

use axum::response::Response;
use http::Method;
use platform::authorize::Action::{self, ListApps, ReadAccount, ReadApp, ReadCatalogue, UpdateApp};

use super::{
    accounts::check_own,
    error::Refusal,
    extract::{By, Path, Wanted},
    range,
    route::Route,
};

/// What is refused: for whom a link of this method and path is, and which resource it would need.
type Absent = (Method, &'static str, Action, &'static Lacking);

/// Something that this platform does not have.
struct Lacking {
    /// In the words clients act on.
    resource: &'static str,
    message: &'static str,
}

const ADD_ON: Lacking = Lacking {
    resource: "add_on",
    message: "Couldn't find that add-on: this platform has no add-on services yet.",
};
const ADD_ON_SERVICE: Lacking = Lacking {
    resource: "add_on service",
    message: "Couldn't find that add-on service or plan: this platform has no add-on services yet.",
};
const ATTACHMENT: Lacking = Lacking {
    resource: "add_on attachment",
    message: "Couldn't find that add-on attachment: this platform has no add-on services yet.",
};
const BILLING: Lacking = Lacking {
    resource: "invoice",
    message: "There is no billing on this platform: no invoices, credits, credit cards or addresses for them.",
};
const ENTERPRISE: Lacking = Lacking {
    resource: "enterprise_account",
    message: "Couldn't find that enterprise account: this platform has none, teams stand on their own.",
};
const FEATURE: Lacking = Lacking {
    resource: "feature",
    message: "Couldn't find that feature: accounts have none to switch on or off.",
};
const REVIEW_APP: Lacking = Lacking {
    resource: "review_app",
    message: "Couldn't find that review app.",
};
const SMS: Lacking = Lacking {
    resource: "sms_number",
    message: "This platform sends no text messages, so accounts have no number.",
};
const SPACE: Lacking = Lacking {
    resource: "space",
    message: "Couldn't find that space: this platform has no private spaces, nor peerings, VPNs or inbound rules of them.",
};

pub(super) fn routes() -> Vec<Route> {
    let empty = EMPTY
        .iter()
        .map(|(path, action)| Route::get(path, *action, nobody));
    let own = [Route::get(
        "/users/{account}/addons",
        ListApps,
        nobody_of_user,
    )];
    empty
        .chain(own)
        .chain(absent().into_iter().map(refused))
        .collect()
}

/// Lists that are truly empty.
const EMPTY: &[(&str, Action)] = &[
    ("/account/credits", ReadAccount),
    ("/account/features", ReadAccount),
    ("/account/invoices", ReadAccount),
    ("/addon-attachments", ListApps),
    ("/addon-region-capabilities", ReadCatalogue),
    ("/addon-services", ReadCatalogue),
    ("/addons", ListApps),
    ("/apps/{app}/addon-attachments", ReadApp),
    ("/apps/{app}/addons", ReadApp),
    ("/apps/{app}/webhooks", ReadApp),
    ("/enterprise-accounts", ReadAccount),
    ("/favorites", ReadAccount),
    ("/spaces", ListApps),
];

async fn nobody(Wanted(range): Wanted) -> Response {
    range::list::<()>(&[], &range, &["id"])
}

async fn nobody_of_user(
    By(caller): By,
    Path(account): Path<String>,
    wanted: Wanted,
) -> Result<Response, Refusal> {
    check_own(&caller, &account)?;
    Ok(nobody(wanted).await)
}

fn refused((method, path, action, lacking): Absent) -> Route {
    let refuse = move || async move {
        Refusal::Absent {
            resource: lacking.resource,
            message: lacking.message,
        }
    };
    match method {
        Method::GET => Route::get(path, action, refuse),
        Method::POST => Route::post(path, action, refuse),
        Method::PATCH => Route::patch(path, action, refuse),
        Method::PUT => Route::put(path, action, refuse),
        _ => Route::delete(path, action, refuse),
    }
}

fn absent() -> Vec<Absent> {
    [
        add_ons(),
        add_ons_of_apps(),
        accounts(),
        enterprise(),
        pipelines(),
        spaces(),
    ]
    .concat()
}

fn add_ons() -> Vec<Absent> {
    let service = |path| (Method::GET, path, ReadCatalogue, &ADD_ON_SERVICE);
    let read = |path| (Method::GET, path, ListApps, &ADD_ON);
    let write = |method, path| (method, path, ListApps, &ADD_ON);
    let webhook = "/addons/{addon}/webhooks/{webhook}";
    vec![
        service("/addon-services/{service}"),
        service("/addon-services/{service}/plans"),
        service("/addon-services/{service}/plans/{plan}"),
        service("/addon-services/{service}/region-capabilities"),
        service("/plans/{plan}"),
        read("/addons/{addon}"),
        read("/addons/{addon}/addon-attachments"),
        read("/addons/{addon}/config"),
        read("/addons/{addon}/log-drains"),
        read("/addons/{addon}/webhooks"),
        read(webhook),
        read("/addons/{addon}/webhook-deliveries"),
        read("/addons/{addon}/webhook-deliveries/{delivery}"),
        read("/addons/{addon}/webhook-events"),
        read("/addons/{addon}/webhook-events/{event}"),
        write(Method::PATCH, "/addons/{addon}/config"),
        write(Method::PUT, "/addons/{addon}/log-drains/{drain}"),
        write(Method::POST, "/addons/{addon}/actions/provision"),
        write(Method::POST, "/addons/{addon}/actions/deprovision"),
        write(Method::POST, "/addons/{addon}/webhooks"),
        write(Method::PATCH, webhook),
        write(Method::DELETE, webhook),
        write(Method::POST, "/actions/addons/resolve"),
    ]
}

fn add_ons_of_apps() -> Vec<Absent> {
    vec![
        (
            Method::POST,
            "/actions/addon-attachments/resolve",
            ListApps,
            &ATTACHMENT,
        ),
        (Method::POST, "/addon-attachments", ListApps, &ADD_ON),
        (
            Method::GET,
            "/addon-attachments/{attachment}",
            ListApps,
            &ATTACHMENT,
        ),
        (
            Method::DELETE,
            "/addon-attachments/{attachment}",
            ListApps,
            &ATTACHMENT,
        ),
        (
            Method::GET,
            "/apps/{app}/addon-attachments/{attachment}",
            ReadApp,
            &ATTACHMENT,
        ),
        (
            Method::POST,
            "/apps/{app}/addons",
            UpdateApp,
            &ADD_ON_SERVICE,
        ),
        (Method::GET, "/apps/{app}/addons/{addon}", ReadApp, &ADD_ON),
        (
            Method::PATCH,
            "/apps/{app}/addons/{addon}",
            UpdateApp,
            &ADD_ON,
        ),
        (
            Method::DELETE,
            "/apps/{app}/addons/{addon}",
            UpdateApp,
            &ADD_ON,
        ),
    ]
}

fn accounts() -> Vec<Absent> {
    vec![
        (
            Method::GET,
            "/account/features/{feature}",
            ReadAccount,
            &FEATURE,
        ),
        (
            Method::PATCH,
            "/account/features/{feature}",
            ReadAccount,
            &FEATURE,
        ),
        (Method::POST, "/account/credits", ReadAccount, &BILLING),
        (
            Method::GET,
            "/account/credits/{credit}",
            ReadAccount,
            &BILLING,
        ),
        (
            Method::GET,
            "/account/invoices/{invoice}",
            ReadAccount,
            &BILLING,
        ),
        (
            Method::GET,
            "/account/invoice-address",
            ReadAccount,
            &BILLING,
        ),
        (
            Method::PUT,
            "/account/invoice-address",
            ReadAccount,
            &BILLING,
        ),
        (
            Method::GET,
            "/users/{account}/sms-number",
            ReadAccount,
            &SMS,
        ),
        (
            Method::POST,
            "/users/{account}/sms-number/actions/recover",
            ReadAccount,
            &SMS,
        ),
        (
            Method::POST,
            "/users/{account}/sms-number/actions/confirm",
            ReadAccount,
            &SMS,
        ),
    ]
}

fn enterprise() -> Vec<Absent> {
    let lacks = |method, path| (method, path, ReadAccount, &ENTERPRISE);
    let read = |path| lacks(Method::GET, path);
    vec![
        read("/enterprise-accounts/{account}"),
        lacks(Method::PATCH, "/enterprise-accounts/{account}"),
        read("/enterprise-accounts/{account}/archives"),
        read("/enterprise-accounts/{account}/archives/{year}/{month}"),
        read("/enterprise-accounts/{account}/events"),
        read("/enterprise-accounts/{account}/members"),
        lacks(Method::POST, "/enterprise-accounts/{account}/members"),
        lacks(
            Method::PATCH,
            "/enterprise-accounts/{account}/members/{member}",
        ),
        lacks(
            Method::DELETE,
            "/enterprise-accounts/{account}/members/{member}",
        ),
        read("/enterprise-accounts/{account}/teams"),
        lacks(Method::POST, "/enterprise-accounts/{account}/teams"),
        read("/enterprise-accounts/{account}/usage/daily"),
        read("/enterprise-accounts/{account}/usage/monthly"),
    ]
}

fn pipelines() -> Vec<Absent> {
    vec![(Method::GET, "/apps/{app}/review-app", ReadApp, &REVIEW_APP)]
}

fn spaces() -> Vec<Absent> {
    let lacks = |method, path| (method, path, ListApps, &SPACE);
    let read = |path| lacks(Method::GET, path);
    let (space, member) = ("/spaces/{space}", "/spaces/{space}/members/{account}");
    let peering = "/spaces/{space}/peerings/{peering}";
    let vpn = "/spaces/{space}/vpn-connections/{connection}";
    vec![
        lacks(Method::POST, "/spaces"),
        read(space),
        lacks(Method::PATCH, space),
        lacks(Method::DELETE, space),
        read("/spaces/{space}/inbound-ruleset"),
        lacks(Method::PUT, "/spaces/{space}/inbound-ruleset"),
        read("/spaces/{space}/inbound-rulesets"),
        read("/spaces/{space}/inbound-rulesets/{ruleset}"),
        read("/spaces/{space}/members"),
        read(member),
        lacks(Method::PATCH, member),
        read("/spaces/{space}/nat"),
        read("/spaces/{space}/peering-info"),
        read("/spaces/{space}/peerings"),
        read(peering),
        lacks(Method::DELETE, peering),
        lacks(
            Method::POST,
            "/spaces/{space}/peerings/{peering}/actions/accept",
        ),
        read("/spaces/{space}/telemetry-drains"),
        read("/spaces/{space}/topology"),
        lacks(Method::POST, "/spaces/{space}/transfer"),
        read("/spaces/{space}/vpn-connections"),
        lacks(Method::POST, "/spaces/{space}/vpn-connections"),
        read(vpn),
        lacks(Method::PATCH, vpn),
        lacks(Method::DELETE, vpn),
    ]
}
