//! Ways in beside `git push` over HTTP, each with the client people use.

use std::{fs, path::PathBuf, process::Command};

use e2e::{App, Platform, shell};

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
