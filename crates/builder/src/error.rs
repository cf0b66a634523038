//! Why a build failed: the app's own doing, or this machine's.

use std::io::{self, ErrorKind};

use engine::EngineError;
use thiserror::Error;

use crate::{archive::ArchiveError, procfile::ProcfileError, shape::ShapeError};

/// A build's end without a slug. [`BuildError::lines`] is what its owner is told.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The source archive was refused.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// What its own files or the app's settings say of it cannot be done.
    #[error(transparent)]
    Shape(ShapeError),
    /// No buildpack was chosen and none recognises the source.
    #[error("No default language could be detected for this app.")]
    NoLanguage,
    /// A chosen buildpack is not one of ours.
    #[error("Buildpack `{name}` is not available here.")]
    UnknownBuildpack {
        /// As it was chosen.
        name: String,
    },
    /// A chosen buildpack finds nothing to build.
    #[error("App not compatible with buildpack: {buildpack}")]
    NotDetected {
        /// Its name.
        buildpack: String,
        /// What it looks for.
        advice: Vec<String>,
    },
    /// The source cannot be built as it is; the buildpack says why.
    #[error("{problem}")]
    Source {
        /// One line.
        problem: String,
        /// What to do about it.
        advice: Vec<String>,
    },
    /// The Procfile cannot be read.
    #[error(transparent)]
    Procfile(#[from] ProcfileError),
    /// A step's command ended badly.
    #[error("{} (exit status {status})", if *.is_out_of_memory { "The build ran out of memory" } else { "The build step failed" })]
    Step {
        /// Which step.
        step: String,
        /// As a shell would give it.
        status: i32,
        /// Whether memory ran out.
        is_out_of_memory: bool,
        /// What to do about it.
        advice: Vec<String>,
        /// The last lines it wrote.
        last_lines: Vec<String>,
    },
    /// A step wrote more than it may.
    #[error("The build wrote more than {megabytes} MB and was stopped.")]
    OverDisk {
        /// How much it may.
        megabytes: u64,
    },
    /// A build was to be done again, and its source is gone.
    #[error("The source of that build is no longer kept.")]
    SourceGone,
    /// A program of a buildpack ended badly.
    #[error("{}", if *.is_out_of_memory { format!("Push rejected, the build ran out of memory (failed to {phase} {app} app).") } else { format!("Push rejected, failed to {phase} {app} app.") })]
    Buildpack {
        /// What its `bin/detect` called the app.
        app: String,
        /// What it was doing: compile, build, release.
        phase: &'static str,
        /// As a shell would give it.
        status: i32,
        /// Whether memory ran out.
        is_out_of_memory: bool,
        /// The last lines it wrote.
        last_lines: Vec<String>,
    },
    /// The build took too long.
    #[error("The build took longer than {minutes} minutes and was stopped.")]
    TimedOut {
        /// How long it may take.
        minutes: u64,
    },
    /// A build dyno could not be run.
    #[error("The build could not be run on this machine.")]
    Engine(#[from] EngineError),
    /// A file of the platform could not be read or written.
    #[error("The build could not be run on this machine: {step}.")]
    Host {
        /// What was being done.
        step: &'static str,
        /// The machine's answer.
        #[source]
        source: io::Error,
    },
}

impl BuildError {
    /// Wraps what the machine answered.
    pub(crate) fn host(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Host { step, source }
    }

    /// Whether pushing a different source, or configuration, could help.
    pub fn is_about_the_source(&self) -> bool {
        match self {
            Self::Engine(_) | Self::Host { .. } => false,
            // A torn archive is as unreadable as a torn disk; only the disk's own words tell.
            Self::Archive(ArchiveError::Io(error)) => !matches!(
                error.kind(),
                ErrorKind::StorageFull | ErrorKind::NotFound | ErrorKind::PermissionDenied
            ),
            _ => true,
        }
    }

    /// What to tell, line by line, without the ` !     ` before each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.to_string()];
        let advice: Vec<String> = match self {
            Self::NoLanguage => [
                "hint: add a requirements.txt (Python), package.json (Node.js), Gemfile (Ruby), composer.json",
                "(PHP), go.mod (Go), pom.xml (Java) or index.html (static site)",
                "at the root of the app, and commit it; or choose a buildpack with",
                "`heroku buildpacks:set heroku/python`.",
            ]
            .map(str::to_owned)
            .to_vec(),
            Self::UnknownBuildpack { .. } => [
                "hint: `heroku buildpacks:search` lists those with a name; any other is chosen by its",
                "https URL, or `heroku buildpacks:clear` has one detected.",
            ]
            .map(str::to_owned)
            .to_vec(),
            Self::Procfile(_) => vec![
                "hint: each line is `<process type>: <command>`, for example `web: gunicorn app.wsgi`."
                    .to_owned(),
            ],
            Self::Step { is_out_of_memory: true, .. } => {
                vec!["hint: the last lines above say what was running.".to_owned()]
            }
            Self::NotDetected { advice, .. }
            | Self::Source { advice, .. }
            | Self::Step { advice, .. } => advice.clone(),
            Self::Archive(ArchiveError::Io(source)) | Self::Host { source, .. } => {
                vec![source.to_string()]
            }
            Self::Engine(error) => vec![error.to_string()],
            Self::Shape(ShapeError::NoRoot { .. }) => {
                vec!["hint: `landfall build-settings root_directory=null` builds the whole source.".to_owned()]
            }
            Self::OverDisk { .. } => vec![
                "hint: what a step leaves below /app and in /tmp counts, and each file for 4 KiB more."
                    .to_owned(),
            ],
            Self::SourceGone => vec!["hint: push it again.".to_owned()],
            Self::Buildpack { status, .. } => vec![format!("exit status {status}; see the output above.")],
            Self::Archive(_) | Self::Shape(_) | Self::TimedOut { .. } => Vec::new(),
        };
        if !advice.is_empty() {
            lines.push(String::new());
            lines.extend(advice);
        }
        lines
    }
}

impl From<ShapeError> for BuildError {
    fn from(error: ShapeError) -> Self {
        match error {
            ShapeError::Archive(error) => Self::Archive(error),
            other => Self::Shape(other),
        }
    }
}
