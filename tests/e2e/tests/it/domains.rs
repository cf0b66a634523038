//! Domains and certificates, from the official CLI to what a TLS client is shown.

use std::{net::SocketAddr, path::Path};

use e2e::{
    App, Output, Platform,
    pebble::{Pebble, make_certificate},
    until,
};
use serde_json::{Value, json};

/// `curl` of `https://HOST/` through the router, trusting only what is in `root`.
fn curl(platform: &Platform, host: &str, root: Option<&Path>) -> Output {
    let https: SocketAddr = platform.ready("https_addr").parse().expect("an address");
    let mut command = std::process::Command::new("curl");
    command
        .args(["--silent", "--show-error", "--fail", "--max-time", "20"])
        .args(["--resolve", &format!("{host}:{}:127.0.0.1", https.port())]);
    match root {
        Some(root) => command.arg("--cacert").arg(root),
        None => command.arg("--insecure"),
    };
    command.arg(format!("https://{host}:{}/", https.port()));
    e2e::shell::run(&mut command, "")
}

/// Waits until the host is shown a certificate that `root` vouches for, and answers.
fn served(platform: &Platform, host: &str, root: &Path) {
    until(&format!("{host} is shown {}", root.display()), || {
        let answer = curl(platform, host, Some(root));
        answer.stdout.contains("Hello from Landfall").then_some(())
    });
}

fn endpoints(app: &App<'_>) -> Vec<Value> {
    let path = format!("/apps/{}/sni-endpoints", app.name);
    app.platform.api_list(&path).expect("a list")
}

fn name(endpoint: &Value) -> String {
    endpoint["name"].as_str().expect("a name").to_owned()
}

#[test]
fn domains_are_added_shown_and_removed() {
    let platform = Platform::shared();
    let app = App::deployed(platform, "python-hello");
    let host = format!("www.{}.example.com", app.name);
    let target = app.host();
    app.heroku(&["domains:add", &host]).ok().says(&target);
    app.heroku(&["domains:wait", &host]).ok();
    app.heroku(&["domains:wait"]).ok();
    app.heroku(&["domains"]).ok().says(&host).says(&target);
    app.heroku(&["domains:info", &host]).ok().says(&host);
    app.heroku(&["domains:add", &host]).refused();
    let wildcard = format!("*.{}.example.com", app.name);
    app.heroku(&["domains:add", &wildcard, "--wait"]).ok();
    let any = format!("any.{}.example.com", app.name);
    for asked in [&host, &any] {
        let answer = e2e::http::get(platform.http_addr(), asked, "/").expect("it answers");
        assert_eq!(answer.status, 200, "{asked}");
    }
    app.heroku(&["domains:remove", &host]).ok();
    let left = app.heroku(&["domains"]).ok();
    assert!(!left.stdout.contains(&host), "{}", left.stdout);
    app.heroku(&["domains:clear"]).ok();
    until("the wildcard answers no more", || {
        let answer = e2e::http::get(platform.http_addr(), &any, "/").ok()?;
        (answer.status == 404).then_some(())
    });
}

#[test]
fn certificates_are_added_shown_changed_and_removed() {
    let platform = Platform::shared();
    let app = App::deployed(platform, "python-hello");
    let host = format!("www.{}.example.com", app.name);
    let files = platform.scratch(&format!("certificates-{}", app.name));
    let paths = ["first", "second", "third"].map(|name| files.join(name));
    for path in &paths {
        make_certificate(path, &[&host]);
    }
    let [first, second, third] = paths.map(|path| {
        let text = |end| path.with_extension(end).display().to_string();
        [text("pem"), text("key")]
    });
    app.heroku(&["certs:add", &first[0], &first[1]])
        .ok()
        .says(&host)
        .says("self signed");
    let name_of_first = name(&endpoints(&app)[0]);
    app.heroku(&["certs"]).ok().says(&name_of_first);
    app.heroku(&["certs:info", "--name", &name_of_first])
        .ok()
        .says(&host);
    // It is good for the domain, so the domain takes it.
    app.heroku(&["domains:add", &host]).ok();
    served(platform, &host, first[0].as_ref());
    app.heroku(&["certs:info", "--show-domains"])
        .ok()
        .says(&host);

    // The CLI asks back when a certificate fits a domain; the API does not.
    let read = |path: &str| std::fs::read_to_string(path).expect("it was made");
    let brought = json!({
        "certificate_chain": read(&second[0]),
        "private_key": read(&second[1]),
    });
    let path = format!("/apps/{}/sni-endpoints", app.name);
    let added = platform.api("POST", &path, &brought).expect("it is taken");
    app.heroku(&["domains:update", &host, "--cert", &name(&added)])
        .ok();
    served(platform, &host, second[0].as_ref());

    app.heroku(&[
        "certs:update",
        &third[0],
        &third[1],
        "--name",
        &name(&added),
        "--confirm",
        &app.name,
    ])
    .ok()
    .says(&host);
    served(platform, &host, third[0].as_ref());
    app.heroku(&["certs:add", &first[0], &second[1]])
        .refused()
        .says("key");
    for endpoint in [name_of_first, name(&added)] {
        app.heroku(&["certs:remove", "--name", &endpoint, "--confirm", &app.name])
            .ok();
    }
    assert!(endpoints(&app).is_empty());
    until("the platform's own certificate is shown again", || {
        (curl(platform, &host, Some(third[0].as_ref())).status != 0).then_some(())
    });
    curl(platform, &host, None).ok().says("Hello from Landfall");
}

#[test]
fn automatic_certificates_are_switched_on_issued_and_switched_off() {
    let scratch = tempfile::TempDir::with_prefix("lf-pebble-").expect("a directory");
    let mut pebble = Pebble::planned(scratch.path().to_owned());
    let platform = Platform::start_with(&pebble.environment());
    pebble.start(platform.http_addr());
    let app = App::deployed(&platform, "python-hello");
    app.heroku(&["certs:auto"]).ok().says("disabled");
    app.heroku(&["domains:add", "www.auto.example.com"]).ok();
    app.heroku(&["certs:auto:enable", "--wait"]).ok();
    app.heroku(&["certs:auto"])
        .ok()
        .says("enabled")
        .says("www.auto.example.com")
        .says("Cert issued");
    let [endpoint] = &endpoints(&app)[..] else {
        panic!("one certificate")
    };
    let chain = endpoint["ssl_cert"]["cert_domains"].to_string();
    assert!(chain.contains("www.auto.example.com"), "{endpoint}");
    app.heroku(&["certs"]).ok().says(&name(endpoint));
    curl(&platform, "www.auto.example.com", None)
        .ok()
        .says("Hello from Landfall");
    app.heroku(&["certs:auto:refresh"]).ok();
    app.heroku(&["certs:auto:disable", "--confirm", &app.name])
        .ok();
    app.heroku(&["certs:auto"]).ok().says("disabled");
}
