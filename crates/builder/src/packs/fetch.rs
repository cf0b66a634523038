//! Gets a buildpack: a layer of its files, named by what they are.
//!
//! Everything from outside is fetched inside a build dyno; the host looks at the result only
//! through [`SourceTree`]. Read [`fetch`] first.

use std::{fs, path::Path, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Pack, cnb, location::Location};
use crate::{
    archive::{self, ArchiveError, Ownership, hex},
    buildpacks::{Context, base_env, hash, script},
    error::BuildError,
    execute::{CATALOGUE_FILE, Execution, Question, blocking},
    layers::{Layer, LayerStore},
    plan::{LayerRef, Step},
    source_tree::SourceTree,
};

/// Largest archive of a buildpack, in bytes.
const MAX_ARCHIVE_BYTES: &str = "536870912";

const GIT_FIND: &str = include_str!("scripts/git_find.sh");
const GIT_FETCH: &str = include_str!("scripts/git_fetch.sh");
const ARCHIVE_FIND: &str = include_str!("scripts/archive_find.sh");
const ARCHIVE_FETCH: &str = include_str!("scripts/archive_fetch.sh");

#[derive(Serialize, Deserialize)]
struct Commit {
    commit: String,
}

#[derive(Serialize, Deserialize)]
struct Checksum {
    digest: String,
}

/// Gets the buildpack at `location`, or finds that it is here already.
///
/// # Errors
/// Whatever keeps it from being had; the output says more.
pub(super) async fn fetch(
    context: &Context<'_>,
    execution: &mut Execution,
    location: &Location,
) -> Result<Pack, BuildError> {
    let name = location.shown();
    let layer = match location {
        Location::Git { url, reference } => {
            let commit = find_commit(context, execution, (url, reference.as_deref())).await?;
            let step = fetch_step(context, &name, script("bash", GIT_FETCH, &[url, &commit]));
            fetched(execution, step).await?
        }
        Location::Archive { url, digest } => {
            let digest = match digest {
                Some(digest) => digest.clone(),
                None => find_digest(context, execution, url).await?,
            };
            let arguments = [url.as_str(), MAX_ARCHIVE_BYTES, &digest];
            let command = script("bash", ARCHIVE_FETCH, &arguments);
            fetched(execution, fetch_step(context, &name, command)).await?
        }
        Location::Local { name } => {
            let folder = context.folder.ok_or_else(|| unknown(name))?.to_owned();
            let ownership = Ownership {
                owner: execution.workshop.owner,
                now: context.now,
            };
            let (store, wanted) = (execution.workshop.layers.clone(), name.clone());
            let found = tokio::task::spawn_blocking(move || {
                read_local(&store, &folder, &wanted, ownership)
            });
            let found = found
                .await
                .unwrap_or_else(|error| Err(std::io::Error::other(error).into()));
            found?.ok_or_else(|| unknown(name))?
        }
    };
    let tree = SourceTree::new(execution.workshop.layers.path(&layer.key));
    let is_cloud_native = cnb::is_buildpack(&tree);
    let is_classic = tree.has_file("bin/detect") && tree.has_file("bin/compile");
    if !is_cloud_native && !is_classic {
        return Err(BuildError::Source {
            problem: format!("{name} is not a buildpack"),
            advice: vec![
                "A classic buildpack has the programs bin/detect and bin/compile, a Cloud Native"
                    .to_owned(),
                "Buildpack has a buildpack.toml that names its `api`.".to_owned(),
            ],
        });
    }
    Ok(Pack {
        name,
        layer,
        is_cloud_native,
    })
}

fn unknown(name: &str) -> BuildError {
    BuildError::UnknownBuildpack {
        name: name.to_owned(),
    }
}

/// The commit that a reference is now; if it cannot be asked for, what it was.
async fn find_commit(
    context: &Context<'_>,
    execution: &mut Execution,
    (url, reference): (&str, Option<&str>),
) -> Result<String, BuildError> {
    let reference = reference.unwrap_or("HEAD");
    let is_commit = |text: &str| {
        matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    if is_commit(reference) {
        return Ok(reference.to_owned());
    }
    let output = format!("/app/{CATALOGUE_FILE}");
    let command = script("bash", GIT_FIND, &[url, reference, &output]);
    let question = format!("buildpack-{}", hash(&format!("{url}#{reference}")));
    let answer: Commit = ask(context, execution, &question, command).await?;
    if is_commit(&answer.commit) {
        Ok(answer.commit)
    } else {
        Err(nonsense())
    }
}

async fn find_digest(
    context: &Context<'_>,
    execution: &mut Execution,
    url: &str,
) -> Result<String, BuildError> {
    let output = format!("/app/{CATALOGUE_FILE}");
    let command = script("bash", ARCHIVE_FIND, &[url, MAX_ARCHIVE_BYTES, &output]);
    let question = format!("buildpack-{}", hash(url));
    let answer: Checksum = ask(context, execution, &question, command).await?;
    let is_digest =
        answer.digest.len() == 64 && answer.digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_digest {
        Ok(answer.digest)
    } else {
        Err(nonsense())
    }
}

fn nonsense() -> BuildError {
    BuildError::host("read which version of a buildpack there is")(
        std::io::ErrorKind::InvalidData.into(),
    )
}

async fn ask<T: Serialize + serde::de::DeserializeOwned>(
    context: &Context<'_>,
    execution: &mut Execution,
    name: &str,
    command: Vec<String>,
) -> Result<T, BuildError> {
    let mut step = Step::run("buildpack-version", command);
    step.env = base_env(context.request.stack.as_str());
    let question = Question {
        name,
        now: context.now,
        // What a branch is may change at any time.
        ttl: Duration::ZERO,
    };
    execution.catalogue(question, &step).await
}

fn fetch_step(context: &Context<'_>, name: &str, command: Vec<String>) -> Step {
    let mut step = Step::run(&format!("buildpack {name}"), command);
    step.heading = vec![format!("Fetching buildpack {name}")];
    step.env = base_env(context.request.stack.as_str());
    step.advice = vec![
        format!("The buildpack {name} could not be fetched; see the output above."),
        "hint: addresses of private networks cannot be reached from builds.".to_owned(),
    ];
    step
}

async fn fetched(execution: &mut Execution, step: Step) -> Result<Layer, BuildError> {
    execution.run(&step).await?;
    let layer = execution.layer(&LayerRef::Step(step.name)).cloned();
    layer.ok_or_else(nonsense)
}

/// A directory or archive of the operator's own, as a layer.
fn read_local(
    store: &LayerStore,
    folder: &Path,
    name: &str,
    ownership: Ownership,
) -> Result<Option<Layer>, ArchiveError> {
    let place = folder.join(name);
    let draft = store.draft()?;
    let archive = if place.is_dir() {
        // Through an archive, so that it passes the same checks as anybody else's files.
        let archive = draft.beside("buildpack")?.join("archive.tar");
        let mut tar = tar::Builder::new(fs::File::create(&archive)?);
        tar.follow_symlinks(false);
        tar.append_dir_all(".", &place)?;
        tar.finish()?;
        archive
    } else {
        let found = ["tgz", "tar.gz", "tar.zst", "tar"]
            .map(|end| folder.join(format!("{name}.{end}")))
            .into_iter()
            .find(|path| path.is_file());
        let Some(found) = found else {
            return Ok(None);
        };
        found
    };
    let unpacked = archive::unpack(&archive, &draft.path(), ownership)?;
    let key = hex(&Sha256::digest(format!("buildpack {}", unpacked.digest)));
    Ok(Some(store.commit(&draft, &key)?))
}

/// Names of the operator's own buildpacks: `namespace/name`.
pub(super) async fn local_names(folder: &Path) -> Result<Vec<String>, BuildError> {
    let folder = folder.to_owned();
    blocking("list the operator's buildpacks", move || {
        let mut names = Vec::new();
        for space in list(&folder)? {
            for entry in list(&folder.join(&space))? {
                let short = [".tgz", ".tar.gz", ".tar.zst", ".tar"]
                    .iter()
                    .find_map(|end| entry.strip_suffix(end))
                    .unwrap_or(&entry);
                let name = format!("{space}/{short}");
                if super::location::is_name(&name) {
                    names.push(name);
                }
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    })
    .await
}

fn list(folder: &Path) -> std::io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    Ok(entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect())
}
