//! Many pushes to many apps at once, several to each: all go live, each as the release it was told.
//!
//! `cargo xtask pushes` makes it two hundred to fifty apps (`PUSHES_FULL=1`); as part of all tests
//! it is short.

use std::{collections::BTreeSet, path::PathBuf, thread};

use e2e::{App, Platform, host::Host, until, wait};
use serde_json::Value;

use crate::turn;

/// Apps, and pushes to each.
const SHORT: (usize, usize) = (5, 3);
const FULL: (usize, usize) = (50, 4);
/// A push that lost against another of its app, or that was told to come again, does.
const TRIES: usize = 200;

#[test]
fn many_pushes_to_many_apps_all_go_live() {
    let _turn = turn();
    let (apps, each) = match wait::setting("PUSHES_FULL") {
        Some(1..) => FULL,
        _ => SHORT,
    };
    let platform = Platform::start();
    let apps: Vec<App<'_>> = (0..apps)
        .map(|_| App::create(&platform, "static"))
        .collect();
    let clones: Vec<(&App<'_>, PathBuf, String)> = apps
        .iter()
        .flat_map(|app| (0..each).map(move |number| clone(app, number)))
        .collect();
    thread::scope(|scope| {
        for (app, tree, commit) in &clones {
            scope.spawn(move || {
                let version = push(app, tree);
                assert_eq!(
                    commit_of(app, &version),
                    *commit,
                    "v{version} of {}",
                    app.name
                );
            });
        }
    });
    for app in &apps {
        let path = format!("/apps/{}/releases", app.name);
        let releases = platform.api_list(&path).expect("the app has releases");
        let live: Vec<_> = releases
            .iter()
            .filter(|one| one["slug"].is_object())
            .collect();
        let succeeded = live.iter().all(|one| one["status"] == "succeeded");
        assert!(
            succeeded && live.len() == each,
            "{}: {releases:#?}",
            app.name
        );
        assert_eq!(app.get("/").status, 200, "{}", app.name);
    }
    nothing_is_left_behind(&platform, &apps);
    let host = Host::of(&platform);
    drop(platform);
    if let Some(left) = host.leftovers() {
        assert!(left.is_empty(), "left on the machine: {left:#?}");
    }
}

/// Another working tree with a commit of its own.
fn clone<'a>(app: &'a App<'a>, number: usize) -> (&'a App<'a>, PathBuf, String) {
    let tree = app
        .platform
        .scratch(&format!("clone-{}-{number}", app.name));
    let text = tree.to_str().expect("a plain path").to_owned();
    app.git(&["clone", "--quiet", ".", &text]).ok();
    std::fs::write(tree.join("number.txt"), number.to_string()).expect("it can be written");
    app.git(&["-C", &text, "add", "--all"]).ok();
    app.git(&["-C", &text, "commit", "--quiet", "-m", &number.to_string()])
        .ok();
    let commit = app.git(&["-C", &text, "rev-parse", "HEAD"]).ok().stdout;
    (app, tree, commit.trim().to_owned())
}

/// Pushes until it is live; the number of its release.
fn push(app: &App<'_>, tree: &std::path::Path) -> String {
    let tree = tree.to_str().expect("a plain path");
    let url = app.git(&["remote", "get-url", "heroku"]).ok().stdout;
    for _ in 0..TRIES {
        let pushed = app.git(&["-C", tree, "push", "--force", url.trim(), "main"]);
        if pushed.status == 0 {
            let said = pushed.stderr.split("Released v").nth(1);
            let said = said.unwrap_or_else(|| panic!("no release in {}", pushed.stderr));
            return said
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned();
        }
        let again = [
            "in the meantime",
            "Too many others",
            "failed to update ref",
            "fetch first",
            "stale info",
        ];
        assert!(
            again.iter().any(|reason| pushed.stderr.contains(reason)),
            "{}",
            pushed.stderr
        );
    }
    panic!("never went live: {}", app.name);
}

fn commit_of(app: &App<'_>, version: &str) -> String {
    let get = |path: String| {
        app.platform
            .api("GET", &path, &Value::Null)
            .expect("it is there")
    };
    let release = get(format!("/apps/{}/releases/{version}", app.name));
    let slug = release["slug"]["id"]
        .as_str()
        .expect("it has a slug")
        .to_owned();
    let slug = get(format!("/apps/{}/slugs/{slug}", app.name));
    slug["commit"].as_str().unwrap_or_default().to_owned()
}

/// No build goes on, no draft of a layer and no quarantine of a push lies about, and the machine
/// holds one dyno of each app.
fn nothing_is_left_behind(platform: &Platform, apps: &[App<'_>]) {
    let data = platform.data();
    let host = Host::of(platform);
    until("only the apps' dynos are left", || {
        let mut known = BTreeSet::new();
        for app in apps {
            let dynos = platform
                .api_list(&format!("/apps/{}/dynos", app.name))
                .ok()?;
            known.extend(
                dynos
                    .iter()
                    .filter_map(|dyno| dyno["id"].as_str().map(str::to_owned)),
            );
        }
        let drafts = std::fs::read_dir(data.join("layers/.drafts")).ok()?.count();
        let is_clean = host.compare(&known, &known).is_empty();
        (known.len() == apps.len() && drafts == 0 && is_clean).then_some(())
    });
    for repository in std::fs::read_dir(data.join("git")).expect("there are repositories") {
        let objects = repository.expect("it can be read").path().join("objects");
        let entries = std::fs::read_dir(objects)
            .expect("it has objects")
            .flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let left: Vec<_> = names
            .filter(|name| name.starts_with("tmp_objdir"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
