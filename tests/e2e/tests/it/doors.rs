//! Ways in beside `git push` over HTTP, each with the client people use.

use std::{
    fs,
    io::ErrorKind,
    net::{IpAddr, TcpListener, UdpSocket},
    path::PathBuf,
    process::Command,
};

use e2e::{App, Platform, shell, until};
use serde_json::json;

/// Somebody's home with a key, and git told to use it.
struct Person<'a> {
    platform: &'a Platform,
    home: PathBuf,
}

impl<'a> Person<'a> {
    fn new(platform: &'a Platform, name: &str) -> Self {
        let home = platform.scratch(name);
        let keys = home.join(".ssh");
        fs::create_dir_all(&keys).expect("the directory can be made");
        let mut make = Command::new("ssh-keygen");
        make.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
            .arg(keys.join("id_ed25519"));
        shell::run(&mut make, "").ok();
        let (_, port) = platform.ready("ssh_addr").rsplit_once(':').expect("a port");
        let host_key = platform.ready("ssh_host_key");
        let known = format!("[127.0.0.1]:{port} {host_key}\n");
        fs::write(keys.join("known_hosts"), known).expect("it can be written");
        Self { platform, home }
    }

    fn heroku(&self, arguments: &[&str]) -> shell::Output {
        let mut command = self.platform.heroku_command(arguments);
        command
            .env("HOME", &self.home)
            .env("HEROKU_API_KEY", self.platform.ready("admin_token"));
        shell::run(&mut command, "")
    }

    fn push(&self, app: &App<'_>) -> shell::Output {
        let keys = self.home.join(".ssh");
        let ssh = format!(
            "ssh -F /dev/null -i {} -o UserKnownHostsFile={} -o StrictHostKeyChecking=yes \
             -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes",
            keys.join("id_ed25519").display(),
            keys.join("known_hosts").display()
        );
        let url = format!(
            "ssh://git@{}/{}.git",
            self.platform.ready("ssh_addr"),
            app.name
        );
        let mut push = app.git_command(&["push", &url, "main"]);
        push.env("GIT_SSH_COMMAND", ssh);
        shell::run(&mut push, "")
    }
}

#[test]
fn a_key_of_heroku_keys_add_pushes_until_it_is_removed() {
    let platform = Platform::shared();
    let person = Person::new(platform, "ssh-person");
    let app = App::create(platform, "python-hello");
    person
        .push(&app)
        .refused()
        .says("Permission denied (publickey)");
    person.heroku(&["keys:add", "--yes"]).ok();
    person.heroku(&["keys"]).ok().says("ssh-person");
    person
        .push(&app)
        .ok()
        .says("remote: -----> Python app detected")
        .says("Released v2");
    assert_eq!(app.get("/").status, 200);
    let events = app.heroku(&["releases"]).ok();
    assert!(events.stdout.contains("v2"), "{}", events.stdout);
    person.heroku(&["keys:remove", "ssh-person"]).ok();
    app.touch();
    person
        .push(&app)
        .refused()
        .says("Permission denied (publickey)");
    person.heroku(&["keys:add", "--yes"]).ok();
    person.heroku(&["keys:clear"]).ok();
    person.heroku(&["keys"]).ok().says("no SSH keys");
}

#[test]
fn a_directory_is_pushed_without_git() {
    let platform = Platform::shared();
    let app = App::create(platform, "python-hello");
    fs::remove_dir_all(app.tree.join(".git")).expect("it can be removed");
    fs::write(app.tree.join(".gitignore"), "private.txt\n").expect("it can be written");
    fs::write(app.tree.join("private.txt"), "x").expect("it can be written");
    let push = |more: &[&str]| {
        let mut command = platform.landfall_command("push");
        command.args(["--app", &app.name]).args(more).arg(&app.tree);
        shell::run(&mut command, "")
    };
    push(&["--version-name", "first"])
        .ok()
        .says("-----> Python app detected")
        .says("Released v2");
    assert_eq!(app.get("/").status, 200);
    let listing = app.heroku(&["run", "--exit-code", "--", "ls"]).ok();
    let listing = listing.says("Procfile").stdout;
    assert!(!listing.contains("private.txt"), "{listing}");
    app.heroku(&["releases"]).ok().says("Deploy first");
    fs::write(app.tree.join("requirements.txt"), "no-such==\n").expect("it can be written");
    push(&[]).refused().says("the build failed");
    assert_eq!(app.get("/").status, 200);
}

/// An address of this machine that is not its loopback.
fn outer_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    // Sends nothing.
    socket.connect("192.0.2.200:9").expect("a way outside");
    socket.local_addr().expect("an address").ip()
}

#[test]
fn an_app_is_built_from_a_private_repository_by_its_deploy_key() {
    let ssh = ("LANDFALL_SSH", "0.0.0.0:0".to_owned());
    let platform = &Platform::start_with(&[ssh]);
    // The private repository is one of another app's here: its branch is kept, not built.
    let upstream = App::create(platform, "python-hello");
    upstream.git(&["push", "heroku", "main:live"]).ok();
    let commit = upstream.git(&["rev-parse", "HEAD"]).ok().stdout;
    let app = App::create(platform, "python-hello");
    let landfall = |command: &str, more: &[&str]| {
        let mut landfall = platform.landfall_command(command);
        landfall.args(["--app", &app.name]).args(more);
        shell::run(&mut landfall, "")
    };
    let (_, port) = platform.ready("ssh_addr").rsplit_once(':').expect("a port");
    let url = format!("ssh://git@{}:{port}/{}.git", outer_address(), upstream.name);
    let told = landfall("repository", &[&url, "--branch", "live"])
        .ok()
        .stdout;
    landfall("deploy", &[]).refused().says("Permission denied");
    let (_, key) = told.split_once("Deploy key: ").expect("a deploy key");
    let body = json!({ "public_key": key.lines().next() });
    platform
        .api("POST", "/account/keys", &body)
        .expect("the key is taken");
    let commit = commit.trim();
    landfall("deploy", &[])
        .ok()
        .says(&format!("Commit {commit}"))
        .says("Released v2");
    assert_eq!(app.get("/").status, 200);
    app.heroku(&["releases"])
        .ok()
        .says(&format!("Deploy {}", &commit[..8]));
    landfall("deploy", &["--ref", "no-such-branch"]).refused();
    let told = landfall("repository", &["--hook", "github"]).ok().stdout;
    a_signed_push_goes_live(platform, &app, &told);
    nothing_inside_is_reached(platform, &app);
}

/// As GitHub tells of a push and signs it.
fn a_signed_push_goes_live(platform: &Platform, app: &App<'_>, told: &str) {
    let word = |label: &str| {
        let line = told.lines().find_map(|line| line.strip_prefix(label));
        let word = line.and_then(|line| line.split_whitespace().next());
        word.unwrap_or_else(|| panic!("{label} in {told}"))
            .to_owned()
    };
    let (url, secret) = (word("Hook:"), word("Secret:"));
    let path = url.splitn(4, '/').nth(3).expect("a path");
    let body = json!({ "ref": "refs/heads/live", "after": "1".repeat(40) }).to_string();
    let mut sign = Command::new("openssl");
    let signed = shell::run(sign.args(["dgst", "-sha256", "-hmac", &secret]), &body).ok();
    let (_, tag) = signed.stdout.trim().rsplit_once(' ').expect("a tag");
    let deliver = |tag: &str| {
        let head = format!(
            "POST /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-GitHub-Event: push\r\n\
             X-GitHub-Delivery: 72d3162e\r\nX-Hub-Signature-256: sha256={tag}\r\nContent-Length: {}",
            body.len()
        );
        let request = format!("{head}\r\n\r\n{body}");
        e2e::http::send(platform.api_addr(), &request).expect("an answer")
    };
    assert_eq!(deliver(&"0".repeat(64)).status, 401);
    let heard = deliver(tag);
    assert_eq!(heard.status, 202, "{}", heard.body);
    let release = format!("/apps/{}/releases/3", app.name);
    until("the push is live", || {
        let release = platform.api("GET", &release, &json!(null)).ok()?;
        (release["status"] == "succeeded").then_some(())
    });
    let again = deliver(tag);
    assert!(again.body.contains("heard before"), "{}", again.body);
}

/// A source's address leads outside, or nowhere.
fn nothing_inside_is_reached(platform: &Platform, app: &App<'_>) {
    let inside = TcpListener::bind("0.0.0.0:0").expect("a port");
    inside.set_nonblocking(true).expect("it can be asked");
    let port = inside.local_addr().expect("an address").port();
    for host in ["127.0.0.1", "localhost", &outer_address().to_string()] {
        let url = format!("http://{host}:{port}/source.tar");
        let path = format!("/apps/{}/builds", app.name);
        let build = platform.api("POST", &path, &json!({ "source_blob": { "url": url } }));
        let build = build.expect("a build is begun");
        let path = format!("{path}/{}", build["id"].as_str().expect("an id"));
        let status = until("the build has ended", || {
            let build = platform.api("GET", &path, &json!(null)).ok()?;
            let status = build["status"].as_str()?.to_owned();
            (status != "pending").then_some(status)
        });
        assert_eq!(status, "failed", "{host}");
    }
    let asked = inside.accept().map_err(|error| error.kind());
    assert_eq!(asked.err(), Some(ErrorKind::WouldBlock));
}
