//! What a build does, noted while it happens: steps, versions, layers and times.
//!
//! Notes outlive the build that makes them, so that one that failed or was stopped has them, too.
//! Nothing here decides what is built. Read [`Journal`] first, then [`explain`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{
    build_records::{
        BuildCourse, BuildLayer, BuildStep, ChosenVersion, PHASES, Phase, StepOutcome,
    },
    clock::Time,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    archive::hex,
    layers::Layer,
    plan::{Inputs, KEY_VERSION, Step},
};

/// Bytes of a value's digest that are kept: enough to see a change, too few to find a secret by.
const MARK_BYTES: usize = 4;

/// The notes of one build. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// Mixed into what is noted of values of the environment.
    secret: Arc<str>,
    notes: Arc<Mutex<Notes>>,
}

#[derive(Debug, Default)]
struct Notes {
    course: BuildCourse,
    inputs: Vec<(String, StepInputs)>,
    source_layer: Option<String>,
    phases: BTreeMap<&'static str, Duration>,
}

/// What a step's result depended on, kept to be compared with the next build's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepInputs {
    key: String,
    builder: u32,
    action: String,
    env: BTreeMap<String, String>,
    stack: String,
    /// Name and key of each layer below.
    upon: Vec<(String, String)>,
    files: BTreeMap<String, String>,
    is_reusable: bool,
}

/// A finished build's notes, for the record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// What people may see.
    pub course: BuildCourse,
    /// Step → what its result depended on.
    pub inputs: BTreeMap<String, StepInputs>,
    /// The source's layer, from which the build can be done again.
    pub source_layer: Option<String>,
}

impl Journal {
    /// An empty one. `secret` keeps what is noted of the environment from being guessed at; the
    /// same one must be used for builds that are to be compared.
    pub fn new(secret: &str) -> Self {
        Self {
            secret: secret.into(),
            notes: Arc::default(),
        }
    }

    /// The notes so far; steps that ran are explained by comparison with `former`.
    pub fn noted(&self, former: Option<&Noted>) -> Noted {
        let notes = self.notes();
        let mut course = notes.course.clone();
        let phase = |name: &&str| {
            let duration_us = micros(*notes.phases.get(*name)?);
            let name = (*name).to_owned();
            Some(Phase { name, duration_us })
        };
        course.phases = PHASES.iter().filter_map(phase).collect();
        for (step, (_, inputs)) in course.steps.iter_mut().zip(&notes.inputs) {
            if step.outcome != StepOutcome::Cached {
                let before = former.and_then(|former| former.inputs.get(&step.name));
                step.because = explain(inputs, before);
            }
        }
        Noted {
            course,
            inputs: notes.inputs.iter().cloned().collect(),
            source_layer: notes.source_layer.clone(),
        }
    }

    /// Adds time to a phase, which is one of [`PHASES`].
    pub fn spend(&self, phase: &'static str, duration: Duration) {
        *self.notes().phases.entry(phase).or_default() += duration;
    }

    /// What of `whole` is in no phase yet belongs to planning.
    pub(crate) fn plan_is_rest(&self, whole: Duration) {
        let known: Duration = ["unpack", "steps", "finish"]
            .iter()
            .filter_map(|phase| self.notes().phases.get(phase).copied())
            .sum();
        self.spend("plan", whole.saturating_sub(known));
    }

    pub(crate) fn source(&self, layer: &Layer) {
        self.notes().source_layer = Some(layer.key.clone());
    }

    pub(crate) fn buildpack(&self, name: &str) {
        self.notes().course.buildpacks.push(name.to_owned());
    }

    /// Takes note of a line of a buildpack that tells a version.
    pub(crate) fn told(&self, line: &str) {
        self.notes().course.versions.extend(chosen_version(line));
    }

    pub(crate) fn layers(&self, layers: &[Layer], made: &BTreeSet<String>) {
        let told = |layer: &Layer| BuildLayer {
            key: layer.key.clone(),
            size_bytes: layer.size_bytes,
            is_new: made.contains(&layer.key),
        };
        self.notes().course.layers = layers.iter().map(told).collect();
    }

    /// A step begins; until it has ended it counts as stopped.
    pub(crate) fn begin(&self, step: &Step, inputs: &Inputs) {
        let known = StepInputs {
            key: step.key(inputs),
            builder: KEY_VERSION,
            action: self.mark(&serde_json::to_vec(&step.action).unwrap_or_default()),
            env: step
                .env
                .iter()
                .map(|(name, value)| (name.clone(), self.mark(value.as_bytes())))
                .collect(),
            stack: inputs.stack.clone(),
            upon: step
                .upon
                .iter()
                .map(ToString::to_string)
                .zip(inputs.upon.iter().cloned())
                .collect(),
            files: inputs.files.clone(),
            is_reusable: step.is_reusable,
        };
        let mut notes = self.notes();
        notes.inputs.push((step.name.clone(), known));
        notes.course.steps.push(BuildStep {
            name: step.name.clone(),
            outcome: StepOutcome::Stopped,
            because: Vec::new(),
            duration_us: 0,
            size_bytes: None,
        });
    }

    /// The step that began last has ended.
    pub(crate) fn end(&self, outcome: StepOutcome, size_bytes: Option<u64>, took: Duration) {
        if let Some(step) = self.notes().course.steps.last_mut() {
            step.outcome = outcome;
            step.size_bytes = size_bytes;
            step.duration_us = micros(took);
        }
        self.spend("steps", took);
    }

    fn mark(&self, value: &[u8]) -> String {
        let mut digest = Sha256::new();
        digest.update((self.secret.len() as u64).to_be_bytes());
        digest.update(self.secret.as_bytes());
        digest.update(value);
        hex(&digest.finalize()[..MARK_BYTES])
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stopwatch for a piece of a build, which may be dropped half way.
pub(crate) struct Timing<'a> {
    pub(crate) clock: &'a api::clock::Clock,
    pub(crate) began: Time,
}

impl<'a> Timing<'a> {
    pub(crate) fn begin(clock: &'a api::clock::Clock) -> Self {
        Self {
            clock,
            began: clock.now(),
        }
    }

    pub(crate) fn took(&self) -> Duration {
        self.clock.now().since(self.began)
    }
}

/// Why a step was not taken from an earlier build: what differs from `before`, which is the same
/// step in the last build that had it.
pub(crate) fn explain(now: &StepInputs, before: Option<&StepInputs>) -> Vec<String> {
    if !now.is_reusable {
        return vec!["it runs the app's own code, which always runs".to_owned()];
    }
    let Some(before) = before else {
        return vec!["no earlier build of this app had this step".to_owned()];
    };
    let mut reasons = Vec::new();
    if now.builder != before.builder {
        reasons.push("the platform builds in another way than before".to_owned());
    }
    if now.stack != before.stack {
        reasons.push(format!("stack: {} instead of {}", now.stack, before.stack));
    }
    if now.action != before.action {
        reasons.push("what the step does changed, or a version in it".to_owned());
    }
    differences("file", &before.files, &now.files, &mut reasons);
    differences("environment variable", &before.env, &now.env, &mut reasons);
    let (below, below_before): (BTreeMap<_, _>, BTreeMap<_, _>) = (
        now.upon.iter().cloned().collect(),
        before.upon.iter().cloned().collect(),
    );
    differences("layer below", &below_before, &below, &mut reasons);
    if reasons.is_empty() {
        let reason = if now.key == before.key {
            "its earlier result is no longer kept"
        } else {
            "the layers below it are in another order"
        };
        reasons.push(reason.to_owned());
    }
    reasons
}

fn differences(
    what: &str,
    before: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
    reasons: &mut Vec<String>,
) {
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    for name in names {
        let how = match (before.get(name), now.get(name)) {
            (Some(before), Some(now)) if before == now => continue,
            (Some(_), Some(_)) => "changed",
            (None, _) => "is new",
            (_, None) => "is gone",
        };
        reasons.push(format!("{what} {name} {how}"));
    }
}

/// `Using Python 3.13.5 specified in .python-version` tells one, and so does `No Go version was
/// specified. Using the newest: Go 1.25`; `Using cached uv 0.8` tells none.
fn chosen_version(line: &str) -> Option<ChosenVersion> {
    let (before, rest) = line.trim().split_once("Using ")?;
    let starts_number = |word: &str| {
        let number = word.strip_prefix('v').unwrap_or(word);
        number.starts_with(|first: char| first.is_ascii_digit())
    };
    let words: Vec<&str> = rest.split(' ').collect();
    let at = words.iter().position(|word| starts_number(word))?;
    let (name, reason) = (words.get(..at)?.join(" "), words.get(at + 1..)?.join(" "));
    let unspecified = before
        .strip_prefix("No ")
        .and_then(|text| text.split_once(" version "));
    let (name, reason) = match unspecified {
        Some((name, _)) => (
            name.to_owned(),
            before.trim_end_matches([' ', '.']).to_owned(),
        ),
        None if before.is_empty() => (name, reason),
        None => return None,
    };
    if name.is_empty() || name.starts_with("cached") {
        return None;
    }
    let version = words.get(at)?.trim_end_matches([',', ';', ':']).to_owned();
    Some(ChosenVersion {
        name,
        version,
        reason,
    })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::LayerRef;

    fn inputs() -> StepInputs {
        let pairs = |pairs: &[(&str, &str)]| {
            let owned = pairs.iter().map(|(a, b)| ((*a).into(), (*b).into()));
            owned.collect::<Vec<(String, String)>>()
        };
        StepInputs {
            key: "k".into(),
            builder: 2,
            action: "a".into(),
            env: pairs(&[("PATH", "1")]).into_iter().collect(),
            stack: "landfall-13".into(),
            upon: pairs(&[("python", "p"), ("uv", "u")]),
            files: pairs(&[("uv.lock", "1"), ("pyproject.toml", "2")])
                .into_iter()
                .collect(),
            is_reusable: true,
        }
    }

    fn check(change: impl FnOnce(&mut StepInputs), expected: &[&str]) {
        let mut now = inputs();
        now.key = "other".into();
        change(&mut now);
        assert_eq!(explain(&now, Some(&inputs())), expected);
    }

    #[test]
    fn a_step_that_ran_says_what_changed() {
        check(
            |now| {
                now.files.insert("uv.lock".into(), "9".into());
            },
            &["file uv.lock changed"],
        );
        check(
            |now| {
                now.files.remove("uv.lock");
                now.files.insert("requirements.txt".into(), "1".into());
            },
            &["file requirements.txt is new", "file uv.lock is gone"],
        );
        check(
            |now| {
                now.env.insert("PIP_INDEX_URL".into(), "x".into());
            },
            &["environment variable PIP_INDEX_URL is new"],
        );
        check(
            |now| now.upon[0].1 = "other".into(),
            &["layer below python changed"],
        );
        check(
            |now| now.action = "b".into(),
            &["what the step does changed, or a version in it"],
        );
        check(
            |now| now.stack = "landfall-14".into(),
            &["stack: landfall-14 instead of landfall-13"],
        );
        check(
            |now| now.builder = 3,
            &["the platform builds in another way than before"],
        );
        check(
            |now| now.upon.reverse(),
            &["the layers below it are in another order"],
        );
        check(
            |now| now.key = "k".into(),
            &["its earlier result is no longer kept"],
        );
        check(
            |now| now.is_reusable = false,
            &["it runs the app's own code, which always runs"],
        );
        let first = explain(&inputs(), None);
        assert_eq!(first, ["no earlier build of this app had this step"]);
    }

    fn check_version(line: &str, expected: Option<(&str, &str, &str)>) {
        let found = chosen_version(line);
        let found = found
            .as_ref()
            .map(|v| (v.name.as_str(), v.version.as_str(), v.reason.as_str()));
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn versions_are_what_buildpacks_say_they_use() {
        check_version(
            "Using Python 3.13.5 specified in .python-version",
            Some(("Python", "3.13.5", "specified in .python-version")),
        );
        check_version("Using Node.js 22.1.0", Some(("Node.js", "22.1.0", "")));
        check_version(
            "Using Go v1.24, the newest",
            Some(("Go", "v1.24", "the newest")),
        );
        check_version(
            "No Java version was specified. Using the default: 21.0.8",
            Some(("Java", "21.0.8", "No Java version was specified")),
        );
        check_version("-----> Using Python 3.13", None);
        check_version("Using cached uv 0.8.0", None);
        check_version("Using buildpack: heroku/python", None);
        check_version("Installing Python 3.13", None);
        check_version("Using 3.13", None);
        check_version("", None);
    }

    #[test]
    fn what_is_noted_of_the_environment_does_not_give_it_away() {
        let step = Step {
            env: [("TOKEN".to_owned(), "hunter2".to_owned())].into(),
            upon: vec![LayerRef::Source],
            ..Step::run("packages", vec!["uv".into()])
        };
        let inputs = Inputs {
            upon: vec!["s".into()],
            ..Inputs::default()
        };
        let noted = |secret: &str| {
            let journal = Journal::new(secret);
            journal.begin(&step, &inputs);
            journal.noted(None).inputs["packages"].clone()
        };
        let (one, other) = (noted("a"), noted("b"));
        assert_eq!(one, noted("a"));
        assert_ne!(one.env, other.env);
        assert_eq!(one.env["TOKEN"].len(), 2 * MARK_BYTES);
        assert_eq!(one.upon, [("source".to_owned(), "s".to_owned())]);
    }

    #[test]
    fn a_build_that_ended_early_has_its_notes() {
        let journal = Journal::new("");
        journal.spend("unpack", Duration::from_micros(5));
        journal.begin(&Step::run("one", Vec::new()), &Inputs::default());
        journal.end(StepOutcome::Ran, Some(7), Duration::from_micros(20));
        journal.begin(&Step::run("two", Vec::new()), &Inputs::default());
        journal.plan_is_rest(Duration::from_micros(30));
        let noted = journal.noted(None);
        let steps: Vec<_> = noted
            .course
            .steps
            .iter()
            .map(|s| (s.name.as_str(), s.outcome))
            .collect();
        assert_eq!(
            steps,
            [("one", StepOutcome::Ran), ("two", StepOutcome::Stopped)]
        );
        let phases: Vec<_> = noted
            .course
            .phases
            .iter()
            .map(|p| (p.name.as_str(), p.duration_us))
            .collect();
        assert_eq!(phases, [("unpack", 5), ("plan", 5), ("steps", 20)]);
    }
}
