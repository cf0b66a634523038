//! One bare repository per app: where it is, how it is made, what is swept after a crash.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use api::ids::AppId;

use crate::{
    error::{DiskContext, SourceError},
    git::Git,
    wire::Update,
};

/// The branch that a new repository's HEAD names.
const INITIAL_BRANCH: &str = "main";
/// Highest-ranking attributes: an archive must hold what a checkout would, whatever the app's own
/// `.gitattributes` leave out of archives.
const ATTRIBUTES: &str = "* -export-ignore -export-subst\n";
/// References deeper than this are not looked at for stale locks.
const MAX_REFERENCE_DEPTH: u32 = 16;

/// Where an app's repository is.
pub(crate) fn path(git_dir: &Path, app: AppId) -> PathBuf {
    git_dir.join(format!("{app}.git"))
}

/// Deletes an app's repository; without one, nothing happens.
///
/// # Errors
/// `Disk`.
pub async fn remove_repository(git_dir: &Path, app: AppId) -> Result<(), SourceError> {
    let path = path(git_dir, app);
    match tokio::fs::remove_dir_all(&path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.on("remove", &path),
    }
}

/// The app's repository, made if absent: whole or not at all.
pub(crate) async fn ensure(git: &Git, git_dir: &Path, app: AppId) -> Result<PathBuf, SourceError> {
    let path = path(git_dir, app);
    if path.join("HEAD").exists() {
        return Ok(path);
    }
    let unfinished = tempfile_beside(&path);
    tokio::fs::create_dir_all(&unfinished)
        .await
        .on("create", &unfinished)?;
    let made = fill(git, &unfinished).await;
    let renamed = match made {
        Ok(()) => tokio::fs::rename(&unfinished, &path)
            .await
            .on("rename", &unfinished),
        Err(error) => Err(error),
    };
    if renamed.is_err() {
        drop(tokio::fs::remove_dir_all(&unfinished).await);
        // Another request may have made it in the meantime.
        if !path.join("HEAD").exists() {
            renamed?;
        }
    }
    Ok(path)
}

async fn fill(git: &Git, directory: &Path) -> Result<(), SourceError> {
    let mut init = git.command(directory, "init");
    init.args(["--quiet", "--bare", "--template="]);
    init.arg(format!("--initial-branch={INITIAL_BRANCH}"));
    git.output(init, "init").await?;
    let attributes = directory.join("info/attributes");
    tokio::fs::create_dir_all(directory.join("info"))
        .await
        .on("create", &attributes)?;
    tokio::fs::write(&attributes, ATTRIBUTES)
        .await
        .on("write", &attributes)
}

fn tempfile_beside(path: &Path) -> PathBuf {
    path.with_extension(format!("new-{:016x}", rand::random::<u64>()))
}

/// The object a reference names; `None` if there is no such reference.
pub(crate) async fn reference(
    git: &Git,
    repository: &Path,
    name: &str,
) -> Result<Option<String>, SourceError> {
    let mut list = git.command(repository, "for-each-ref");
    list.args(["--format=%(objectname) %(refname)", "--", name]);
    let listing = git.output(list, "for-each-ref").await?;
    let listing = String::from_utf8_lossy(&listing);
    // A name also lists what is below it.
    let mut references = listing.lines().filter_map(|line| line.split_once(' '));
    Ok(references
        .find(|(_, found)| *found == name)
        .map(|(id, _)| id.to_owned()))
}

/// After a deploy: HEAD names the branch that was deployed, so that a clone checks it out.
///
/// # Errors
/// `Git` also when the branch did not move although the push was let through.
pub(crate) async fn settle(
    git: &Git,
    repository: &Path,
    deployed: &Update,
) -> Result<(), SourceError> {
    let mut verify = git.command(repository, "update-ref");
    verify.args(["--no-deref", &deployed.name, &deployed.new, &deployed.new]);
    git.output(verify, "update-ref").await?;
    let head = repository.join("HEAD");
    let names = tokio::fs::read_to_string(&head).await.on("read", &head)?;
    if names.trim() == format!("ref: {}", deployed.name) {
        return Ok(());
    }
    let mut point = git.command(repository, "symbolic-ref");
    point.args(["HEAD", &deployed.name]);
    git.output(point, "symbolic-ref").await.map(drop)
}

/// Removes what killed git processes left behind: quarantined objects, stale locks, repositories
/// half made. Called before anything is served; a push that outlived the server fails anyway.
pub(crate) fn sweep(git_dir: &Path) -> Result<(), SourceError> {
    for repository in entries(git_dir)? {
        if repository
            .extension()
            .is_some_and(|extension| extension == "git")
        {
            sweep_quarantines(&repository.join("objects"))?;
            sweep_locks(&repository, 0)?;
            sweep_locks(&repository.join("refs"), MAX_REFERENCE_DEPTH)?;
        } else {
            remove(&repository)?;
        }
    }
    Ok(())
}

fn sweep_quarantines(objects: &Path) -> Result<(), SourceError> {
    for entry in entries(objects)? {
        let name = entry
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name.starts_with("incoming-") || name.starts_with("tmp_objdir-") {
            remove(&entry)?;
        }
    }
    Ok(())
}

fn sweep_locks(directory: &Path, depth: u32) -> Result<(), SourceError> {
    for entry in entries(directory)? {
        if entry
            .extension()
            .is_some_and(|extension| extension == "lock")
            && entry.is_file()
        {
            remove(&entry)?;
        } else if depth > 0 && entry.is_dir() {
            sweep_locks(&entry, depth - 1)?;
        }
    }
    Ok(())
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let listing = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing.on("list", directory)?,
    };
    listing
        .map(|entry| Ok(entry.on("list", directory)?.path()))
        .collect()
}

fn remove(path: &Path) -> Result<(), SourceError> {
    tracing::info!(path = %path.display(), "removing what an interrupted push left");
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    removed.on("remove", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_removes_leftovers_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let left = [
            "a.git/objects/incoming-x/pack",
            "a.git/objects/tmp_objdir-incoming-y",
            "a.new-1",
        ];
        let kept = ["a.git/objects/pack", "a.git/refs/heads/feature.lock"];
        for path in left.iter().chain(&kept) {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        let locks = ["a.git/HEAD.lock", "a.git/refs/heads/main.lock"];
        let files = ["a.git/HEAD", "a.git/refs/heads/main"];
        for path in locks.iter().chain(&files) {
            fs::write(root.join(path), "").unwrap();
        }
        sweep(root).unwrap();
        for gone in [
            "a.git/objects/incoming-x",
            left[1],
            left[2],
            locks[0],
            locks[1],
        ] {
            assert!(!root.join(gone).exists(), "{gone}");
        }
        for path in kept.iter().chain(&files) {
            assert!(root.join(path).exists(), "{path}");
        }
    }
}
