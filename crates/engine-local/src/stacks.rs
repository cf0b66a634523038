//! Stacks: the root filesystems that dynos see, built once per machine from Debian's archive.
//!
//! A stack is a plain directory below the cache, shared by every platform of the machine and never
//! changed once it is in place. This module must not know about dynos. Read [`build`] first;
//! [`sources`] finds the mirror, [`packages`] lists what is inside.

mod packages;
mod sources;
mod tree;

use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use api::{
    clock::{Clock, Time},
    names::StackName,
};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
};

/// The stack that apps get unless they ask for another.
pub const DEFAULT_STACK: &str = "landfall-13";

/// Where a stack says what it is made of, inside its own tree.
const MANIFEST: &str = "etc/landfall-stack.json";
/// How often a busy lock is looked at again.
const LOCK_POLL: Duration = Duration::from_millis(500);
/// How many of the last lines of a failed build are shown.
const LINES_KEPT: usize = 20;

/// What a stack is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackManifest {
    /// Its name.
    pub name: StackName,
    /// When it was built.
    pub built_at: Time,
    /// The mirror its packages came from; empty if its own package sources do not tell.
    pub mirror: String,
    /// Where its security updates came from; `None` if no source of them was known.
    #[serde(default)]
    pub security_mirror: Option<String>,
    /// Installed packages with their versions, in order of name.
    pub packages: Vec<StackPackage>,
}

/// One installed package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackPackage {
    /// Debian's name for it.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// How to build a stack, where the defaults do not fit.
#[derive(Clone, Debug, Default)]
pub struct StackOptions {
    /// Base address of a Debian mirror, such as `http://mirror.example/debian`; otherwise the
    /// mirror of the host's own package sources is used, or else the one mmdebstrap knows.
    pub mirror: Option<String>,
    /// Tells when the stack was built.
    pub clock: Clock,
}

/// Why a stack could not be built.
#[derive(Debug, Error)]
pub enum StackError {
    /// There is no recipe of this name.
    #[error("there is no stack {0} (hint: `{DEFAULT_STACK}` exists)")]
    Unknown(StackName),
    /// The program that makes root filesystems is missing.
    #[error("mmdebstrap is not installed (hint: apt-get install mmdebstrap)")]
    NoBootstrap(#[source] io::Error),
    /// The host does not know the keys that Debian signs this version with.
    #[error("Debian's keys are not at {0} (hint: apt-get install debian-archive-keyring)")]
    NoKeyring(PathBuf),
    /// The mirror's address is not one.
    #[error("`{0}` is not a mirror address (hint: it looks like http://mirror.example/debian)")]
    Mirror(String),
    /// The program that makes root filesystems gave up.
    #[error("building stack {name} failed:\n{output}")]
    Bootstrap {
        /// The stack.
        name: StackName,
        /// The last lines it wrote.
        output: String,
    },
    /// The host refused a step.
    #[error("building a stack: {step} at {}", path.display())]
    Host {
        /// What was being done.
        step: &'static str,
        /// To which file.
        path: PathBuf,
        /// The host's answer.
        #[source]
        source: io::Error,
    },
}

/// The stack's root directory, if it is on this machine.
pub fn find(cache: &Path, name: &StackName) -> Option<PathBuf> {
    let root = directory(cache, name);
    root.join(MANIFEST).is_file().then_some(root)
}

/// What the stack is made of, if it is on this machine.
pub fn manifest(cache: &Path, name: &StackName) -> Option<StackManifest> {
    let text = fs::read(directory(cache, name).join(MANIFEST)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Builds a stack with the host's own mirror: see [`build_with`].
///
/// # Errors
/// See [`StackError`].
pub async fn build(
    cache: &Path,
    name: &StackName,
    progress: impl FnMut(&str) + Send,
) -> Result<PathBuf, StackError> {
    build_with(cache, name, &StackOptions::default(), progress).await
}

/// Builds a stack below `cache`, unless it is there, and returns its root directory. One builds at
/// a time; others wait and find it done. `progress` gets lines to show to a person.
///
/// Safe to drop: what was half built is removed by the next build.
///
/// # Errors
/// See [`StackError`].
pub async fn build_with(
    cache: &Path,
    name: &StackName,
    options: &StackOptions,
    mut progress: impl FnMut(&str) + Send,
) -> Result<PathBuf, StackError> {
    if name.as_str() != DEFAULT_STACK {
        return Err(StackError::Unknown(name.clone()));
    }
    let stacks = cache.join("stacks");
    fs::create_dir_all(&stacks).map_err(host("create the directory", &stacks))?;
    let _lock = lock(&stacks.join(format!(".{name}.lock")), &mut progress).await?;
    if let Some(root) = find(cache, name) {
        progress(&format!("Stack {name} is at {}", root.display()));
        return Ok(root);
    }
    let partial = stacks.join(format!(".{name}.partial"));
    tree::remove(&partial).map_err(host("remove what was half built", &partial))?;
    let mirror = sources::find(options.mirror.as_deref())?;
    announce(name, mirror.as_ref(), &mut progress);
    bootstrap(name, mirror.as_ref(), &partial, &mut progress).await?;
    let finished = finish(&partial, name, &options.clock)?;
    let root = directory(cache, name);
    fs::rename(&partial, &root).map_err(host("put the stack into place", &root))?;
    progress(&format!(
        "Stack {name} is at {}: {} packages",
        root.display(),
        finished.packages.len()
    ));
    Ok(root)
}

fn announce(name: &StackName, mirror: Option<&sources::Mirror>, progress: &mut impl FnMut(&str)) {
    let Some(mirror) = mirror else {
        progress(&format!("Building stack {name} from Debian's own mirror"));
        return;
    };
    progress(&format!("Building stack {name} from {}", mirror.main));
    if mirror.security.is_none() {
        progress("The host names no source of Debian's security updates: the stack has none");
    }
}

fn directory(cache: &Path, name: &StackName) -> PathBuf {
    cache.join("stacks").join(name.as_str())
}

fn host(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StackError {
    let path = path.to_owned();
    move |source| StackError::Host { step, path, source }
}

/// Takes the build lock, which goes with the returned file.
async fn lock(path: &Path, progress: &mut impl FnMut(&str)) -> Result<File, StackError> {
    let file = File::create(path).map_err(host("open the lock", path))?;
    let mut told = false;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(host("lock", path)(error.into())),
        }
        if !told {
            progress("Another process is building the stack; waiting for it");
            told = true;
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
}

/// Runs mmdebstrap into `target`.
async fn bootstrap(
    name: &StackName,
    mirror: Option<&sources::Mirror>,
    target: &Path,
    progress: &mut (impl FnMut(&str) + Send),
) -> Result<(), StackError> {
    let mut child = Command::new("mmdebstrap")
        .args(packages::bootstrap_arguments(target, mirror.is_some()))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(StackError::NoBootstrap)?;
    let talk = host("talk to mmdebstrap", target);
    let source_list = mirror.map(sources::Mirror::source_list).unwrap_or_default();
    let last = converse(&mut child, &source_list, progress)
        .await
        .map_err(talk)?;
    let status = child
        .wait()
        .await
        .map_err(host("wait for mmdebstrap", target))?;
    if status.success() {
        return Ok(());
    }
    Err(StackError::Bootstrap {
        name: name.clone(),
        output: last,
    })
}

/// Hands the source list in, passes its lines on as they come, and returns the last ones.
async fn converse(
    child: &mut Child,
    source_list: &str,
    progress: &mut (impl FnMut(&str) + Send),
) -> io::Result<String> {
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(source_list.as_bytes()).await?;
    }
    let mut last = VecDeque::with_capacity(LINES_KEPT);
    let Some(stderr) = child.stderr.take() else {
        return Ok(String::new());
    };
    let mut lines = BufReader::new(stderr).split(b'\n');
    while let Some(line) = lines.next_segment().await? {
        let line = String::from_utf8_lossy(&line);
        // Progress bars rewrite their line; the newest text is behind the last return.
        let line = line.rsplit('\r').next().unwrap_or_default().trim_end();
        if let Some(step) = line.strip_prefix("I: ") {
            progress(step);
        }
        if last.len() == LINES_KEPT {
            last.pop_front();
        }
        last.push_back(line.to_owned());
    }
    Ok(Vec::from(last).join("\n"))
}

/// Makes the fresh tree a stack: mount points, no set-user-id programs, the manifest.
fn finish(root: &Path, name: &StackName, clock: &Clock) -> Result<StackManifest, StackError> {
    tree::add_mount_points(root).map_err(host("make mount points", root))?;
    tree::add_dyno_user(root).map_err(host("add the dyno's user", root))?;
    tree::strip_privileges(root).map_err(host("take set-user-id bits away", root))?;
    let status = root.join("var/lib/dpkg/status");
    let text = fs::read_to_string(&status).map_err(host("read the package list", &status))?;
    let (mirror, security_mirror) = sources::of_stack(root)
        .map_or_else(Default::default, |mirror| (mirror.main, mirror.security));
    let manifest = StackManifest {
        name: name.clone(),
        built_at: clock.now(),
        mirror,
        security_mirror,
        packages: packages::installed(&text),
    };
    let path = root.join(MANIFEST);
    let text = serde_json::to_vec_pretty(&manifest).map_err(io::Error::from);
    let written = text.and_then(|text| fs::write(&path, text));
    written.map_err(host("write the manifest", &path))?;
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_known_stacks_are_built() {
        let cache = tempfile::tempdir().unwrap();
        let name: StackName = "heroku-24".parse().unwrap();
        let built = build(cache.path(), &name, |_| ()).await;
        assert!(matches!(built, Err(StackError::Unknown(_))));
        assert_eq!(find(cache.path(), &name), None);
    }

    #[tokio::test]
    async fn a_stack_that_is_there_is_not_built_again() {
        let cache = tempfile::tempdir().unwrap();
        let name: StackName = DEFAULT_STACK.parse().unwrap();
        let root = directory(cache.path(), &name);
        fs::create_dir_all(root.join("etc")).unwrap();
        assert_eq!(
            find(cache.path(), &name),
            None,
            "a tree without a manifest is no stack"
        );
        let made = StackManifest {
            name: name.clone(),
            built_at: Time::from_micros(1),
            mirror: "http://mirror.test/debian".to_owned(),
            security_mirror: None,
            packages: Vec::new(),
        };
        fs::write(root.join(MANIFEST), serde_json::to_vec(&made).unwrap()).unwrap();
        assert_eq!(build(cache.path(), &name, |_| ()).await.unwrap(), root);
        assert_eq!(manifest(cache.path(), &name), Some(made));
    }
}
