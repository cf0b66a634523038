//! `landfall builds` and its like: an app's builds, how one went, what it printed, stopping it and
//! building it again.

use std::{fmt::Write as _, path::Path};

use anyhow::{Result, bail};
use api::{
    build_records::{BuildRecord, BuildStep, StepOutcome},
    builds::{Build, BuildCause, BuildStatus},
    client::{Client, ClientError},
};
use futures_util::StreamExt;

use crate::own::{client, wait};

/// Arguments of `landfall builds`.
#[derive(Clone, Debug, clap::Args)]
pub struct BuildsArguments {
    /// The app, by name or id
    #[arg(long, short)]
    pub app: String,
    /// How many to show, the newest first
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub max: u16,
}

/// Arguments of the commands about one build.
#[derive(Clone, Debug, clap::Args)]
pub struct BuildArguments {
    /// The build's number or id; the newest, if left out
    #[arg(value_name = "BUILD")]
    pub build: Option<String>,
    /// The app, by name or id
    #[arg(long, short)]
    pub app: String,
}

/// Arguments of `landfall builds:info`.
#[derive(Clone, Debug, clap::Args)]
pub struct BuildInfoArguments {
    #[command(flatten)]
    pub build: BuildArguments,
    /// Show each step: cached, or why not; and where the time went
    #[arg(long)]
    pub explain: bool,
    /// Print the record as JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs `landfall builds`.
#[expect(clippy::print_stdout, reason = "a command's output")]
pub(crate) fn list(ready_file: &Path, arguments: &BuildsArguments) -> Result<()> {
    let client = client(ready_file)?;
    let builds = wait(client.newest_builds(&arguments.app, arguments.max))?;
    if builds.is_empty() {
        println!("{} has no builds yet.", arguments.app);
    }
    for build in &builds {
        println!("{}", line(build));
    }
    Ok(())
}

/// Runs `landfall builds:info`.
#[expect(clippy::print_stdout, reason = "a command's output")]
pub(crate) fn info(ready_file: &Path, arguments: &BuildInfoArguments) -> Result<()> {
    let client = client(ready_file)?;
    let (app, build) = (&arguments.build.app, arguments.build.build.as_deref());
    let record = wait(async {
        let build = chosen(&client, app, build).await?;
        client.build_record(app, build).await
    })?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&record)?);
        return Ok(());
    }
    print!("{}", facts(app, &record));
    if arguments.explain {
        print!("{}", explained(&record));
    }
    Ok(())
}

/// Runs `landfall builds:output`: what a build printed, live while it goes on.
///
/// # Errors
/// Also when the build failed, once all is printed.
pub(crate) fn output(ready_file: &Path, arguments: &BuildArguments) -> Result<()> {
    let client = client(ready_file)?;
    let build = wait(async {
        let number = chosen(&client, &arguments.app, arguments.build.as_deref()).await?;
        let build = client.build(&arguments.app, number).await?;
        follow(&client, &arguments.app, &build).await
    })?;
    judge(&build)
}

/// Runs `landfall builds:cancel`.
#[expect(clippy::print_stdout, reason = "a command's output")]
pub(crate) fn cancel(ready_file: &Path, arguments: &BuildArguments) -> Result<()> {
    let client = client(ready_file)?;
    let build = wait(async {
        let number = chosen(&client, &arguments.app, arguments.build.as_deref()).await?;
        client.cancel_build(&arguments.app, number).await
    })?;
    if build.status == BuildStatus::Pending {
        println!("Stopping build {} of {}.", build.number, arguments.app);
        return Ok(());
    }
    bail!(
        "build {} has ended already: {}",
        build.number,
        status(build.status)
    );
}

/// Runs `landfall builds:rebuild`, and follows what it prints.
///
/// # Errors
/// Also when the new build fails.
pub(crate) fn rebuild(ready_file: &Path, arguments: &BuildArguments) -> Result<()> {
    let client = client(ready_file)?;
    let build = wait(async {
        let number = chosen(&client, &arguments.app, arguments.build.as_deref()).await?;
        let build = client.rebuild(&arguments.app, number).await?;
        follow(&client, &arguments.app, &build).await
    })?;
    judge(&build)
}

/// The build that was named, or the newest; `0`, which no build has, if there is none.
async fn chosen(client: &Client, app: &str, named: Option<&str>) -> Result<String, ClientError> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let newest = client.newest_builds(app, 1).await?;
    Ok(newest.first().map_or(0, |build| build.number).to_string())
}

/// Prints a build's output to its end, and gives the build as it then is.
#[expect(clippy::print_stdout, reason = "a command's output")]
async fn follow(client: &Client, app: &str, build: &Build) -> Result<Build, ClientError> {
    let mut pieces = client.stream_output(&build.output_stream_url).await?;
    while let Some(piece) = pieces.next().await {
        print!("{}", String::from_utf8_lossy(&piece?));
    }
    client.build(app, build.id).await
}

fn judge(build: &Build) -> Result<()> {
    match build.status {
        BuildStatus::Failed => bail!("build {} failed", build.number),
        BuildStatus::Pending | BuildStatus::Succeeded => Ok(()),
    }
}

fn line(build: &Build) -> String {
    let version = build.source_blob.version.as_deref().unwrap_or("-");
    let version = version.get(..8).unwrap_or(version);
    let cause = build.cause.map_or("", cause);
    format!(
        "{:>4}  {:9}  {version:8}  {}  {:8}  {}",
        build.number,
        status(build.status),
        build.created_at,
        cause,
        build.user.email
    )
}

/// One fact a line.
fn facts(app: &str, record: &BuildRecord) -> String {
    let mut text = format!("=== {app} build {}\n", record.number);
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a String cannot fail.
            writeln!(text, "{:12}{value}", format!("{name}:")).unwrap_or_default();
        }
    };
    fact("Status", status(record.status));
    fact("Failure", record.failure_message.as_deref().unwrap_or(""));
    let cause = match record.rebuild_of {
        Some(number) => format!("rebuild of {number}"),
        None => cause(record.cause).to_owned(),
    };
    fact("Cause", &format!("{cause} by {}", record.user.email));
    fact("At", &record.created_at.to_string());
    fact("Source", record.version.as_deref().unwrap_or(""));
    fact("Stack", &record.stack);
    fact("Buildpacks", &record.course.buildpacks.join(", "));
    for version in &record.course.versions {
        let chosen = format!("{} {} {}", version.name, version.version, version.reason);
        fact("Version", chosen.trim_end());
    }
    let layers = &record.course.layers;
    if !layers.is_empty() {
        let new = layers.iter().filter(|layer| layer.is_new).count();
        let bytes = layers.iter().map(|layer| layer.size_bytes).sum();
        let layers = format!("{} ({new} new), {}", layers.len(), size(bytes));
        fact("Layers", &layers);
    }
    let total = record.course.phases.iter().map(|phase| phase.duration_us);
    fact("Took", &seconds(total.sum()));
    let again = if record.is_replayable {
        "landfall builds:rebuild"
    } else {
        "no: its source is not kept"
    };
    fact("Replayable", again);
    text
}

/// The steps, each cached or why not, and the phases.
fn explained(record: &BuildRecord) -> String {
    let mut text = String::from("\n--- Steps\n");
    let steps = &record.course.steps;
    if steps.is_empty() {
        text.push_str("none is on record\n");
    }
    let width = steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
    for step in steps {
        text.push_str(&step_lines(step, width));
    }
    text.push_str("\n--- Time\n");
    for phase in &record.course.phases {
        let took = seconds(phase.duration_us);
        writeln!(text, "{:10}{took:>10}", phase.name).unwrap_or_default();
    }
    text
}

fn step_lines(step: &BuildStep, width: usize) -> String {
    let outcome = match step.outcome {
        StepOutcome::Cached => "cached",
        StepOutcome::Ran => "ran",
        StepOutcome::Failed => "failed",
        StepOutcome::Stopped => "stopped",
    };
    let size = step.size_bytes.map_or(String::new(), size);
    let took = seconds(step.duration_us);
    let line = format!("{:width$}  {outcome:7} {took:>10} {size:>8}", step.name);
    let mut text = format!("{}\n", line.trim_end());
    for reason in &step.because {
        writeln!(text, "{:width$}    because {reason}", "").unwrap_or_default();
    }
    text
}

fn status(status: BuildStatus) -> &'static str {
    match status {
        BuildStatus::Pending => "pending",
        BuildStatus::Succeeded => "succeeded",
        BuildStatus::Failed => "failed",
    }
}

fn cause(cause: BuildCause) -> &'static str {
    match cause {
        BuildCause::Push => "push",
        BuildCause::Archive => "archive",
        BuildCause::Webhook => "webhook",
        BuildCause::Url => "url",
        BuildCause::Rebuild => "rebuild",
    }
}

fn seconds(micros: u64) -> String {
    format!("{}.{:03} s", micros / 1_000_000, micros / 1000 % 1000)
}

/// `1.5K`, `12.3M`.
fn size(bytes: u64) -> String {
    let units = [(1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    let unit = units.into_iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or_else(
        || format!("{bytes}B"),
        |(unit, letter)| {
            let tenths = bytes.saturating_mul(10) / unit;
            format!("{}.{}{letter}", tenths / 10, tenths % 10)
        },
    )
}

#[cfg(test)]
mod tests {
    use api::{
        build_records::{BuildCourse, BuildLayer, ChosenVersion, Phase},
        clock::Time,
        ids::{AccountId, BuildId},
        references::UserReference,
    };

    use super::*;

    fn record() -> BuildRecord {
        let step = |name: &str, outcome, because: &[&str]| BuildStep {
            name: name.to_owned(),
            outcome,
            because: because.iter().map(|reason| (*reason).to_owned()).collect(),
            duration_us: 1_250_000,
            size_bytes: (outcome == StepOutcome::Ran).then_some(2_500_000),
        };
        let phase = |name: &str, duration_us| Phase {
            name: name.to_owned(),
            duration_us,
        };
        BuildRecord {
            id: BuildId::new(),
            number: 7,
            cause: BuildCause::Push,
            rebuild_of: None,
            user: UserReference {
                id: AccountId::new(),
                email: "a@example.com".to_owned(),
            },
            version: Some("1a2b3c".to_owned()),
            stack: "landfall-13".to_owned(),
            status: BuildStatus::Succeeded,
            failure_message: None,
            created_at: Time::from_micros(1_771_488_000_000_000),
            is_replayable: true,
            course: BuildCourse {
                buildpacks: vec!["heroku/python".to_owned()],
                phases: vec![phase("plan", 20_000), phase("steps", 2_500_000)],
                versions: vec![ChosenVersion {
                    name: "Python".to_owned(),
                    version: "3.13.5".to_owned(),
                    reason: "specified in .python-version".to_owned(),
                }],
                steps: vec![
                    step("python", StepOutcome::Cached, &[]),
                    step(
                        "python-packages",
                        StepOutcome::Ran,
                        &["file uv.lock changed"],
                    ),
                ],
                layers: vec![BuildLayer {
                    key: "k".to_owned(),
                    size_bytes: 2_500_000,
                    is_new: true,
                }],
            },
        }
    }

    #[test]
    fn a_build_is_told_in_lines() {
        let expected = "\
=== example build 7
Status:     succeeded
Cause:      push by a@example.com
At:         2026-02-19T08:00:00Z
Source:     1a2b3c
Stack:      landfall-13
Buildpacks: heroku/python
Version:    Python 3.13.5 specified in .python-version
Layers:     1 (1 new), 2.3M
Took:       2.520 s
Replayable: landfall builds:rebuild
";
        assert_eq!(facts("example", &record()), expected);
    }

    #[test]
    fn steps_say_why_they_ran() {
        let expected = "
--- Steps
python           cached     1.250 s
python-packages  ran        1.250 s     2.3M
                   because file uv.lock changed

--- Time
plan         0.020 s
steps        2.500 s
";
        assert_eq!(explained(&record()), expected);
        let mut none = record();
        none.course = BuildCourse::default();
        assert!(explained(&none).contains("none is on record"));
    }

    #[test]
    fn sizes() {
        let check = |bytes, expected: &str| assert_eq!(size(bytes), expected);
        check(5, "5B");
        check(1536, "1.5K");
        check(3 << 30, "3.0G");
    }
}
