//! The programs that are measured and those that measure: building, starting, asking.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::proxies::Proxy;
use crate::{
    process::{self, Killed},
    workspace,
};

/// Where the built programs are.
pub(super) struct Programs {
    pub(super) landfall: PathBuf,
    bench: PathBuf,
}

/// One that goes on and answers lines with lines.
pub(super) struct Partner {
    asked: ChildStdin,
    answers: BufReader<ChildStdout>,
    _process: Killed,
}

/// The app behind all proxies.
pub(super) struct App {
    pub(super) port: u16,
    _partner: Partner,
}

impl Programs {
    /// Builds them.
    pub(super) fn build(profile: &str) -> Result<Self> {
        let targets: [&[&str]; 2] = [
            &["--package", "server", "--bin", "landfall"],
            &["--package", "router", "--example", "bench"],
        ];
        for target in targets {
            let mut build = process::cargo(&workspace::root());
            build.arg("build").args(target);
            if profile == "release" {
                build.arg("--release");
            }
            process::run(&format!("build {}", target[3]), &mut build)?;
        }
        let directory = workspace::target().join(profile);
        Ok(Self {
            landfall: directory.join("landfall"),
            bench: directory.join("examples").join("bench"),
        })
    }

    /// Runs the bench's program and gives what it says.
    pub(super) fn ask(&self, arguments: &[impl AsRef<std::ffi::OsStr>]) -> Result<Value> {
        let answer = Command::new(&self.bench)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .context("could not start the bench's program")?;
        let text = String::from_utf8_lossy(&answer.stdout);
        let said: Value = serde_json::from_str(&text)
            .with_context(|| format!("{text} {}", String::from_utf8_lossy(&answer.stderr)))?;
        match said["error"].as_str() {
            Some(error) => bail!("{error}"),
            None => Ok(said),
        }
    }

    /// Starts it and waits for its first line.
    pub(super) fn start(&self, arguments: &[String]) -> Result<(Partner, String)> {
        let mut command = Command::new(&self.bench);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Killed::spawn(&mut command)?;
        let (asked, answers) = (process.0.stdin.take(), process.0.stdout.take());
        let mut partner = Partner {
            asked: asked.context("stdin is piped")?,
            answers: BufReader::new(answers.context("stdout is piped")?),
            _process: process,
        };
        let first = partner.line()?;
        Ok((partner, first))
    }

    /// Starts the app.
    pub(super) fn start_app(&self) -> Result<App> {
        let (partner, port) = self.start(&["app".to_owned()])?;
        Ok(App {
            port: port.parse().context("the app prints its port")?,
            _partner: partner,
        })
    }

    /// The functions in which a proxy spends its time under a load.
    pub(super) fn profile(&self, perf: &Path, proxy: &Proxy, load: &[String]) -> Result<String> {
        let record = super::directory().join("perf.data");
        let mut command = Command::new(perf);
        command
            .args(["record", "-q", "-F", "2000", "-o"])
            .arg(&record)
            .args(["-p", &proxy.pid().to_string(), "--"])
            .arg(&self.bench)
            .args(load);
        process::output(&mut command)?;
        let mut command = Command::new(perf);
        command
            .args(["report", "--stdio", "--no-children", "-q"])
            .args(["--percent-limit", "1", "-F", "overhead,symbol", "-i"])
            .arg(&record);
        let report = process::output(&mut command)?;
        let lines = report.lines().filter(|line| !line.trim().is_empty());
        Ok(lines.take(25).collect::<Vec<_>>().join("\n"))
    }
}

impl Partner {
    /// Asks for the next line and gives it.
    pub(super) fn answer(&mut self) -> Result<String> {
        self.asked.write_all(b"\n")?;
        self.line()
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let line = line.trim();
        if line.is_empty() || line.contains("\"error\"") {
            bail!("the bench's program says: {line}");
        }
        Ok(line.to_owned())
    }
}
