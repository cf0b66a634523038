//! The platform, a dyno that serves, the same program outside, and bad neighbours, one at a time.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Sender, channel},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::load::Target;
use crate::{
    bench::server,
    out,
    platform::Platform,
    process::{self, Killed},
    push::{self, Repository, Sample},
    workspace,
};

/// The app that serves, and whose one-off dynos are bad neighbours: neighbours are dynos, whatever
/// app they belong to.
const APP: &str = "bench-neighbours";
const SAMPLE: Sample = Sample {
    folder: "bad-neighbours",
    app: APP,
    title: "bad neighbours",
};
/// The size of bad neighbours: an ordinary one whose disk is limited, and that may log.
const SIZE: &str = "bad";
const CONFIG: &str = "[sizes.bad]\nmemory_mb = 256\npids = 256\ndisk_mb = 256\n\
                      open_files = 2000\nlog_lines_per_second = 100\n";
/// For a dyno to start or to be gone.
const LIMITS: (Duration, Duration) = (Duration::from_secs(30), Duration::from_millis(20));
/// For a bad neighbour to get going, and for the machine to get over one.
const PAUSE: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Stage {
    // Ended in this order.
    _outside: Killed,
    platform: Platform,
    outside_port: u16,
}

impl Stage {
    pub(super) fn set(profile: &str) -> Result<Self> {
        let place = workspace::target().join("bench").join("noise");
        let program = server::build_kept()?;
        let platform = Platform::start_with(profile, &place.join("platform"), CONFIG)?;
        let repository = place.join("repository");
        let made = Repository::make(&SAMPLE, &repository)?;
        fs::copy(&program, repository.join("server"))?;
        fs::write(repository.join("Procfile"), "web: ./server\n")?;
        made.commit("a web program")?;
        platform.ready.ensure_app(APP)?;
        made.push(&platform.ready, APP, false)?;
        push::wait_for_200(&platform.ready, APP)?;
        let outside_port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut outside = Command::new(&program);
        outside
            .env("PORT", outside_port.to_string())
            .stdin(Stdio::null());
        let outside = Killed::spawn(&mut outside)?;
        let address = format!("127.0.0.1:{outside_port}");
        out::wait_until("the program outside", LIMITS, || {
            Ok(TcpStream::connect(&address).ok())
        })?;
        Ok(Self {
            _outside: outside,
            platform,
            outside_port,
        })
    }

    /// Whom to ask: the router, the dyno itself, and the program outside.
    pub(super) fn targets(&self) -> Result<Vec<Target>> {
        let (host, _) = self.platform.ready.url(APP);
        let target = |name, address| Target {
            name,
            address,
            host: host.clone(),
        };
        let notes = self.notes("web.1").context("there is no web dyno")?;
        let (address, port) = (notes["address"].as_str(), notes["port"].as_u64());
        let address = address.zip(port).context("the dyno has no address")?;
        Ok(vec![
            target(super::ROUTER, self.platform.ready.http_addr.clone()),
            target("direct", format!("{}:{}", address.0, address.1)),
            target("outside", format!("127.0.0.1:{}", self.outside_port)),
        ])
    }

    /// Waits until the machine has got over what was.
    #[expect(clippy::unused_self, reason = "there is a stage")]
    pub(super) fn settle(&self) -> Result<()> {
        process::output(&mut Command::new("sync"))?;
        out::pause(PAUSE);
        Ok(())
    }

    /// Does something beside a bad neighbour, which is started again whenever it has ended.
    pub(super) fn beside<T>(&self, kind: &str, what: impl FnOnce() -> Result<T>) -> Result<T> {
        let is_over = AtomicBool::new(false);
        let (begun, has_begun) = channel();
        thread::scope(|scope| {
            let noise = scope.spawn(|| self.be_bad(kind, &is_over, &begun));
            // Without a beginning the thread has ended, and says why.
            let done = has_begun.recv_timeout(LIMITS.0).map(|()| {
                out::pause(PAUSE);
                what()
            });
            is_over.store(true, Ordering::SeqCst);
            let ended = noise.join().ok().context("the noise panicked")?;
            ended?;
            done?
        })
    }

    /// The platform that runs.
    pub(super) fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Keeps a bad neighbour going until told that it is over.
    fn be_bad(&self, kind: &str, is_over: &AtomicBool, begun: &Sender<()>) -> Result<()> {
        while !is_over.load(Ordering::SeqCst) {
            let dyno = self.start(kind)?;
            begun.send(()).context("nobody waits for it")?;
            out::wait_until("a bad neighbour's end", (NEVER, LIMITS.1), || {
                let ends = is_over.load(Ordering::SeqCst) || has_ended(&dyno);
                Ok(ends.then_some(()))
            })?;
            end(&dyno)?;
        }
        Ok(())
    }

    /// Starts one; its directory.
    fn start(&self, kind: &str) -> Result<PathBuf> {
        let body = json!({
            "command": format!("python3 {kind}.py"),
            "attach": false,
            "size": SIZE,
        });
        let path = format!("/apps/{APP}/dynos");
        let dyno = self.platform.ready.call("POST", &path, Some(&body))?;
        let id = dyno["id"].as_str().context("the dyno has no id")?;
        let directory = self.dynos().join(id);
        out::wait_until("a bad neighbour", LIMITS, || {
            let has_begun = directory.join("state").exists();
            Ok((has_begun || has_ended(&directory)).then_some(()))
        })?;
        Ok(directory)
    }

    fn dynos(&self) -> PathBuf {
        self.platform.data().join("run").join("dynos")
    }

    /// What the engine has noted of the dyno with this name.
    fn notes(&self, name: &str) -> Option<Value> {
        let entries = fs::read_dir(self.dynos()).ok()?.flatten();
        let mut states = entries.filter_map(|entry| state(&entry.path()));
        let found = states.find(|state| state["notes"]["name"] == name);
        found.map(|state| state["notes"].clone())
    }
}

/// Longer than any window.
const NEVER: Duration = Duration::from_hours(1);

fn state(dyno: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(dyno.join("state")).ok()?).ok()
}

/// The platform takes an ended one-off dyno's directory away, sooner or later.
fn has_ended(dyno: &Path) -> bool {
    !dyno.exists() || dyno.join("exit").exists()
}

/// Ends a dyno without further ado, and waits until nothing of it is left.
fn end(dyno: &Path) -> Result<()> {
    if let Some(shim) = state(dyno).filter(|_| !has_ended(dyno)) {
        let shim = shim["shim"].as_i64().context("a dyno has a shim")?;
        let mut kill = Command::new("kill");
        kill.args(["-KILL", &shim.to_string()]);
        // It may have ended by itself meanwhile.
        drop(process::output(&mut kill));
    }
    out::wait_until("a dyno to be gone", LIMITS, || {
        Ok((!dyno.exists()).then_some(()))
    })
}
