//! The build plan: what to do, in which order, and what each result depends on.
//!
//! All of it is plain values that pure functions make and compare; it must not touch a file or a
//! dyno. A step's result is a layer, named by its key: SHA-256 of everything the step depends on.
//! Read [`BuildPlan`] first.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::archive::hex;

/// Counts up when a change of this program makes all earlier layers unfit.
pub(crate) const KEY_VERSION: u32 = 2;

/// A whole build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildPlan {
    /// In the order they run.
    pub steps: Vec<Step>,
    /// The layers of the slug, lowest first.
    pub slug: Vec<LayerRef>,
    /// The dynos' environment, below the app's config vars.
    pub env: BTreeMap<String, String>,
}

/// A layer that a plan speaks of before it exists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LayerRef {
    /// The unpacked source.
    Source,
    /// The result of the step of this name.
    Step(String),
}

/// One step; its result is a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Unique within the plan: `python-packages`.
    pub name: String,
    /// What is said when it runs: one line after `-----> ` each.
    pub heading: Vec<String>,
    /// What is said when an earlier result is used instead.
    pub cached_heading: Vec<String>,
    /// What it sees at `/app`, lowest first.
    pub upon: Vec<LayerRef>,
    /// Files of the source that it sees besides; meant for steps that do not see all of it.
    pub files: Vec<String>,
    /// What it does.
    pub action: Action,
    /// The environment of the command.
    pub env: BTreeMap<String, String>,
    /// Download caches that it may read and write. They should not change the result, but the app's
    /// own build code can write to them: a step with caches makes a layer for its app alone.
    pub caches: Vec<Cache>,
    /// A file of the machine's runtime mirror, shown read-only at `/cache/mirror`; the command
    /// names its checksum.
    pub mirror: Option<PathBuf>,
    /// Whether an earlier result of the same key may stand in. Not for commands of the app's own.
    pub is_reusable: bool,
    /// Directories of the host that it sees besides. They do not count for its key: who shows
    /// something that matters also says so in `env` or the command, or never reuses the result.
    pub shown: Vec<Shown>,
    /// Whether its lines are passed on as they are, not indented: they are in Heroku's look already.
    pub is_verbatim: bool,
    /// What to say when it fails, one line after ` !     ` each.
    pub advice: Vec<String>,
}

/// A directory of the host that a step sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// On the host.
    pub source: PathBuf,
    /// In the build dyno.
    pub target: PathBuf,
    /// Whether the step may write to it.
    pub is_writable: bool,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Runs a program in a build dyno; what it writes below `/app` is the result.
    Run(Vec<String>),
    /// Writes files.
    Write(BTreeMap<String, String>),
}

/// A writable directory inside a build step that lives longer than the build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Its name: it is shown at `/cache/NAME`, and each app has its own.
    pub name: String,
}

impl Step {
    /// A step that runs a program on an empty `/app`.
    pub fn run(name: &str, command: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            heading: Vec::new(),
            cached_heading: Vec::new(),
            upon: Vec::new(),
            files: Vec::new(),
            action: Action::Run(command),
            env: BTreeMap::new(),
            caches: Vec::new(),
            mirror: None,
            is_reusable: true,
            shown: Vec::new(),
            is_verbatim: false,
            advice: Vec::new(),
        }
    }

    /// A step that writes files: path below `/app` → content.
    pub fn write(name: &str, files: BTreeMap<String, String>) -> Self {
        Self {
            action: Action::Write(files),
            ..Self::run(name, Vec::new())
        }
    }

    /// Whether the step sees the whole source.
    pub fn sees_source(&self) -> bool {
        self.upon.contains(&LayerRef::Source)
    }

    /// The name of the result.
    pub fn key(&self, inputs: &Inputs) -> String {
        #[derive(Serialize)]
        struct Canonical<'a> {
            version: u32,
            action: &'a Action,
            env: &'a BTreeMap<String, String>,
            inputs: &'a Inputs,
        }
        let canonical = Canonical {
            version: KEY_VERSION,
            action: &self.action,
            env: &self.env,
            inputs,
        };
        // Sorted maps and plain strings always serialise, and always to the same bytes.
        let bytes = serde_json::to_vec(&canonical).unwrap_or_default();
        hex(&Sha256::digest(bytes))
    }
}

/// What a step's result depends on that only the running build knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inputs {
    /// The stack's name.
    pub stack: String,
    /// Keys of the layers below, lowest first.
    pub upon: Vec<String>,
    /// Path → SHA-256 of the files it sees besides.
    pub files: BTreeMap<String, String>,
    /// Set for steps with download caches, which the app may have tampered with: no other app gets
    /// what they make.
    pub app: Option<String>,
    /// Set for steps that always run: no two builds give the same.
    pub build: Option<String>,
}

impl fmt::Display for LayerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source => f.write_str("source"),
            Self::Step(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for BuildPlan {
    /// A few lines a step, for tests and the curious; long arguments are cut.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            let reuse = if step.is_reusable { "" } else { " (always)" };
            writeln!(f, "{}{reuse}", step.name)?;
            for line in &step.heading {
                writeln!(f, "  says {line}")?;
            }
            let list = |refs: &[LayerRef]| {
                refs.iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(" + ")
            };
            if !step.upon.is_empty() {
                writeln!(f, "  upon {}", list(&step.upon))?;
            }
            if !step.files.is_empty() {
                writeln!(f, "  with {}", step.files.join(" "))?;
            }
            match &step.action {
                Action::Run(command) => writeln!(f, "  runs {}", shortened(command))?,
                Action::Write(files) => {
                    let paths: Vec<_> = files.keys().map(String::as_str).collect();
                    writeln!(f, "  writes {}", paths.join(" "))?;
                }
            }
        }
        let slug: Vec<_> = self.slug.iter().map(ToString::to_string).collect();
        writeln!(f, "slug: {}", slug.join(" + "))
    }
}

fn shortened(command: &[String]) -> String {
    let shown = command.iter().map(|argument| {
        let line = argument.lines().next().unwrap_or_default();
        let cut = line.get(..40).unwrap_or(line);
        if argument.contains('\n') {
            format!("{cut}…")
        } else {
            cut.to_owned()
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step() -> Step {
        Step::run("packages", vec!["uv".into(), "sync".into()])
    }

    fn inputs() -> Inputs {
        Inputs {
            stack: "landfall-13".into(),
            upon: vec!["a".into()],
            files: BTreeMap::from([("uv.lock".into(), "1".into())]),
            app: None,
            build: None,
        }
    }

    #[test]
    fn a_key_tells_every_input_apart() {
        let key = step().key(&inputs());
        assert_eq!(key.len(), 64);
        assert_eq!(key, step().key(&inputs()));
        let mut others = vec![
            step().key(&Inputs {
                stack: "landfall-14".into(),
                ..inputs()
            }),
            step().key(&Inputs {
                upon: vec!["b".into()],
                ..inputs()
            }),
            step().key(&Inputs {
                files: BTreeMap::new(),
                ..inputs()
            }),
            step().key(&Inputs {
                app: Some("1".into()),
                ..inputs()
            }),
            step().key(&Inputs {
                build: Some("1".into()),
                ..inputs()
            }),
            Step::run("packages", vec!["uv sync".into()]).key(&inputs()),
            Step::write("packages", BTreeMap::new()).key(&inputs()),
            Step {
                env: BTreeMap::from([("A".into(), "1".into())]),
                ..step()
            }
            .key(&inputs()),
        ];
        others.push(key);
        others.sort();
        others.dedup();
        assert_eq!(others.len(), 9);
    }

    #[test]
    fn a_key_does_not_depend_on_what_is_said() {
        let quiet = step().key(&inputs());
        let talkative = Step {
            name: "other".into(),
            heading: vec!["x".into()],
            cached_heading: vec!["y".into()],
            advice: vec!["z".into()],
            caches: vec![Cache { name: "uv".into() }],
            ..step()
        };
        assert_eq!(quiet, talkative.key(&inputs()));
    }
}
