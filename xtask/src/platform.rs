//! A running `landfall up`, driven from outside through its ready file and its API.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{http, out, workspace};

/// How long a start may take.
const START: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);

/// What the ready file says.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    /// Base of the Platform API.
    pub(crate) api_url: String,
    /// Base of the git remotes.
    pub(crate) git_url: String,
    /// Where the router takes plain HTTP.
    pub(crate) http_addr: String,
    /// Our own CA.
    pub(crate) ca_pem_path: String,
    /// The first account.
    pub(crate) admin_email: String,
    /// Its token.
    pub(crate) admin_token: String,
}

impl Ready {
    /// Waits until the file is there and reads it.
    pub(crate) fn wait(file: &Path) -> Result<Self> {
        out::wait_until("the platform to be ready", (START, POLL), || {
            Self::read(file)
        })
    }

    fn read(file: &Path) -> Result<Option<Self>> {
        let Ok(text) = fs::read_to_string(file) else {
            return Ok(None);
        };
        let json: Value = serde_json::from_str(&text).context("the ready file is not JSON")?;
        let field = |name: &str| {
            let value = json[name].as_str().map(str::to_owned);
            value.with_context(|| format!("the ready file lacks {name}"))
        };
        Ok(Some(Self {
            api_url: field("api_url")?,
            git_url: field("git_url")?,
            http_addr: field("http_addr")?,
            ca_pem_path: field("ca_pem_path")?,
            admin_email: field("admin_email")?,
            admin_token: field("admin_token")?,
        }))
    }

    /// One call of the Platform API as the first account.
    ///
    /// # Errors
    /// Any status above 299, with the body's message.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let address = self.api_url.split("://").nth(1).unwrap_or(&self.api_url);
        let request = http::Request {
            address,
            host: address,
            method,
            path,
            token: Some(&self.admin_token),
            body,
        };
        let answer = http::send(&request)?;
        if answer.status > 299 {
            bail!("{method} {path}: {} {}", answer.status, answer.body.trim());
        }
        Ok(serde_json::from_str(&answer.body).unwrap_or(Value::Null))
    }

    /// Makes an app unless it is there.
    pub(crate) fn ensure_app(&self, name: &str) -> Result<()> {
        if self.call("GET", &format!("/apps/{name}"), None).is_ok() {
            return Ok(());
        }
        self.call("POST", "/apps", Some(&json!({ "name": name })))
            .map(drop)
    }

    /// An app's host name and URL as the router serves it.
    pub(crate) fn url(&self, app: &str) -> (String, String) {
        let host = format!("{app}.localhost");
        let port = self.http_addr.rsplit(':').next().unwrap_or("80");
        let url = format!("http://{host}:{port}/");
        (host, url)
    }
}

/// A platform of our own, ended and swept away when dropped.
pub(crate) struct Platform {
    child: Child,
    program: PathBuf,
    data: PathBuf,
    /// What it said when it was ready.
    pub(crate) ready: Ready,
}

impl Platform {
    /// Starts one on free ports with an empty data directory.
    pub(crate) fn start(profile: &str, data: &Path) -> Result<Self> {
        Self::start_with(profile, data, "")
    }

    /// The same with a configuration file.
    pub(crate) fn start_with(profile: &str, data: &Path, config: &str) -> Result<Self> {
        let program = workspace::landfall(profile);
        clear(&program, data)?;
        let log = File::create(log_file(data))?;
        let file = data.with_extension("toml");
        fs::write(&file, config)?;
        let child = command(&program, data, &Ports::Free)
            .arg("--config")
            .arg(file)
            .stdout(log.try_clone()?)
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("could not start {}", program.display()))?;
        let mut child = Ended(Some(child));
        let ready = Ready::wait(&ready_file(data))
            .with_context(|| format!("see {}", log_file(data).display()))?;
        let child = child.0.take().context("the child was just started")?;
        Ok(Self {
            child,
            program,
            data: data.to_owned(),
            ready,
        })
    }
}

impl Platform {
    /// Its data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The number that all its host resources carry.
    pub(crate) fn slot(&self) -> Result<String> {
        let registered = fs::read_dir("/run/landfall/slots").context("no slots are registered")?;
        let ours = registered.filter_map(Result::ok).find(|entry| {
            let owner = fs::read_to_string(entry.path()).unwrap_or_default();
            Path::new(owner.trim()) == self.data
        });
        let slot = ours.context("the platform has no slot")?.file_name();
        Ok(slot.to_string_lossy().into_owned())
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        end(&mut self.child);
        if let Err(error) = down(&self.program, &self.data) {
            out::complain(format_args!("warning: {error:#}"));
        }
    }
}

/// A child that ends with the attempt to start it.
struct Ended(Option<Child>);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            end(child);
        }
    }
}

/// Asks a child to end, and kills it if it does not.
fn end(child: &mut Child) {
    let asked = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .is_ok();
    let limit = Duration::from_secs(if asked { 20 } else { 0 });
    let ended = out::wait_until("the platform to end", (limit, POLL), || {
        Ok(child.try_wait()?)
    });
    if ended.is_err() {
        drop(child.kill());
        drop(child.wait());
    }
}

/// Which ports to listen on.
pub(crate) enum Ports {
    /// The defaults of the program.
    Default,
    /// Whatever is free.
    Free,
}

/// `landfall up` with a data directory and a ready file in it.
pub(crate) fn command(program: &Path, data: &Path, ports: &Ports) -> Command {
    let mut command = Command::new(program);
    command
        .arg("up")
        .arg("--data")
        .arg(data)
        .arg("--ready-file")
        .arg(ready_file(data));
    if matches!(ports, Ports::Free) {
        for flag in ["--listen", "--http", "--https"] {
            command.args([flag, "127.0.0.1:0"]);
        }
    }
    command
}

/// Where a platform writes its ready file, and its own log.
pub(crate) fn ready_file(data: &Path) -> PathBuf {
    data.with_extension("ready.json")
}

/// What the platform's processes print.
pub(crate) fn log_file(data: &Path) -> PathBuf {
    data.with_extension("log")
}

/// Empties a data directory, with everything the host still holds of it.
pub(crate) fn clear(program: &Path, data: &Path) -> Result<()> {
    if data.exists() {
        down(program, data)?;
        fs::remove_dir_all(data).with_context(|| format!("could not empty {}", data.display()))?;
    }
    let ready = ready_file(data);
    if ready.exists() {
        fs::remove_file(ready)?;
    }
    let parent = data.parent().context("the data directory has a parent")?;
    fs::create_dir_all(parent).with_context(|| format!("could not make {}", parent.display()))
}

fn down(program: &Path, data: &Path) -> Result<()> {
    let mut command = Command::new(program);
    crate::process::output(command.arg("down").arg("--data").arg(data)).map(drop)
}
