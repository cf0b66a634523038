//! A server on a free port, repositories to push from, and git cut off from this machine's settings.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};

use api::client::Transport;
use axum::Router;
use source::{GitDoor, SourceConfig, SshDoor};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStderr, Command},
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};

use crate::platform::{APP, ByKey, InProcess, Platform, TOKEN};

/// Everything a test waits for comes well within this time.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Site {
    dir: tempfile::TempDir,
    pub(crate) platform: Arc<Platform>,
    pub(crate) router: Router,
    address: String,
    pub(crate) ssh_address: SocketAddr,
    pub(crate) host_key: String,
    servers: [AbortHandle; 2],
}

impl Drop for Site {
    fn drop(&mut self) {
        self.platform.release();
        self.servers.iter().for_each(AbortHandle::abort);
    }
}

impl Site {
    pub(crate) async fn open() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut SourceConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let platform = Arc::new(Platform::default());
        let mut config = SourceConfig::new(dir.path().join("data"), hook_program());
        change(&mut config);
        let transport = Arc::new(InProcess::new(Arc::clone(&platform)));
        let door = GitDoor::open(config, transport).unwrap();
        let router = door.routes();
        let ssh = ssh_door(&platform);
        let host_key = ssh.host_key();
        let ssh_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ssh_address = ssh_listener.local_addr().unwrap();
        let ssh_server = tokio::spawn(async move { door.serve_ssh(ssh_listener, ssh).await });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = router.clone();
        let server = tokio::spawn(async move { axum::serve(listener, serving).await });
        Self {
            dir,
            platform,
            router,
            address,
            ssh_address,
            host_key,
            servers: [server.abort_handle(), ssh_server.abort_handle()],
        }
    }

    /// A directory of this test's own.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn url(&self, app: &str, token: &str) -> String {
        format!("http://heroku:{token}@{}/{app}.git", self.address)
    }

    /// A repository with a few files and one commit on main, whose remote `heroku` is the app.
    pub(crate) async fn checkout(&self, name: &str) -> Checkout {
        let checkout = Checkout {
            path: self.dir.path().join(name),
        };
        std::fs::create_dir(&checkout.path).unwrap();
        checkout
            .git(&["init", "--quiet", "--initial-branch=main"])
            .await;
        checkout
            .git(&["remote", "add", "heroku", &self.url(APP, TOKEN)])
            .await;
        checkout.commit("Procfile", "web: python app.py\n").await;
        checkout
    }

    /// A place for another clone.
    pub(crate) fn place(&self, name: &str) -> Checkout {
        Checkout {
            path: self.dir.path().join(name),
        }
    }

    pub(crate) fn hook_socket(&self) -> PathBuf {
        self.dir.path().join("data/run/hook.sock")
    }

    /// The app's bare repository on the server.
    pub(crate) fn served(&self) -> Checkout {
        Checkout {
            path: self
                .dir
                .path()
                .join(format!("data/git/{}.git", self.platform.app)),
        }
    }

    /// Where the server's repository has a reference; empty if nowhere.
    pub(crate) async fn at(&self, reference: &str) -> String {
        let format = "--format=%(objectname)";
        self.served()
            .git(&["for-each-ref", format, reference])
            .await
    }

    /// Waits until the server's repository has `reference` at `commit`.
    pub(crate) async fn until_at(&self, reference: &str, commit: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.at(reference).await != commit {
            assert!(
                Instant::now() < deadline,
                "{reference} never got to {commit}"
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Packs, loose objects and quarantines in the server's repository.
    pub(crate) fn object_files(&self) -> Vec<PathBuf> {
        let objects = self.served().path.join("objects");
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&objects)
            .unwrap()
            .chain(std::fs::read_dir(objects.join("pack")).unwrap())
        {
            let path = entry.unwrap().path();
            if !path.ends_with("objects/pack") && !path.ends_with("objects/info") {
                found.push(path);
            }
        }
        found
    }
}

fn ssh_door(platform: &Arc<Platform>) -> SshDoor {
    let platform = Arc::clone(platform);
    let transport = move |fingerprint: &str| -> Arc<dyn Transport> {
        Arc::new(ByKey {
            platform: Arc::clone(&platform),
            fingerprint: fingerprint.to_owned(),
        })
    };
    SshDoor::new(&[7; 32], Arc::new(transport))
}

/// The example of this crate that is the hook; `cargo test` builds it, `--test it` alone does not.
pub(crate) fn hook_program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/pre-receive");
    assert!(
        program.exists(),
        "run `cargo build -p source --examples` first"
    );
    program
}

pub(crate) struct Checkout {
    pub(crate) path: PathBuf,
}

impl Checkout {
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let place = if self.path.exists() {
            self.path.as_path()
        } else {
            Path::new("/")
        };
        let mut command = Command::new("git");
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "Someone")))
            .envs(
                ["AUTHOR", "COMMITTER"]
                    .map(|who| (format!("GIT_{who}_EMAIL"), "someone@example.com")),
            )
            .current_dir(place)
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs git, which must succeed; what it printed.
    pub(crate) async fn git(&self, arguments: &[&str]) -> String {
        let output = timeout(PATIENCE, self.command(arguments).output())
            .await
            .unwrap()
            .unwrap();
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            stderr(&output)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The same, with input.
    pub(crate) async fn git_with(&self, arguments: &[&str], input: &str) -> String {
        let path = self.path.join(".git/input");
        std::fs::write(&path, input).unwrap();
        let mut command = self.command(arguments);
        command.stdin(std::fs::File::open(&path).unwrap());
        let output = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            stderr(&output)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Writes a file and commits everything; the commit.
    pub(crate) async fn commit(&self, file: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self.git(&["add", "--all"]).await;
        self.git(&["commit", "--quiet", "--message", file]).await;
        self.git(&["rev-parse", "HEAD"]).await
    }

    /// `git push heroku ARGUMENTS`: whether it succeeded, and what it showed.
    pub(crate) async fn push(&self, arguments: &[&str]) -> (bool, String) {
        let arguments = [&["push", "heroku"], arguments].concat();
        let output = timeout(PATIENCE, self.command(&arguments).output())
            .await
            .unwrap()
            .unwrap();
        (output.status.success(), stderr(&output))
    }

    /// Begins `git push heroku ARGUMENTS`, in a process group of its own.
    pub(crate) fn begin_push(&self, arguments: &[&str]) -> Pushing {
        let arguments = [&["push", "heroku"], arguments].concat();
        let mut child = self
            .command(&arguments)
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Pushing { child, lines }
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A push under way.
pub(crate) struct Pushing {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Pushing {
    /// Reads on until a line that contains `text`.
    pub(crate) async fn until(&mut self, text: &str) {
        let mut seen = String::new();
        let found = timeout(PATIENCE, async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                seen = seen.clone() + &line + "\n";
                if line.contains(text) {
                    return true;
                }
            }
            false
        });
        assert!(found.await.unwrap_or(false), "no {text:?} in\n{seen}");
    }

    /// Whether it succeeded, and the rest of what it shows.
    pub(crate) async fn end(mut self) -> (bool, String) {
        let mut rest = String::new();
        let status = timeout(PATIENCE, async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                rest = rest.clone() + &line + "\n";
            }
            self.child.wait().await.unwrap()
        });
        (status.await.unwrap().success(), rest)
    }

    /// SIGKILL to git and all its helpers.
    pub(crate) async fn kill(mut self) {
        let group = format!("-{}", self.child.id().unwrap());
        let killed = Command::new("kill")
            .args(["-KILL", "--", &group])
            .status()
            .await
            .unwrap();
        assert!(killed.success());
        self.child.wait().await.unwrap();
    }
}
