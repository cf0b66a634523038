//! A pushed commit as a tar stream, and what such an archive cannot hold.

use std::path::Path;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    task::JoinHandle,
};

use crate::{
    error::SourceError,
    git::{Git, Quarantine, read_stderr},
};

/// Bytes per piece of the stream.
const PIECE_BYTES: usize = 64 * 1024;
/// A commit with more files is refused before anything walks through them: a dozen small objects,
/// trees that hold each other many times over, can stand for as many files as one likes.
pub(crate) const MAX_FILES: usize = 200_000;
/// So long may the list of all files be.
const MAX_LISTING_BYTES: usize = 64 * 1024 * 1024;
/// So many submodules are named.
const NAMED_SUBMODULES: usize = 5;

/// A commit whose objects may still be in quarantine.
#[derive(Clone, Copy)]
pub(crate) struct Commit<'a> {
    pub(crate) git: &'a Git,
    pub(crate) repository: &'a Path,
    pub(crate) quarantine: Option<&'a Quarantine>,
    pub(crate) id: &'a str,
}

impl Commit<'_> {
    fn command(&self, subcommand: &str) -> Command {
        let mut command = self.git.command(self.repository, subcommand);
        if let Some(quarantine) = self.quarantine {
            quarantine.admit(&mut command);
        }
        command
    }

    /// The commit's files, as a tar. An error is the stream's last item; dropping it ends git.
    pub(crate) fn archive(
        &self,
    ) -> Result<impl Stream<Item = Result<Bytes, SourceError>> + Send + use<>, SourceError> {
        let mut command = self.command("archive");
        command.args(["--format=tar", self.id]).kill_on_drop(true);
        let mut child = command.spawn().map_err(|source| SourceError::GitStart {
            command: "archive",
            source,
        })?;
        let complaint = tokio::spawn(read_stderr(child.stderr.take()));
        let stdout = child.stdout.take();
        let archiving = Archiving {
            child,
            stdout,
            complaint,
        };
        Ok(stream::try_unfold(
            Some(archiving),
            |archiving| async move {
                match archiving {
                    None => Ok(None),
                    Some(archiving) => archiving.next().await,
                }
            },
        ))
    }

    /// The paths of its submodules; `None` for a commit that is too large to be deployed.
    pub(crate) async fn submodules(&self) -> Result<Option<Vec<String>>, SourceError> {
        let failed = |source| SourceError::GitStart {
            command: "ls-tree",
            source,
        };
        let mut list = self.command("ls-tree");
        list.args(["-r", "-z", "--full-tree", self.id])
            .kill_on_drop(true);
        let mut child = list.spawn().map_err(failed)?;
        let complaint = tokio::spawn(read_stderr(child.stderr.take()));
        let (mut submodules, mut files, mut bytes) = (Vec::new(), 0, 0);
        if let Some(stdout) = child.stdout.take() {
            // One name may be as long as an object, so it is not only the whole that is bounded.
            let listing = stdout.take(MAX_LISTING_BYTES as u64);
            let mut entries = BufReader::new(listing).split(0);
            while let Some(entry) = entries.next_segment().await.map_err(failed)? {
                files += 1;
                bytes += entry.len() + 1;
                if files > MAX_FILES || bytes >= MAX_LISTING_BYTES {
                    return Ok(None);
                }
                submodules.extend(submodule(&entry));
            }
        }
        let status = child.wait().await.map_err(failed)?;
        if status.success() {
            return Ok(Some(submodules));
        }
        Err(SourceError::Git {
            command: "ls-tree",
            status,
            stderr: complaint.await.unwrap_or_default(),
        })
    }

    /// What whoever pushes should know about the commit: parts that are not deployed.
    pub(crate) async fn warnings(
        &self,
        submodules: Vec<String>,
    ) -> Result<Vec<String>, SourceError> {
        let mut warnings = Vec::new();
        if !submodules.is_empty() {
            let more = if submodules.len() > NAMED_SUBMODULES {
                ", ..."
            } else {
                ""
            };
            let named: Vec<_> = submodules.into_iter().take(NAMED_SUBMODULES).collect();
            warnings.push(format!(
                "Submodules are not fetched, their directories stay empty: {}{more}",
                named.join(", ")
            ));
        }
        if self.uses_lfs().await? {
            warnings.push(
                "Git LFS is used here: large files are pushed as pointers, their contents are not fetched."
                    .to_owned(),
            );
        }
        Ok(warnings)
    }

    async fn uses_lfs(&self) -> Result<bool, SourceError> {
        let mut search = self.command("grep");
        search.args([
            "--quiet",
            "--fixed-strings",
            "-e",
            "filter=lfs",
            self.id,
            "--",
        ]);
        search.arg(":(glob)**/.gitattributes");
        match self.git.output(search, "grep").await {
            Ok(_) => Ok(true),
            // Nothing found.
            Err(SourceError::Git { status, .. }) if status.code() == Some(1) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The path of the submodule that an entry of `git ls-tree -z` stands for, if it does.
fn submodule(entry: &[u8]) -> Option<String> {
    let rest = entry.strip_prefix(b"160000 ")?;
    let path = rest.splitn(2, |byte| *byte == b'\t').nth(1)?;
    Some(String::from_utf8_lossy(path).into_owned())
}

struct Archiving {
    child: Child,
    stdout: Option<ChildStdout>,
    complaint: JoinHandle<String>,
}

impl Archiving {
    async fn next(mut self) -> Result<Option<(Bytes, Option<Self>)>, SourceError> {
        let failed = |source| SourceError::GitStart {
            command: "archive",
            source,
        };
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        if let Some(stdout) = &mut self.stdout {
            while piece.len() < PIECE_BYTES
                && stdout.read_buf(&mut piece).await.map_err(failed)? > 0
            {}
        }
        if !piece.is_empty() {
            return Ok(Some((piece.freeze(), Some(self))));
        }
        let status = self.child.wait().await.map_err(failed)?;
        if status.success() {
            return Ok(None);
        }
        let stderr = self.complaint.await.unwrap_or_default();
        Err(SourceError::Git {
            command: "archive",
            status,
            stderr,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submodules_are_found() {
        let path = submodule(b"160000 commit bb\tvendor/a b");
        assert_eq!(path.as_deref(), Some("vendor/a b"));
        assert_eq!(submodule(b"100644 blob aa\t.gitmodules"), None);
        assert_eq!(submodule(b""), None);
    }
}
