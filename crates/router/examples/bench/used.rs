//! What processes have used: processor time as the kernel's scheduler counts it, and memory.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result};
use serde_json::json;

use crate::{arguments::Arguments, tell};

/// `weigh watch=PID`: the memory of a process and all that it started, and the kernel's own.
pub(crate) fn weigh(arguments: &Arguments) -> Result<()> {
    let family = Family::of(arguments.value("watch")?);
    let mut held_kb = 0;
    for pid in &family.0 {
        held_kb += line(&format!("/proc/{pid}/smaps_rollup"), "Pss:")?;
    }
    let kernel = ["Slab:", "KernelStack:"].map(|name| line("/proc/meminfo", name));
    let [slab, stacks] = kernel;
    tell(&json!({"held_kb": held_kb, "kernel_kb": slab? + stacks?}).to_string());
    Ok(())
}

/// A figure in a file of the kernel, kB.
fn line(file: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(file).with_context(|| format!("{file} cannot be read"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number
        .with_context(|| format!("{file} has no {name}"))?
        .parse()?)
}

/// A process and all that it started.
pub(crate) struct Family(Vec<u32>);

impl Family {
    /// As it is now.
    pub(crate) fn of(root: u32) -> Self {
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // The name before it is in brackets and may hold anything.
            let parent = stat.rsplit(')').next().and_then(|rest| {
                let mut fields = rest.split_whitespace();
                fields.nth(1)?.parse().ok()
            });
            if let (Some(pid), Some(parent)) = (pid, parent) {
                parents.push((pid, parent));
            }
        }
        let mut family = BTreeSet::from([root]);
        loop {
            let before = family.len();
            let children = parents.iter().filter(|(_, parent)| family.contains(parent));
            let children: Vec<u32> = children.map(|(pid, _)| *pid).collect();
            family.extend(children);
            if family.len() == before {
                return Self(family.into_iter().collect());
            }
        }
    }

    /// Processor time of all their threads, nanoseconds.
    pub(crate) fn cpu_ns(&self) -> Result<u64> {
        self.0
            .iter()
            .try_fold(0, |sum, pid| Ok(sum + of_process(*pid)?))
    }
}

fn of_process(pid: u32) -> Result<u64> {
    let tasks = format!("/proc/{pid}/task");
    let mut sum = 0;
    for task in fs::read_dir(&tasks).with_context(|| format!("{pid} has ended"))? {
        // A thread may end meanwhile.
        let Ok(line) = fs::read_to_string(task?.path().join("schedstat")) else {
            continue;
        };
        let run = line
            .split_whitespace()
            .next()
            .context("schedstat is empty")?;
        sum += run.parse::<u64>()?;
    }
    Ok(sum)
}
