//! Dynos: `landfall bench:dyno-start` starts one for each line it reads, and says what it took.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Starter;
use crate::{bench::samples::Series, workspace};

/// A local engine with everything on.
pub(super) struct Dynos {
    child: Child,
    go: Option<ChildStdin>,
    said: BufReader<ChildStdout>,
    phases: Vec<(String, Vec<f64>)>,
}

impl Dynos {
    /// Opens the engine.
    pub(super) fn open(profile: &str, program: &Path) -> Result<Self> {
        let mut command = Command::new(workspace::landfall(profile));
        command
            .args(["bench:dyno-start", "--data"])
            .arg(workspace::target().join("bench").join("dyno-start"))
            .arg("--program")
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("could not start landfall")?;
        let go = child.stdin.take();
        let said = child.stdout.take().context("its output is piped")?;
        Ok(Self {
            child,
            go,
            said: BufReader::new(said),
            phases: Vec::new(),
        })
    }

    /// Each part of a start, in order, and its median in microseconds.
    pub(super) fn phases(&self) -> Vec<(String, f64)> {
        let median = |times: &Vec<f64>| Series::new("", times.clone()).median();
        self.phases
            .iter()
            .map(|(name, times)| (name.clone(), median(times)))
            .collect()
    }

    fn note(&mut self, said: &Value) {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for phase in said["phases"].as_array().into_iter().flatten() {
            let (Some(name), Some(micros)) = (phase[0].as_str(), phase[1].as_f64()) else {
                continue;
            };
            // A start may name two parts alike.
            let number = seen.entry(name).or_default();
            *number += 1;
            let mut known = self.phases.iter_mut().filter(|(known, _)| known == name);
            match known.nth(*number - 1) {
                Some((_, times)) => times.push(micros),
                None => self.phases.push((name.to_owned(), vec![micros])),
            }
        }
    }
}

impl Starter for Dynos {
    fn start(&mut self) -> Result<f64> {
        let go = self.go.as_mut().context("it is open")?;
        go.write_all(b"\n")?;
        let mut line = String::new();
        if self.said.read_line(&mut line)? == 0 {
            bail!("landfall ended");
        }
        let said: Value = serde_json::from_str(&line).context("landfall says what it took")?;
        self.note(&said);
        said["seconds"].as_f64().context("it is a number")
    }
}

impl Drop for Dynos {
    /// The end of its input ends it, and what it started.
    fn drop(&mut self) {
        drop(self.go.take());
        drop(self.child.wait());
    }
}
