//! Somebody takes parts of the platform off the host; it puts them back by itself.

use std::process::Command;

use e2e::{App, Host, Platform, shell, until};

#[test]
fn a_flushed_firewall_and_a_deleted_link_come_back_by_themselves() {
    let platform = Platform::start();
    let app = App::deployed(&platform, "python-hello");
    assert_eq!(app.get("/").status, 200);
    let host = Host::of(&platform);
    let before = host.dynos();
    run(&["nft", "delete", "table", "inet", &host.table()]);
    run(&["ip", "link", "delete", &host.link_of(&before[0])]);
    until("the app serves again", || {
        let answer = e2e::http::get(platform.http_addr(), &app.host(), "/").ok()?;
        (answer.status == 200).then_some(())
    });
    until("the firewall is up again", || {
        let table = ["list", "table", "inet", &host.table()];
        let listed = shell::run(Command::new("nft").args(table), "");
        (listed.status == 0).then_some(())
    });
    let after = host.dynos();
    assert!(
        after
            .iter()
            .any(|dyno| dyno.id == before[0].id && dyno.is_alive)
    );
    assert!(platform.said().contains("made the link"));
}

fn run(words: &[&str]) {
    shell::run(Command::new(words[0]).args(&words[1..]), "").ok();
}
