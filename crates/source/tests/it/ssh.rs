//! git over SSH, with the OpenSSH client.

use std::{path::PathBuf, process::Output};

use tokio::{net::TcpListener, process::Command, time::timeout};

use crate::{
    platform::{APP, Outcome},
    site::{Checkout, PATIENCE, Site},
};

/// Somebody with a key, and the OpenSSH client told of nothing else.
struct Person<'a> {
    site: &'a Site,
    key: PathBuf,
}

impl<'a> Person<'a> {
    /// One whose key the platform does not know.
    async fn stranger(site: &'a Site, kind: &[&str]) -> Self {
        let key = make_key(site, &kind.concat(), kind).await;
        let hosts = format!(
            "[127.0.0.1]:{} {}\n",
            site.ssh_address.port(),
            site.host_key
        );
        std::fs::write(site.path().join("known_hosts"), hosts).unwrap();
        Self { site, key }
    }

    async fn new(site: &'a Site) -> Self {
        let person = Self::stranger(site, &["ed25519"]).await;
        person.become_known().await;
        person
    }

    async fn fingerprint(&self) -> String {
        let mut command = Command::new("ssh-keygen");
        let shown = command.arg("-lf").arg(&self.key).output().await.unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        shown.split(' ').nth(1).unwrap().to_owned()
    }

    async fn become_known(&self) {
        let fingerprint = self.fingerprint().await;
        self.site.platform.keys.lock().unwrap().insert(fingerprint);
    }

    /// The client with its settings, as git calls it.
    fn client(&self) -> String {
        format!(
            "ssh -F /dev/null -i {} -o UserKnownHostsFile={} -o GlobalKnownHostsFile=/dev/null \
             -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes -o IdentityAgent=none \
             -o BatchMode=yes",
            self.key.display(),
            self.site.path().join("known_hosts").display(),
        )
    }

    /// A checkout whose remote is the app over SSH.
    async fn checkout(&self, name: &str) -> Checkout {
        let checkout = self.site.checkout(name).await;
        checkout
            .git(&["remote", "set-url", "heroku", &self.url(APP)])
            .await;
        checkout
            .git(&["config", "core.sshCommand", &self.client()])
            .await;
        checkout
    }

    fn url(&self, app: &str) -> String {
        format!("ssh://git@{}/{app}.git", self.site.ssh_address)
    }

    /// `ssh OPTIONS git@HOST COMMAND`: its status and what it showed.
    async fn ssh(&self, options: &[&str], command: &[&str]) -> (Option<i32>, String) {
        let client = self.client();
        let mut words = client.split_whitespace();
        let port = self.site.ssh_address.port().to_string();
        let mut ssh = Command::new(words.next().unwrap());
        ssh.args(words)
            .args(["-p", &port])
            .args(options)
            .arg("git@127.0.0.1")
            .args(command)
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        let output: Output = timeout(PATIENCE, ssh.output()).await.unwrap().unwrap();
        let shown = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&shown).into_owned(),
        )
    }
}

async fn make_key(site: &Site, name: &str, kind: &[&str]) -> PathBuf {
    let key = site.path().join(format!("id_{name}"));
    let made = Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-C", "someone", "-t"])
        .args(kind)
        .arg("-f")
        .arg(&key)
        .status();
    assert!(made.await.unwrap().success());
    key
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_shows_its_build_live_and_a_clone_gets_it_back() {
    let site = Site::open().await;
    let person = Person::new(&site).await;
    let checkout = person.checkout("a").await;
    let commit = checkout.commit("static/app.css", "body {}\n").await;
    site.platform.hold();
    let mut push = checkout.begin_push(&["main"]);
    push.until("remote: -----> Python app detected").await;
    assert_eq!(site.at("refs/heads/main").await, "");
    site.platform.release();
    push.until("remote:        Released v3").await;
    let (succeeded, rest) = push.end().await;
    assert!(succeeded, "{rest}");
    assert_eq!(site.at("refs/heads/main").await, commit);
    assert_eq!(
        site.platform.newest_archive()["static/app.css"],
        "body {}\n"
    );

    let clone = site.place("clone");
    let mut command = clone.command(&["-c", "protocol.version=2", "clone", &person.url(APP)]);
    command
        .arg(&clone.path)
        .env("GIT_SSH_COMMAND", person.client())
        .env("GIT_TRACE_PACKET", "1");
    let cloned = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    let shown = String::from_utf8_lossy(&cloned.stderr).into_owned();
    assert!(cloned.status.success(), "{shown}");
    assert!(shown.contains("< version 2"), "{shown}");
    assert_eq!(clone.git(&["rev-parse", "HEAD"]).await, commit);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_build_rejects_the_push() {
    let site = Site::open().await;
    let person = Person::new(&site).await;
    let checkout = person.checkout("a").await;
    site.platform.set(Outcome::BuildFails);
    let (succeeded, shown) = checkout.push(&["main"]).await;
    assert!(!succeeded, "{shown}");
    assert!(shown.contains("No matching distribution"), "{shown}");
    assert!(shown.contains("pre-receive hook declined"), "{shown}");
    assert_eq!(site.at("refs/heads/main").await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_does_not_stop_its_push() {
    let site = Site::open().await;
    let person = Person::new(&site).await;
    let checkout = person.checkout("a").await;
    let commit = checkout.git(&["rev-parse", "HEAD"]).await;
    site.platform.hold();
    let mut push = checkout.begin_push(&["main"]);
    push.until("app detected").await;
    push.kill().await;
    site.platform.release();
    site.until_at("refs/heads/main", &commit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_keys_that_somebody_has_open_the_door() {
    let site = Site::open().await;
    let person = Person::stranger(&site, &["ed25519"]).await;
    let checkout = person.checkout("a").await;
    let (succeeded, shown) = checkout.push(&["main"]).await;
    assert!(
        !succeeded && shown.contains("Permission denied (publickey)"),
        "{shown}"
    );
    person.become_known().await;
    let (succeeded, shown) = checkout.push(&["main"]).await;
    assert!(succeeded, "{shown}");
    site.platform.keys.lock().unwrap().clear();
    let (succeeded, shown) = checkout.push(&["main:other"]).await;
    assert!(
        !succeeded && shown.contains("Permission denied (publickey)"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rsa_and_ecdsa_keys_do_but_for_sha1() {
    let site = Site::open().await;
    for kind in [&["rsa", "-b", "2048"][..], &["ecdsa"]] {
        let person = Person::stranger(&site, kind).await;
        person.become_known().await;
        let (status, shown) = person.ssh(&[], &[]).await;
        assert_eq!(status, Some(1), "{shown}");
        assert!(
            shown.contains("Hi someone@example.com, your key works."),
            "{shown}"
        );
        if kind[0] == "rsa" {
            let old = ["-o", "PubkeyAcceptedAlgorithms=ssh-rsa"];
            let (status, shown) = person.ssh(&old, &[]).await;
            assert_eq!(status, Some(255), "{shown}");
            assert!(shown.contains("Permission denied (publickey)"), "{shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_cannot_be_tried_for_ever() {
    let site = Site::open().await;
    let known = Person::new(&site).await;
    let known = known.key.display().to_string();
    let stranger = Person {
        site: &site,
        key: make_key(&site, "first", &["ed25519"]).await,
    };
    let mut options = Vec::new();
    for number in 0..19 {
        let key = make_key(&site, &number.to_string(), &["ed25519"]).await;
        options.extend(["-i".to_owned(), key.display().to_string()]);
    }
    let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
    options.extend(["-i", known.as_str()]);
    // The known key is the twenty-first: the connection has ended before.
    let (status, shown) = stranger.ssh(&options, &[]).await;
    assert_eq!(status, Some(255), "{shown}");
    assert!(!shown.contains("your key works"), "{shown}");
    let (status, shown) = stranger.ssh(&options[2..], &[]).await;
    assert_eq!(status, Some(1), "{shown}");
    assert!(shown.contains("your key works"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_nothing_but_git_behind_it() {
    let site = Site::open().await;
    let person = Person::new(&site).await;
    for line in [&["ls"][..], &["sh", "-c", "id"], &["git-receive-pack"]] {
        let (status, shown) = person.ssh(&[], line).await;
        assert_eq!(status, Some(1), "{line:?}: {shown}");
        assert!(
            shown.contains("Only git is served here"),
            "{line:?}: {shown}"
        );
    }
    for app in ["none-such", "../../etc", "example.git/objects"] {
        let line = format!("git-upload-pack '{app}.git'");
        let (status, shown) = person.ssh(&[], &[&line]).await;
        assert_eq!(status, Some(1), "{line}: {shown}");
        assert!(shown.contains("Couldn't find that app."), "{line}: {shown}");
    }
    let (status, shown) = person.ssh(&[], &["git-upload-archive 'example.git'"]).await;
    assert!(status == Some(1) && shown.contains("Archives"), "{shown}");
    let (status, shown) = person.ssh(&["-s"], &["sftp"]).await;
    assert!(
        status != Some(0) && shown.contains("subsystem request failed"),
        "{shown}"
    );
    let behind = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let behind = behind.local_addr().unwrap().to_string();
    let (status, shown) = person.ssh(&["-W", &behind], &[]).await;
    assert!(
        status != Some(0) && shown.contains("open failed"),
        "{shown}"
    );
    let remote = [
        "-o",
        "ExitOnForwardFailure=yes",
        "-N",
        "-R",
        "0:127.0.0.1:1",
    ];
    let (status, shown) = person.ssh(&remote, &[]).await;
    assert!(
        status == Some(255) && shown.contains("forwarding failed"),
        "{shown}"
    );
}
