//! `xtask bench density`: what idle dynos weigh, how long it takes to start and stop many, and
//! whether anything is left of them.
//!
//! Weighed is all that the kernel charges to the dynos' groups and to their shims' group, page
//! cache and kernel memory included; a file that many dynos share is in it once. It is weighed
//! twice: right after the starts, `charged`, and again, `held`, after the kernel was asked to take
//! back what nobody needs, as it does by itself when memory is short: cached files and directories
//! that were touched during the start. What was swapped counts as held. What the host has
//! less of afterwards (`MemAvailable`) is printed beside it: that also has what the kernel charges
//! to nobody, and whatever else happened on the machine meanwhile.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{
    samples::{Series, figure, keep},
    server,
};
use crate::{out, process, workspace};

/// Idle dynos of the static server, and of each language.
const STATIC: usize = 500;
const OTHERS: usize = 50;
/// For what is being removed when the program ends.
const LIMITS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_millis(50));

/// When the dynos are weighed, in the words of `landfall bench:density`: after they have started,
/// and after the kernel has taken back what nobody needs.
const CHARGED: &str = "after";
const HELD: &str = "reclaimed";
/// The same, with what they are called in the table.
const WEIGHINGS: [(&str, &str); 2] = [("charged", CHARGED), ("held", HELD)];

/// A program to start many dynos of.
struct Program {
    name: &'static str,
    count: usize,
    /// Files of the host and where they are inside.
    binds: Vec<(PathBuf, &'static str)>,
    command: Vec<&'static str>,
}

/// What one dyno weighs on average, bytes.
struct Weight {
    /// Its program's own: memory of processes and files in memory.
    own: f64,
    /// Page cache.
    files: f64,
    /// The kernel's on its behalf.
    kernel: f64,
    shim: f64,
    /// What the host has less of.
    host: f64,
}

/// Runs it.
pub(crate) fn run(profile: &str) -> Result<()> {
    let data = workspace::target().join("bench").join("density");
    let mut measured = Vec::new();
    for program in programs()? {
        out::step(format_args!("{} × {}", program.count, program.name));
        measured.push((program.name, measure(profile, &data, &program)?));
    }
    tell(&measured)?;
    let all: Vec<Value> = measured
        .into_iter()
        .map(|(name, measured)| json!({"name": name, "measured": measured}))
        .collect();
    keep("density", &Value::from(all))
}

fn programs() -> Result<Vec<Program>> {
    let mut programs = vec![
        Program {
            name: "static",
            count: STATIC,
            binds: vec![(server::build()?, "/run/server")],
            command: vec!["/run/server"],
        },
        Program {
            name: "python",
            count: OTHERS,
            binds: vec![(source("idle.py"), "/run/idle.py")],
            command: vec!["/usr/bin/python3", "/run/idle.py"],
        },
    ];
    // The stack has no Node; a program of the host does as well.
    match process::find("node") {
        Some(node) => programs.push(Program {
            name: "node",
            count: OTHERS,
            binds: vec![(node, "/run/node"), (source("idle.js"), "/run/idle.js")],
            command: vec!["/run/node", "/run/idle.js"],
        }),
        None => out::say("node: not installed, left out"),
    }
    Ok(programs)
}

fn source(name: &str) -> PathBuf {
    workspace::root().join("xtask/src/bench/server").join(name)
}

/// Starts and stops the dynos; gives what `landfall bench:density` says.
fn measure(profile: &str, data: &Path, program: &Program) -> Result<Value> {
    let mut command = Command::new(workspace::landfall(profile));
    command
        .args(["bench:density", "--count", &program.count.to_string()])
        .arg("--data")
        .arg(data);
    for (source, target) in &program.binds {
        command
            .arg("--bind")
            .arg(format!("{}:{target}", source.display()));
    }
    command.arg("--").args(&program.command);
    let measured: Value = serde_json::from_str(&process::output(&mut command)?)?;
    let slot = measured["slot"].as_u64().context("the slot is named")?;
    let left = out::wait_until("nothing to be left", LIMITS, || {
        Ok(leftovers(slot, data).is_empty().then_some(()))
    });
    if left.is_err() {
        bail!("left behind: {:#?}", leftovers(slot, data));
    }
    Ok(measured)
}

fn tell(measured: &[(&str, Value)]) -> Result<()> {
    let columns = ["own", "files", "kernel", "shim", "sum", "host"];
    out::say(format_args!(
        "\n{:<10}{:>5} {:<8}{}   kB a dyno",
        "density",
        "n",
        "",
        columns.map(|name| format!("{name:>9}")).concat()
    ));
    for (name, measured) in measured {
        for (column, when) in WEIGHINGS {
            tell_weight(name, measured, column, when)?;
        }
    }
    out::say("");
    for (name, measured) in measured {
        tell_figures(name, measured)?;
    }
    tell_phases(&measured[0].1);
    Ok(())
}

fn tell_weight(name: &str, measured: &Value, column: &str, when: &str) -> Result<()> {
    let weight = weight(measured, when)?;
    let Weight {
        own,
        files,
        kernel,
        shim,
        host,
    } = weight;
    let shown =
        [own, files, kernel, shim, weight.sum(), host].map(|bytes| format!("{:>9.1}", bytes / 1e3));
    out::say(format_args!(
        "{name:<10}{:>5} {column:<8}{}",
        measured["count"],
        shown.concat()
    ));
    Ok(())
}

fn tell_figures(name: &str, measured: &Value) -> Result<()> {
    let [charged, weight] = [weight(measured, CHARGED)?, weight(measured, HELD)?];
    let [start, stop] = [number(&measured["start_s"])?, number(&measured["stop_s"])?];
    if name == "static" {
        figure("density_kb_per_dyno", weight.sum() / 1e3, "kB");
        figure("density_kb_per_dyno_charged", charged.sum() / 1e3, "kB");
        figure("density_start_500", start, "s");
        figure("density_stop_500", stop, "s");
    } else {
        figure(&format!("density.{name}_own"), weight.own / 1e3, "kB");
        let ours = weight.kernel + weight.shim;
        figure(&format!("density.{name}_ours"), ours / 1e3, "kB");
        figure(&format!("density.{name}_start_{OTHERS}"), start, "s");
        figure(&format!("density.{name}_stop_{OTHERS}"), stop, "s");
    }
    Ok(())
}

/// Where the time of the starts goes, which overlap.
fn tell_phases(measured: &Value) {
    let series = |name: &str, times: &Value, unit: f64| {
        let times = times.as_array().into_iter().flatten();
        let seconds = times.filter_map(|time| Some(time.as_f64()? / unit));
        Series::new(name, seconds.collect())
    };
    let mut all = vec![
        series("until it runs", &measured["started_s"], 1.0),
        series("until it answers", &measured["answered_s"], 1.0),
    ];
    for phase in measured["phases"].as_array().into_iter().flatten() {
        all.push(series(phase[0].as_str().unwrap_or("?"), &phase[1], 1e6));
    }
    out::say("\none of the static server's starts, several at a time: median, p90");
    for one in all {
        out::say(format_args!(
            "{:<40} {:>9.2} ms {:>9.2} ms",
            one.name(),
            one.median() * 1e3,
            one.quantile(0.9) * 1e3
        ));
    }
}

fn weight(measured: &Value, when: &str) -> Result<Weight> {
    let count = number(&measured["count"])?;
    let more = |pointer: &str| -> Result<f64> {
        let of = |when: &str| {
            let value = measured.pointer(&format!("/{when}/{pointer}"));
            number(value.unwrap_or(&Value::Null))
        };
        Ok((of(when)? - of("before")?) / count)
    };
    let (files, kernel) = (more("dynos/files")?, more("dynos/kernel")?);
    Ok(Weight {
        own: more("dynos/all")? - files - kernel,
        files,
        kernel,
        shim: more("shims/all")?,
        host: -more("available")?,
    })
}

impl Weight {
    fn sum(&self) -> f64 {
        self.own + self.files + self.kernel + self.shim
    }
}

fn number(value: &Value) -> Result<f64> {
    value
        .as_f64()
        .with_context(|| format!("{value} is no number"))
}

/// What the host still has of the slot, a line each.
fn leftovers(slot: u64, data: &Path) -> Vec<String> {
    let (group, prefix) = (format!("landfall/{slot:03}"), format!("lf{slot:03}-"));
    let names = |directory: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let mut left = Vec::new();
    let hierarchies = names(Path::new("/sys/fs/cgroup"));
    let roots = [PathBuf::from("/sys/fs/cgroup")];
    let groups = hierarchies
        .iter()
        .chain(&roots)
        .map(|root| root.join(&group));
    left.extend(groups.filter(|path| path.exists()));
    let flat = format!("landfall.{slot:03}.");
    let at_root = hierarchies.iter().flat_map(|root| names(root));
    left.extend(at_root.filter(|path| {
        let name = path.file_name().unwrap_or_default();
        name.as_encoded_bytes().starts_with(flat.as_bytes())
    }));
    for place in ["/run/landfall/netns", "/sys/class/net"] {
        let ours = names(Path::new(place)).into_iter().filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(&prefix))
        });
        left.extend(ours);
    }
    left.extend(names(&data.join("run/dynos")));
    left.extend(names(Path::new("/proc")).into_iter().filter(|process| {
        fs::read_to_string(process.join("cgroup")).is_ok_and(|groups| groups.contains(&group))
    }));
    let mut left: Vec<String> = left.iter().map(|path| path.display().to_string()).collect();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let (dynos, networks) = (
        data.display().to_string(),
        format!("/run/landfall/netns/{prefix}"),
    );
    let is_ours = |line: &&str| line.contains(&dynos) || line.contains(&networks);
    left.extend(mounts.lines().filter(is_ours).map(str::to_owned));
    left
}
