//! Java and Kotlin built by Gradle: the version that the app's wrapper pins, Heroku's tasks and
//! defaults.
//!
//! What the wrapper would fetch is a layer that all apps share, and its checksum is compared;
//! artifacts stay in a cache of the app's own. JDK, frameworks and web commands are those of
//! [`java`](super::java). Read [`plan`] first.

mod tasks;
mod wrapper;

use self::wrapper::Distribution;
use crate::{
    buildpacks::{
        Buildpack, Context, Extended, Line, base_env,
        java::{COMMON, Framework, Jdk, MIRROR, build_env, extended},
        lines, run_all, script,
        sources::{APT, Mirrored, Wanted, mirror_step, mirrored, packages_of, pinned_digest},
    },
    error::BuildError,
    execute::Execution,
    plan::{BuildPlan, Cache, LayerRef, Step},
};

/// Where Gradle is while the app is built.
const HOME: &str = "/app/.heroku/gradle";
const STEP: &str = "gradle";
/// The newest Java that the stack's own Gradle runs on, as Debian has patched it.
const STACKS_JAVA: u64 = 21;

const INSTALL_STACKS: &str = include_str!("scripts/java_tool.py");
const INSTALL_UPSTREAM: &str = include_str!("scripts/gradle_upstream.sh");
const BUILD: &str = include_str!("scripts/gradle_build.sh");

const PROJECTS: [&str; 5] = [
    "gradlew",
    "build.gradle",
    "build.gradle.kts",
    "settings.gradle",
    "settings.gradle.kts",
];
const BUILD_FILES: [&str; 4] = [
    "build.gradle.kts",
    "build.gradle",
    "app/build.gradle.kts",
    "app/build.gradle",
];

pub(super) static BUILDPACK: Buildpack = Buildpack {
    name: "heroku/gradle",
    language: "Gradle",
    looked_for: "a gradlew, build.gradle, build.gradle.kts or settings.gradle",
    detects: |tree| PROJECTS.iter().any(|file| tree.has_file(file)),
    plan: |context, execution, written| Box::pin(plan(context, execution, written)),
};

/// Finds a Gradle and a JDK that runs it, and builds.
async fn plan(
    context: &Context<'_>,
    execution: &mut Execution,
    plan: &mut BuildPlan,
) -> Result<Extended, BuildError> {
    let text = tasks::build_text(&execution.tree);
    let framework = Framework::of(&text);
    let gradle = Gradle::find(context, execution).await?;
    let jdk = Jdk::find(context, execution, &BUILD_FILES, gradle.newest_java).await?;
    let mut said = jdk.lines();
    said.push(gradle.line);
    said.extend(framework.port_warning(&execution.tree));
    for line in said {
        line.put(&mut execution.output).await;
    }
    jdk.extend(context, plan)?;
    let mut upon = vec![LayerRef::Step(gradle.step.name.clone())];
    plan.steps.push(gradle.step);
    plan.keep_source();
    upon.extend(plan.slug.iter().cloned());
    let build = build_step(
        context,
        tasks::default_tasks(&text, framework),
        build_env(context, plan),
        upon,
    );
    plan.keep(build.clone());
    run_all(execution, plan).await?;
    Ok(extended(execution, &build, framework))
}

/// A Gradle that was chosen, and how it gets here.
struct Gradle {
    step: Step,
    line: Line,
    newest_java: u64,
}

impl Gradle {
    /// The one that the wrapper pins: out of the mirror directory, or from where it is published.
    /// Without a wrapper the newest of the mirror directory, or the stack's own.
    ///
    /// # Errors
    /// `Source` for a wrapper that says nothing valid, or pins something else than the mirror has.
    async fn find(context: &Context<'_>, execution: &mut Execution) -> Result<Self, BuildError> {
        let stack = context.request.stack.as_str();
        let mut archives = mirrored(&execution.workshop.runtimes, "gradle", stack);
        let Some(wanted) = Distribution::of(&execution.tree)? else {
            archives.sort_by_key(|archive| numbers(&archive.version));
            return match archives.pop() {
                Some(newest) => Self::of_mirror(context, &newest, "the newest of the mirror"),
                None => Self::of_stack(context, execution).await,
            };
        };
        let same = |archive: &&Mirrored| archive.version == wanted.version;
        let origin = "specified in gradle-wrapper.properties";
        if let Some(archive) = archives.iter().find(same) {
            check_pin(&wanted, archive)?;
            return Self::of_mirror(context, archive, origin);
        }
        let sum = wanted.sha256.as_deref().unwrap_or_default();
        let command = script("bash", INSTALL_UPSTREAM, &[HOME, &wanted.url, sum]);
        let mut step = Step::run(STEP, command);
        step.advice = vec![
            format!(
                "Gradle {} could not be fetched from {}; see the output above.",
                wanted.version, wanted.url
            ),
            "hint: have the operator of this platform add the same archive with".to_owned(),
            format!(
                "`landfall runtimes:add gradle {0} gradle-{0}-bin.zip --sha256 SUM`.",
                wanted.version
            ),
        ];
        let newest_java = wrapper::newest_java(&wanted.version);
        Ok(Self::new(
            context,
            step,
            (&wanted.version, origin),
            newest_java,
        ))
    }

    fn of_mirror(
        context: &Context<'_>,
        archive: &Mirrored,
        origin: &str,
    ) -> Result<Self, BuildError> {
        let step = mirror_step(STEP, (HOME, "bin/gradle"), &archive.path)?;
        let newest_java = wrapper::newest_java(&archive.version);
        Ok(Self::new(
            context,
            step,
            (&archive.version, origin),
            newest_java,
        ))
    }

    async fn of_stack(
        context: &Context<'_>,
        execution: &mut Execution,
    ) -> Result<Self, BuildError> {
        let wanted = Wanted {
            language: "Gradle",
            pattern: "^gradle$",
            suites: &["stack"],
        };
        let packages = packages_of(context, execution, wanted).await?;
        let package = packages.into_iter().next().ok_or_else(without_gradle)?;
        let program = format!("{APT}\n{INSTALL_STACKS}");
        let command = script("python3", &program, &[HOME, STEP, &package.version]);
        let upstream = package.version.split('-').next().unwrap_or_default();
        let origin = "of the stack, since there is no wrapper";
        let step = Step::run(STEP, command);
        Ok(Self::new(context, step, (upstream, origin), STACKS_JAVA))
    }

    fn new(
        context: &Context<'_>,
        mut step: Step,
        (version, origin): (&str, &str),
        newest_java: u64,
    ) -> Self {
        step.heading = vec![format!("Installing Gradle {version}")];
        step.cached_heading = vec![format!("Using cached install of Gradle {version}")];
        step.env = base_env(context.request.stack.as_str());
        if step.advice.is_empty() {
            step.advice = vec![format!(
                "Gradle {version} could not be installed; see the output above."
            )];
        }
        Self {
            step,
            line: Line::Heading(format!("Using Gradle {version} {origin}")),
            newest_java,
        }
    }
}

/// `8.10.2` → [8, 10, 2]
fn numbers(version: &str) -> Vec<u64> {
    version
        .split(['.', '-'])
        .map_while(|part| part.parse().ok())
        .collect()
}

/// What the wrapper pins must be what the mirror has, if that is the archive as it is published.
fn check_pin(wanted: &Distribution, archive: &Mirrored) -> Result<(), BuildError> {
    let is_published = archive.path.extension().is_some_and(|kind| kind == "zip");
    let Some(pinned) = wanted.sha256.as_ref().filter(|_| is_published) else {
        return Ok(());
    };
    let found = pinned_digest(&archive.path)?;
    if found == *pinned {
        return Ok(());
    }
    Err(BuildError::Source {
        problem: format!(
            "Gradle {} of the mirror directory is not what gradle-wrapper.properties pins.",
            wanted.version
        ),
        advice: vec![
            format!("The app pins {pinned},"),
            format!("the mirror has  {found}."),
            "hint: correct distributionSha256Sum (-bin and -all archives differ), or have the operator"
                .to_owned(),
            "of this platform add the archive again.".to_owned(),
        ],
    })
}

fn without_gradle() -> BuildError {
    BuildError::Source {
        problem: "The app has no Gradle wrapper, and this stack has no Gradle.".to_owned(),
        advice: lines(&["hint: run `gradle wrapper` and commit what it writes."]),
    }
}

fn build_step(
    context: &Context<'_>,
    tasks: &str,
    env: std::collections::BTreeMap<String, String>,
    upon: Vec<LayerRef>,
) -> Step {
    let mirror = context.host_vars.get(MIRROR).map_or("", String::as_str);
    let program = format!("{COMMON}\n{BUILD}");
    let mut step = Step::run(
        "gradle-build",
        script("bash", &program, &[HOME, tasks, mirror]),
    );
    step.heading = vec!["Building Gradle app".to_owned()];
    step.upon = upon;
    step.env = env;
    step.caches = vec![Cache {
        name: STEP.to_owned(),
    }];
    // A build file is a program, and may look at more than its source.
    step.is_reusable = false;
    step.advice = lines(&[
        "Gradle could not build the app; see the output above.",
        "hint: the same tasks fail on your machine with the same Java version. What is built is the",
        "task `stage` if there is one, or what the config var GRADLE_TASK says.",
    ]);
    step
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn the_newest_is_found_by_its_numbers() {
        assert!(numbers("8.10.2") > numbers("8.9"));
        assert!(numbers("9.0-rc-1") > numbers("8.14"));
    }

    #[test]
    fn a_published_archive_must_be_the_pinned_one() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, sha256: Option<&str>, fits: bool| {
            let path: PathBuf = folder.path().join(name);
            std::fs::write(&path, "abc").unwrap();
            let version = "8.10".to_owned();
            let archive = Mirrored {
                version: version.clone(),
                path,
            };
            let wanted = Distribution {
                version,
                url: String::new(),
                sha256: sha256.map(str::to_owned),
            };
            assert_eq!(check_pin(&wanted, &archive).is_ok(), fits, "{name}");
        };
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        check("a.zip", None, true);
        check("a.zip", Some(digest), true);
        check("a.zip", Some(&"0".repeat(64)), false);
        // One that was packed anew is pinned by the operator.
        check("a.tar.gz", Some(&"0".repeat(64)), true);
    }
}
