//! An app of a test: a git repository made from one of `tests/apps`, and its deployed self.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;

use crate::{
    Platform,
    http::{self, Answer},
    shell::{self, Output},
    wait,
};

/// A sample app in a repository of its own, created on the platform.
pub struct App<'a> {
    /// Where it is deployed.
    pub platform: &'a Platform,
    /// Its name there.
    pub name: String,
    /// Its working tree.
    pub tree: PathBuf,
}

impl<'a> App<'a> {
    /// Creates the app and commits a copy of `tests/apps/<sample>`.
    ///
    /// # Panics
    /// When there is one of its name.
    pub fn create(platform: &'a Platform, sample: &str) -> Self {
        let name = platform.app_name(sample);
        let created = platform.api("POST", "/apps", &json!({ "name": name }));
        created.expect("the app can be created");
        let app = Self::local(platform, sample, name);
        app.git(&["remote", "add", "heroku", &app.git_url()]).ok();
        app
    }

    /// A repository without an app on the platform.
    pub fn local(platform: &'a Platform, sample: &str, name: String) -> Self {
        let tree = platform.scratch(&format!("tree-{name}"));
        copy(&wait::repository().join("tests/apps").join(sample), &tree);
        let app = Self {
            platform,
            name,
            tree,
        };
        app.git(&["init", "--quiet", "--initial-branch", "main"])
            .ok();
        app.commit("First");
        app
    }

    /// The app, deployed.
    pub fn deployed(platform: &'a Platform, sample: &str) -> Self {
        let app = Self::create(platform, sample);
        app.push().ok();
        app
    }

    fn git_url(&self) -> String {
        format!("{}/{}.git", self.platform.ready("git_url"), self.name)
    }

    /// `git` in the working tree, with the platform's credentials and nobody's configuration.
    pub fn git(&self, arguments: &[&str]) -> Output {
        shell::run(&mut self.git_command(arguments), "")
    }

    /// The same, not yet run.
    pub fn git_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        let header = format!(
            "Authorization: Basic {}",
            basic(self.platform.ready("admin_token"))
        );
        command
            .current_dir(&self.tree)
            .args(["-c", &format!("http.extraHeader={header}")])
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_SSL_CAINFO", self.platform.ready("ca_pem_path"))
            .envs([
                ("GIT_AUTHOR_NAME", "Test"),
                ("GIT_AUTHOR_EMAIL", "test@example.com"),
            ])
            .envs([
                ("GIT_COMMITTER_NAME", "Test"),
                ("GIT_COMMITTER_EMAIL", "test@example.com"),
            ]);
        command
    }

    /// Writes a file and commits everything.
    pub fn change(&self, path: &str, text: &str) {
        std::fs::write(self.tree.join(path), text).expect("the file can be written");
        self.commit(path);
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "--all"]).ok();
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message])
            .ok();
    }

    /// An empty commit, so that there is something to push.
    pub fn touch(&self) {
        self.commit("Again");
    }

    /// `git push heroku main`.
    pub fn push(&self) -> Output {
        self.git(&["push", "heroku", "main"])
    }

    /// The host name it answers on.
    pub fn host(&self) -> String {
        format!("{}.localhost", self.name)
    }

    /// One request through the router.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn get(&self, path: &str) -> Answer {
        http::get(self.platform.http_addr(), &self.host(), path).expect("the router answers")
    }

    /// The official CLI on this app.
    pub fn heroku(&self, arguments: &[&str]) -> Output {
        self.heroku_with(arguments, "")
    }

    /// The same, with something on its standard input.
    pub fn heroku_with(&self, arguments: &[&str], input: &str) -> Output {
        let (command, rest) = arguments.split_first().expect("a command");
        let mut with_app = vec![*command, "--app", &self.name];
        with_app.extend(rest);
        self.platform.heroku_with(&with_app, input)
    }

    /// `heroku ps --json`: the app's dynos.
    pub fn dynos(&self) -> Vec<serde_json::Value> {
        let text = self.heroku(&["ps", "--json"]).ok().stdout;
        serde_json::from_str(&text).expect("a JSON list of dynos")
    }
}

/// `user:token` in Base64; the user's name does not matter.
fn basic(token: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in format!("heroku:{token}").as_bytes().chunks(3) {
        let bits = chunk
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let index = usize::try_from(bits >> (18 - 6 * position) & 63).expect("six bits");
            text.push(if position <= chunk.len() {
                char::from(ALPHABET[index])
            } else {
                '='
            });
        }
    }
    text
}

fn copy(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    shell::run(command.arg("--recursive").arg(from.join(".")).arg(to), "").ok();
}
