//! The unmodified official CLI, command by command.

use e2e::{App, Platform, until};

#[test]
fn login_and_whoami() {
    let platform = Platform::shared();
    let (email, token) = (platform.ready("admin_email"), platform.ready("admin_token"));
    let home = platform.scratch("login-home");
    let command = |arguments: &[&str]| {
        let mut command = platform.heroku_command(arguments);
        command.env("HOME", &home).env("HEROKU_NETRC_WRITE", "true");
        command
    };
    let run = |arguments: &[&str]| e2e::shell::run(&mut command(arguments), "");
    let answers = [("Email", email), ("Password", token)];
    e2e::shell::converse(&mut command(&["login", "-i"]), &answers)
        .ok()
        .says("Logged in as");
    run(&["auth:whoami"]).ok().says(email);
    run(&["logout"]).ok();
    run(&["auth:whoami"]).refused();
}

#[test]
fn a_bad_token_is_refused_with_a_clear_error() {
    let platform = Platform::shared();
    let mut command = platform.heroku_command(&["apps"]);
    command.env("HEROKU_API_KEY", "not-a-token");
    e2e::shell::run(&mut command, "").refused().says("invalid");
}

#[test]
fn apps_are_created_listed_renamed_and_destroyed() {
    let platform = Platform::shared();
    let name = platform.app_name("life");
    platform
        .heroku(&["create", &name, "--no-remote"])
        .ok()
        .says(&name);
    platform
        .heroku(&["create", &name, "--no-remote"])
        .refused()
        .says("Name is already taken");
    platform.heroku(&["apps"]).ok().says(&name);
    platform
        .heroku(&["apps:info", "--app", &name])
        .ok()
        .says("landfall-13");
    let renamed = platform.app_name("renamed");
    platform
        .heroku(&["apps:rename", &renamed, "--app", &name])
        .ok()
        .says(&renamed);
    platform
        .heroku(&["apps:info", "--app", &name])
        .refused()
        .says("Couldn't find that app");
    platform
        .heroku(&["domains", "--app", &renamed])
        .ok()
        .says(&format!("{renamed}.localhost"));
    platform
        .heroku(&["stack", "--app", &renamed])
        .ok()
        .says("landfall-13");
    platform
        .heroku(&["buildpacks", "--app", &renamed])
        .ok()
        .says("no Buildpack");
    platform
        .heroku(&["apps:destroy", "--app", &renamed, "--confirm", &renamed])
        .ok();
    let apps = platform.heroku(&["apps"]).ok();
    assert!(!apps.stdout.contains(&renamed), "{}", apps.stdout);
}

#[test]
fn git_remote_and_push_with_the_clis_own_credential_helper() {
    let platform = Platform::shared();
    let app = App::create(platform, "python-hello");
    app.git(&["remote", "remove", "heroku"]).ok();
    // A home of its own: the CLI writes its credential helper into the global git configuration.
    let home = platform.scratch("helper-home");
    let mut remote = platform.heroku_command(&["git:remote", "--app", &app.name]);
    remote
        .env("HEROKU_API_KEY", platform.ready("admin_token"))
        .env("HOME", &home)
        .current_dir(&app.tree);
    e2e::shell::run(&mut remote, "").ok();
    app.git(&["remote", "--verbose"])
        .ok()
        .says(&format!("{}.git", app.name));
    let mut push = std::process::Command::new("git");
    for (name, value) in remote.get_envs() {
        if let Some(value) = value {
            push.env(name, value);
        }
    }
    push.args(["push", "heroku", "main"])
        .current_dir(&app.tree)
        .env("PATH", platform.path_with_heroku())
        .env("GIT_TERMINAL_PROMPT", "0");
    e2e::shell::run(&mut push, "")
        .ok()
        .says("remote: -----> Python app detected")
        .says("Released v2");
    assert_eq!(app.get("/").status, 200);
}

#[test]
fn config_vars_make_releases_and_reach_the_app() {
    let app = App::deployed(Platform::shared(), "python-hello");
    app.heroku(&["config:set", "GREETING=hi there", "OTHER=x"])
        .ok()
        .says("v3");
    app.heroku(&["config"])
        .ok()
        .says("GREETING: hi there")
        .says("OTHER:");
    let greeting = || app.get("/env?GREETING").body;
    until("the new value is served", || {
        (greeting() == "hi there").then_some(())
    });
    app.heroku(&["config:unset", "GREETING"]).ok().says("v4");
    until("the value is gone", || greeting().is_empty().then_some(()));
    app.heroku(&["releases"])
        .ok()
        .says("Set GREETING, OTHER config vars")
        .says("v4");
    app.heroku(&["releases:info", "v3"]).ok().says("GREETING");
    until("v4 is current", || {
        app.heroku(&["releases"])
            .ok()
            .stdout
            .contains("v4 ")
            .then_some(())
    });
    app.heroku(&["rollback", "v3"]).ok().says("Rolling back");
    until("the old value is back", || {
        (greeting() == "hi there").then_some(())
    });
    app.heroku(&["releases"]).ok().says("Rollback to v3");
}

#[test]
fn ps_shows_scales_restarts_and_stops() {
    let app = App::deployed(Platform::shared(), "python-hello");
    app.heroku(&["ps"]).ok().says("web.1: up");
    app.heroku(&["ps:scale", "web=2", "worker=1"])
        .ok()
        .says("web at 2")
        .says("worker at 1");
    let names = |wanted: &[&str]| {
        until(&format!("{wanted:?} are up"), || {
            let dynos = app.dynos();
            let up = |name: &str| {
                dynos
                    .iter()
                    .any(|dyno| dyno["name"] == name && dyno["state"] == "up")
            };
            (dynos.len() == wanted.len() && wanted.iter().all(|name| up(name))).then_some(dynos)
        })
    };
    let before = names(&["web.1", "web.2", "worker.1"]);
    app.heroku(&["ps:restart"]).ok();
    let ids = |dynos: &[serde_json::Value]| -> Vec<String> {
        dynos.iter().map(|dyno| dyno["id"].to_string()).collect()
    };
    until("all are new", || {
        let now = names(&["web.1", "web.2", "worker.1"]);
        ids(&now)
            .iter()
            .all(|id| !ids(&before).contains(id))
            .then_some(())
    });
    let before = names(&["web.1", "web.2", "worker.1"]);
    app.heroku(&["ps:stop", "--dyno-name", "worker.1"]).ok();
    until("worker.1 is new", || {
        let now = names(&["web.1", "web.2", "worker.1"]);
        ids(&now)
            .iter()
            .any(|id| !ids(&before).contains(id))
            .then_some(())
    });
    app.heroku(&["ps:scale", "worker=0", "web=1"]).ok();
    names(&["web.1"]);
    app.heroku(&["ps:scale", "nonesuch=1"])
        .refused()
        .says("Couldn't find that process type");
}

#[test]
fn run_gives_output_input_and_exit_status() {
    let app = App::deployed(Platform::shared(), "python-hello");
    app.heroku(&["run", "--", "echo", "hello from inside"])
        .ok()
        .says("hello from inside");
    app.heroku_with(&["run", "--no-tty", "--", "cat"], "piped in\n")
        .ok()
        .says("piped in");
    assert_eq!(
        app.heroku(&["run", "--exit-code", "--", "sh -c 'exit 7'"])
            .status,
        7
    );
    assert_eq!(app.heroku(&["run", "--exit-code", "--", "true"]).status, 0);
    app.heroku(&["run", "--", "id -u; pwd; echo $HOME"])
        .ok()
        .says("/app");
    let detached = app
        .heroku(&["run:detached", "--", "echo said while detached"])
        .ok();
    assert!(detached.stderr.contains("run.") || detached.stdout.contains("run."));
    until("the detached output is logged", || {
        app.heroku(&["logs", "--num", "100"])
            .stdout
            .contains("said while detached")
            .then_some(())
    });
}

#[test]
fn logs_show_both_sources_and_follow() {
    let app = App::deployed(Platform::shared(), "python-hello");
    assert_eq!(app.get("/marker-one").status, 404);
    until("the request is logged", || {
        let logs = app.heroku(&["logs", "--num", "200"]).ok().stdout;
        (logs.contains("path=\"/marker-one\"") && logs.contains("app[web.1]")).then_some(())
    });
    app.heroku(&["logs", "--source", "app"]).ok();
    let mut follower = app
        .platform
        .heroku_command(&["logs", "--tail", "--app", &app.name]);
    let mut follower = follower
        .env("HEROKU_API_KEY", app.platform.ready("admin_token"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("heroku logs --tail starts");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(
        follower.stdout.take().expect("stdout is piped"),
    ));
    // The backlog comes first: once it is seen, what follows is live.
    lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("marker-one")));
    app.get("/marker-two");
    let live = lines.any(|line| line.is_ok_and(|line| line.contains("marker-two")));
    follower.kill().expect("the follower can be ended");
    follower.wait().expect("the follower ends");
    assert!(live, "the second request was not followed");
}

#[test]
fn dynos_are_resized_restarted_killed_and_waited_for() {
    let app = App::deployed(Platform::shared(), "python-hello");
    app.heroku(&["ps:wait"]).ok();
    let id = || {
        let dynos = app.dynos();
        let up = dynos.iter().filter(|dyno| dyno["state"] == "up");
        let ids: Vec<String> = up.map(|dyno| dyno["id"].to_string()).collect();
        (ids.len() == 1 && dynos.len() == 1).then(|| ids.concat())
    };
    let another = |former: &str| {
        until("the dyno is another", || {
            id().filter(|present| present != former)
        })
    };
    let mut former = another("");
    for arguments in [
        &["ps:restart", "--dyno-name", "web.1"][..],
        &["ps:restart", "--process-type", "web"],
        &["ps:restart"],
        &["ps:kill", "web.1"],
        &["ps:stop", "--dyno-name", "web.1"],
    ] {
        app.heroku(arguments).ok();
        former = another(&former);
    }
    app.heroku(&["ps:type"]).ok().says("Standard-1X");
    app.heroku(&["ps:type", "web=standard-2x"]).ok();
    former = another(&former);
    app.heroku(&["ps:resize", "web=basic"]).ok();
    another(&former);
    app.heroku(&["ps"]).ok().says("Basic");
    assert_eq!(app.get("/").status, 200);
}
