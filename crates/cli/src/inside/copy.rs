//! `landfall ps:copy`: a file or directory from or to a running dyno, as a tar archive.
//!
//! The archive is kept in a file on the way: what comes from a dyno is not trusted, and only what
//! came whole is unpacked.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use api::{dynos::NewCopy, names::DynoName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    link::{Link, Stream},
    status,
};

/// What the platform expects the one entry of an archive to be called.
const ENTRY: &str = "copy";
/// As much of the end of an answer as is searched for what went wrong.
const TAIL_BYTES: u64 = 8 * 1024;

/// Arguments of `landfall ps:copy`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CopyArguments {
    /// The app; else that of `HEROKU_APP` or the git remote `heroku`
    #[arg(short, long, value_name = "APP")]
    pub app: Option<String>,
    /// What to copy: DYNO:PATH, or a local path
    pub from: String,
    /// Where to: a local path, or DYNO:PATH
    #[arg(default_value = ".")]
    pub to: String,
}

pub(super) async fn run(link: &Link, arguments: &CopyArguments) -> Result<ExitCode> {
    match (remote(&arguments.from), remote(&arguments.to)) {
        (Some((dyno, path)), None) => fetch(link, &dyno, path, Path::new(&arguments.to)).await?,
        (None, Some((dyno, path))) => send(link, Path::new(&arguments.from), &dyno, path).await?,
        _ => {
            bail!("one of the two must be in a dyno\n  hint: landfall ps:copy web.1:/app/log.txt .")
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `web.1:/app/log` → `web.1`, `/app/log`.
fn remote(text: &str) -> Option<(String, &str)> {
    let (dyno, path) = text.split_once(':')?;
    let dyno: DynoName = dyno.parse().ok()?;
    Some((dyno.to_string(), path))
}

async fn fetch(link: &Link, dyno: &str, path: &str, to: &Path) -> Result<()> {
    let name = Path::new(path).file_name().map(PathBuf::from);
    let target = match name {
        Some(name) if to.is_dir() => to.join(name),
        _ => to.to_owned(),
    };
    let parent = parent_of(&target);
    let mut archive = tempfile::tempfile_in(parent)
        .with_context(|| format!("could not write to {}", parent.display()))?;
    let copy = NewCopy {
        path: path.to_owned(),
        name: None,
    };
    let opened = link.client.create_dyno_copy(&link.app, dyno, &copy).await?;
    let mut stream = link.enter(opened.attach_url.as_deref()).await?;
    let mut file = tokio::fs::File::from_std(archive.try_clone()?);
    tokio::io::copy(&mut stream, &mut file).await?;
    file.flush().await?;
    check_end(&mut archive)?;
    archive.seek(SeekFrom::Start(0))?;
    let directory = tempfile::tempdir_in(parent)?;
    tar::Archive::new(archive).unpack(directory.path())?;
    let entry = fs::read_dir(directory.path())?.next();
    let entry = entry.context("the dyno sent an empty archive")??;
    fs::rename(entry.path(), &target)
        .with_context(|| format!("could not put it at {}", target.display()))
}

async fn send(link: &Link, from: &Path, dyno: &str, path: &str) -> Result<()> {
    let full = from
        .canonicalize()
        .with_context(|| format!("could not read {}", from.display()))?;
    let name = full.file_name().context("/ cannot be copied")?;
    let name = name.to_string_lossy().into_owned();
    let archive = pack(&full).with_context(|| format!("could not read {}", from.display()))?;
    let copy = NewCopy {
        path: path.to_owned(),
        name: Some(name),
    };
    let opened = link.client.create_dyno_copy(&link.app, dyno, &copy).await?;
    let mut stream = link.enter(opened.attach_url.as_deref()).await?;
    let mut file = tokio::fs::File::from_std(archive);
    tokio::io::copy(&mut file, &mut stream).await?;
    stream.shutdown().await?;
    check_answer(&mut stream).await
}

/// An archive of the one entry, ready to be read.
fn pack(path: &Path) -> Result<File> {
    let mut builder = tar::Builder::new(tempfile::tempfile()?);
    builder.follow_symlinks(false);
    if path.is_dir() {
        builder.append_dir_all(ENTRY, path)?;
    } else {
        builder.append_path_with_name(path, ENTRY)?;
    }
    let mut archive = builder.into_inner()?;
    archive.seek(SeekFrom::Start(0))?;
    Ok(archive)
}

async fn check_answer(stream: &mut Stream) -> Result<()> {
    let mut answer = Vec::new();
    stream.take(TAIL_BYTES).read_to_end(&mut answer).await?;
    check_told(&answer)
}

fn check_end(archive: &mut File) -> Result<()> {
    let length = archive.seek(SeekFrom::End(0))?;
    archive.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    archive.take(TAIL_BYTES).read_to_end(&mut tail)?;
    check_told(&tail)
}

/// What the dyno says at the end: nothing of an archive ends without a zero.
fn check_told(tail: &[u8]) -> Result<()> {
    let Some((start, status)) = status::split(tail) else {
        bail!("the copy broke off before its end");
    };
    if status == 0 {
        return Ok(());
    }
    let said = tail.get(..start).unwrap_or_default();
    let said = said.rsplit(|byte| *byte == 0).next().unwrap_or_default();
    bail!("{}", String::from_utf8_lossy(said).trim())
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, &str)>) {
        let found = remote(text);
        let found = found.as_ref().map(|(dyno, path)| (dyno.as_str(), *path));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_dyno_before_a_colon_makes_a_path_remote() {
        check("web.1:/app/x", Some(("web.1", "/app/x")));
        check("worker.12:log:1", Some(("worker.12", "log:1")));
        check("./web.1:x", None);
        check("/tmp/x", None);
        check("C:x", None);
    }

    #[test]
    fn what_went_wrong_follows_the_archive() {
        let line = |status: u8| format!("\n\u{ffff} heroku-command-exit-status: {status}\n");
        assert!(check_told(format!("data\0\0{}", line(0)).as_bytes()).is_ok());
        let wrong = check_told(format!("data\0\0tar: x: gone{}", line(2)).as_bytes());
        assert_eq!(wrong.unwrap_err().to_string(), "tar: x: gone");
        assert!(check_told(b"data\0\0").is_err());
    }
}
