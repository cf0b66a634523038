//! A pushed commit made live through the Platform API: source, build, release.

use std::{error::Error, path::Path, time::Duration};

use crate::{
    archive::{Commit, MAX_FILES},
    error::SourceError,
    git::{Git, Quarantine},
    output::Output,
};
use api::{
    build_records::Phase,
    builds::{Build, BuildCause, BuildStatus, NewBuild, SourceBlob},
    client::{Client, ClientError},
    ids::BuildId,
    releases::ReleaseStatus,
};
use futures_util::StreamExt;
use thiserror::Error;
use tokio::time::Instant;

/// Longer lines are shown in pieces.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// Why a push does not go live.
#[derive(Debug, Error)]
pub(crate) enum DeployError {
    /// Somebody else was faster.
    #[error("Another push moved {branch} in the meantime.\nFetch it, merge it and push again.")]
    Moved { branch: String },
    /// git on this side.
    #[error("The pushed commit cannot be read.")]
    Git(#[from] SourceError),
    /// More files than an app can have.
    #[error("The pushed commit holds more than {MAX_FILES} files.")]
    TooManyFiles,
    /// The API refused, or could not be asked.
    #[error("Could not {step}.")]
    Api {
        step: &'static str,
        #[source]
        source: ClientError,
    },
    /// The build failed and has said why.
    #[error("Push rejected to {app}.")]
    BuildFailed { app: String },
    /// The release failed and has said why.
    #[error("Push rejected, release v{version} failed. It is not live.")]
    ReleaseFailed { version: u64 },
    /// The platform says nothing more about it.
    #[error(
        "The platform did not finish the {what} in time.\nhint: see `heroku releases` for what became of it"
    )]
    Unsettled { what: &'static str },
}

impl DeployError {
    /// As it is shown: the API's own words where it has some, else the chain of causes.
    pub(crate) fn shown(&self) -> String {
        if let Self::Api {
            source: ClientError::Refused { body, .. },
            ..
        } = self
        {
            return body.message.clone();
        }
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text = format!("{text}\n{error}");
            cause = error.source();
        }
        text
    }
}

/// Names the step of a failed call.
trait Step<T> {
    fn step(self, step: &'static str) -> Result<T, DeployError>;
}

impl<T> Step<T> for Result<T, ClientError> {
    fn step(self, step: &'static str) -> Result<T, DeployError> {
        self.map_err(|source| DeployError::Api { step, source })
    }
}

/// What is to go live, and for whom.
pub(crate) struct Deploy<'a> {
    pub(crate) git: &'a Git,
    pub(crate) repository: &'a Path,
    pub(crate) quarantine: Option<Quarantine>,
    pub(crate) commit: &'a str,
    pub(crate) client: &'a Client,
    pub(crate) app: &'a str,
    /// How long the upload took.
    pub(crate) received: Duration,
}

impl Deploy<'_> {
    /// Uploads, builds and releases; returns when the release is live.
    pub(crate) async fn run(&self, output: &mut Output) -> Result<(), DeployError> {
        let commit = Commit {
            git: self.git,
            repository: self.repository,
            quarantine: self.quarantine.as_ref(),
            id: self.commit,
        };
        let submodules = commit.submodules().await?;
        let submodules = submodules.ok_or(DeployError::TooManyFiles)?;
        for warning in commit.warnings(submodules).await? {
            output.error(&warning).await;
        }
        output.line("Building source:").await;
        output.line("").await;
        let build = self.start_build(&commit).await?;
        self.show_output(&build, output).await?;
        let build = self.settled_build(build.id).await?;
        if build.status == BuildStatus::Failed {
            return Err(DeployError::BuildFailed {
                app: self.app.to_owned(),
            });
        }
        self.settled_release(build).await
    }

    async fn start_build(&self, commit: &Commit<'_>) -> Result<Build, DeployError> {
        let began = Instant::now();
        let urls = self
            .client
            .create_source()
            .await
            .step("make a source")?
            .source_blob;
        let archive = commit.archive()?;
        self.client
            .put_source(&urls.put_url, archive)
            .await
            .step("upload the source")?;
        let build = NewBuild {
            buildpacks: None,
            source_blob: SourceBlob {
                url: urls.get_url,
                version: Some(self.commit.to_owned()),
                ..SourceBlob::default()
            },
            cause: Some(BuildCause::Push),
            phases: vec![
                phase("receive", self.received),
                phase("checkout", began.elapsed()),
            ],
        };
        self.client
            .create_build(self.app, &build)
            .await
            .step("start a build")
    }

    /// Passes the build's output on until it ends or breaks off.
    async fn show_output(&self, build: &Build, output: &mut Output) -> Result<(), DeployError> {
        let output_stream = self.client.build_output(self.app, build).await;
        let Some(mut pieces) = output_stream.step("read the build's output")? else {
            return Ok(());
        };
        let mut lines = Lines::default();
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(piece) => lines.add(&piece),
                Err(error) => {
                    tracing::warn!(app = self.app, %error, "a build's output broke off");
                    break;
                }
            }
            while let Some(line) = lines.next() {
                output.line(line).await;
            }
        }
        if let Some(line) = lines.rest() {
            output.line(line).await;
        }
        Ok(())
    }

    async fn settled_build(&self, id: BuildId) -> Result<Build, DeployError> {
        let settled = self.client.settled_build(self.app, id).await;
        let unsettled = DeployError::Unsettled { what: "build" };
        settled.step("look at the build")?.ok_or(unsettled)
    }

    async fn settled_release(&self, build: Build) -> Result<(), DeployError> {
        let Some(release) = build.release else {
            return Err(DeployError::Unsettled { what: "build" });
        };
        let settled = self.client.settled_release(self.app, release.id).await;
        let unsettled = DeployError::Unsettled { what: "release" };
        let release = settled.step("look at the release")?.ok_or(unsettled)?;
        match release.status {
            ReleaseStatus::Succeeded => Ok(()),
            _ => Err(DeployError::ReleaseFailed {
                version: release.version,
            }),
        }
    }
}

fn phase(name: &str, took: Duration) -> Phase {
    Phase {
        name: name.to_owned(),
        duration_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
    }
}

/// Cuts a byte stream into lines.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
}

impl Lines {
    fn add(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    /// The next whole line, without its end, or a piece of one that is too long.
    fn next(&mut self) -> Option<String> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n');
        match end {
            Some(end) if end <= MAX_LINE_BYTES => {
                let line: Vec<_> = self.bytes.drain(..=end).collect();
                Some(text(line.strip_suffix(b"\n").unwrap_or(&line)))
            }
            _ if self.bytes.len() > MAX_LINE_BYTES => {
                let line: Vec<_> = self.bytes.drain(..MAX_LINE_BYTES).collect();
                Some(text(&line))
            }
            _ => None,
        }
    }

    /// What follows the last line end.
    fn rest(self) -> Option<String> {
        (!self.bytes.is_empty()).then(|| text(&self.bytes))
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_wherever_pieces_end() {
        let mut lines = Lines::default();
        let mut read = Vec::new();
        for piece in [&b"a\nb"[..], b"c\r\n\n", b"d"] {
            lines.add(piece);
            read.extend(std::iter::from_fn(|| lines.next()));
        }
        assert_eq!(read, ["a", "bc", ""]);
        assert_eq!(lines.rest().as_deref(), Some("d"));
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let mut lines = Lines::default();
        lines.add(&vec![b'x'; MAX_LINE_BYTES * 2 + 5]);
        assert_eq!(lines.next().unwrap().len(), MAX_LINE_BYTES);
        assert_eq!(lines.next().unwrap().len(), MAX_LINE_BYTES);
        assert_eq!(lines.next(), None);
    }
}
