//! Version 2: one hierarchy, whose controllers every group above must hand down.
//!
//! **Memory.** A dyno may use twice its quota (R14 meanwhile) and is killed beyond (R15), so
//! `memory.max` is twice the quota. `memory.high` stays `max`: above it the kernel makes every
//! allocation sleep until something could be reclaimed, and without swap, or with swap that is
//! full, nothing can; an app over its quota would be frozen rather than slow, and one that wants
//! ever more would linger there instead of being killed. Nor does a running dyno swap: the disk
//! it would thrash is its neighbours' too. Only a sleeping one is written out, as far as it goes.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use shim::start::Place;

use super::{CPU_PERIOD, Hierarchy, MOUNT, Setting, Usage, View, Wanted, usage};

/// Controllers handed down to dynos. A kernel without `io` is done with; without the others dynos
/// would be unlimited.
pub(super) const NEEDED: [&str; 3] = ["memory", "pids", "cpu"];
pub(super) const WELCOME: &str = "io";
/// Where the platform's own processes go when its group becomes the dynos' parent.
const PLATFORM: &str = "landfall-platform";
/// How often processes are moved there: more may be born meanwhile.
const MOVES: usize = 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Version2 {
    /// The slot's group: `/sys/fs/cgroup/landfall/007`.
    group: PathBuf,
}

impl Version2 {
    /// Below the root of the hierarchy, or, where that is not ours, below this process's own
    /// group `own`, if that was delegated to it.
    pub(super) fn open(mount: &Path, own: &str, name: &str) -> io::Result<Self> {
        let at_root = hand_down(mount, name);
        match at_root {
            Err(error) if is_refusal(&error) => {
                let base = delegated(mount, own);
                // A group hands controllers down only if no process is in it.
                evacuate(&base).and_then(|()| hand_down(&base, name))
            }
            other => other,
        }
        .map(|group| Self { group })
    }

    /// With no controllers, as the version 2 hierarchy is that lies beside version 1.
    #[cfg(test)]
    pub(super) fn without_controllers(mount: &Path, name: &str) -> io::Result<Self> {
        let group = mount.join(name);
        fs::create_dir_all(&group)?;
        Ok(Self { group })
    }

    fn file(&self, leaf: &str, name: &str) -> PathBuf {
        self.group.join(leaf).join(name)
    }

    fn read(&self, leaf: &str, name: &str) -> String {
        fs::read_to_string(self.file(leaf, name)).unwrap_or_default()
    }
}

impl Hierarchy for Version2 {
    fn directories(&self, leaf: &str) -> Vec<PathBuf> {
        vec![self.group.join(leaf)]
    }

    fn hand_down_again(&self) -> io::Result<bool> {
        let control = self.group.join("cgroup.subtree_control");
        let enabled = fs::read_to_string(control)?;
        let is_enabled = |name: &&str| enabled.split_whitespace().any(|one| one == *name);
        if NEEDED.iter().all(is_enabled) {
            return Ok(false);
        }
        self.group.parent().map(enable).transpose()?;
        enable(&self.group).map(|()| true)
    }

    fn settings(&self, leaf: &str, wanted: &Wanted) -> Vec<Setting> {
        let at = |name: &str| self.file(leaf, name);
        let mut settings = vec![
            Setting::needed(at("memory.max"), &wanted.most_bytes),
            Setting::needed(at("memory.high"), &"max"),
            // Swap may not be compiled in.
            Setting::optional(at("memory.swap.max"), &0),
            // Half an app is no app.
            Setting::optional(at("memory.oom.group"), &1),
            Setting::needed(at("pids.max"), &wanted.processes),
            Setting::needed(at("cpu.weight"), &wanted.weight),
            // Which of the two there is depends on the disk's scheduler.
            Setting::optional(at("io.weight"), &wanted.weight),
            Setting::optional(at("io.bfq.weight"), &wanted.weight.min(1_000)),
        ];
        if let Some(micros) = wanted.cpu_micros {
            settings.push(Setting::needed(
                at("cpu.max"),
                &format!("{micros} {CPU_PERIOD}"),
            ));
        }
        settings
    }

    fn place(&self, leaf: &str) -> Place {
        let directory = self.group.join(leaf);
        Place {
            memory_events: Some(directory.join("memory.events")),
            freeze: Some(directory.join("cgroup.freeze")),
            directories: vec![directory.clone()],
            into: Some(directory),
            tasks: Vec::new(),
        }
    }

    fn views(&self, leaf: &str) -> Vec<View> {
        vec![View {
            source: self.group.join(leaf),
            target: MOUNT.into(),
        }]
    }

    fn usage(&self, leaf: &str) -> Usage {
        let memory = usage::memory_2(&self.read(leaf, "memory.stat"));
        Usage {
            swap_bytes: usage::number(&self.read(leaf, "memory.swap.current")),
            cpu_micros: usage::field(&self.read(leaf, "cpu.stat"), "usage_usec"),
            kills: usage::field(&self.read(leaf, "memory.events"), "oom_kill").unwrap_or(0),
            pressure: usage::pressure(|name| self.read(leaf, name)),
            ..memory
        }
    }

    fn reclaim(&self, leaf: &str) -> io::Result<()> {
        let most_swap = self.file(leaf, "memory.swap.max");
        // What lies in swap stays there when no more may go in.
        let may_swap = fs::write(&most_swap, "max").is_ok();
        let everything = self.read(leaf, "memory.current");
        let reclaimed = match fs::write(self.file(leaf, "memory.reclaim"), everything.trim()) {
            // Less could be reclaimed than there is; that was to be expected.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            // Before Linux 5.19.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.squeeze(leaf),
            other => other,
        };
        if may_swap {
            fs::write(most_swap, "0")?;
        }
        reclaimed
    }
}

impl Version2 {
    /// Reclaims by a limit that is lifted at once. Only for a frozen group: another would sleep.
    fn squeeze(&self, leaf: &str) -> io::Result<()> {
        let high = self.file(leaf, "memory.high");
        let squeezed = fs::write(&high, "0");
        fs::write(&high, "max").and(squeezed)
    }
}

/// Makes `name` below `base`, each group with controllers for those below. Returns its path.
fn hand_down(base: &Path, name: &str) -> io::Result<PathBuf> {
    let mut group = base.to_owned();
    enable(&group)?;
    for part in name.split('/') {
        group.push(part);
        fs::create_dir_all(&group)?;
        enable(&group)?;
    }
    Ok(group)
}

fn enable(group: &Path) -> io::Result<()> {
    let control = group.join("cgroup.subtree_control");
    for controller in NEEDED {
        fs::write(&control, format!("+{controller}")).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                let what = format!("the controller `{controller}` is not on this hierarchy");
                return io::Error::new(io::ErrorKind::Unsupported, what);
            }
            error
        })?;
    }
    if let Err(error) = fs::write(&control, format!("+{WELCOME}")) {
        tracing::debug!(group = %group.display(), %error, "dynos share the disk unweighted");
    }
    Ok(())
}

/// Whether the hierarchy is there but not for us: read-only, another user's, or the inside of a
/// cgroup namespace, whose root has processes.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(
        error.kind(),
        PermissionDenied | ReadOnlyFilesystem | ResourceBusy
    )
}

/// The group of ours that may be made the dynos' parent.
pub(super) fn delegated(mount: &Path, own: &str) -> PathBuf {
    // An earlier server may have moved us already.
    let own = own.strip_suffix(PLATFORM).unwrap_or(own);
    mount.join(own.trim_matches('/'))
}

/// Moves the processes of a group into one below it.
pub(super) fn evacuate(group: &Path) -> io::Result<()> {
    let below = group.join(PLATFORM);
    fs::create_dir_all(&below)?;
    for _ in 0..MOVES {
        let processes = fs::read_to_string(group.join("cgroup.procs"))?;
        if processes.trim().is_empty() {
            return Ok(());
        }
        for process in processes.lines() {
            match fs::write(below.join("cgroup.procs"), process) {
                // It has ended meanwhile.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                other => other?,
            }
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}
