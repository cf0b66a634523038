//! The JDK of an app: found in the sources in their order, and the step that installs it.
//!
//! Shared by Maven and Gradle. The app's dynos run on what it was built with, at `/app/.jdk`, where
//! Heroku has it. Read [`Jdk::find`] first.

use std::{collections::BTreeMap, path::PathBuf};

use super::version::{self, Offer, Request};
use crate::{
    buildpacks::{
        Context, Line, app_env, base_env, script,
        sources::{APT, Package, Wanted, mirror_step, mirrored, packages_of},
    },
    error::BuildError,
    execute::Execution,
    plan::{BuildPlan, Step},
};

pub(in crate::buildpacks) const HOME: &str = "/app/.jdk";
const STEP: &str = "jdk";

/// Package names that hold a whole JDK without windows and sound; and Maven.
const PACKAGES: &str = "^(openjdk-[0-9]+-jdk-headless|maven)$";
/// Looked at one group after the other, since the lists are long: the stack's own suite, then those
/// that hold what it does not.
const SUITES: [&[&str]; 2] = [&["stack"], &["bookworm", "sid"]];

const MAVEN: &str = "maven";

const INSTALL: &str = include_str!("../scripts/java_debian.py");
const PROFILE: &str = include_str!("../scripts/java_profile.sh");

/// Config vars for the running app, which would get in the build's way.
const RUN_TIME_VARS: [&str; 2] = ["JAVA_OPTS", "JAVA_TOOL_OPTIONS"];

/// A JDK that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::buildpacks) struct Jdk {
    request: Request,
    offer: Offer<Origin>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Mirror(PathBuf),
    Debian(Package),
}

impl Jdk {
    /// The version that the app's files ask for, from the first source that has it; where only
    /// `newest` limits it, no newer one than this major version.
    ///
    /// # Errors
    /// `Source` for a wish that is no version, or that nobody can meet.
    pub(in crate::buildpacks) async fn find(
        context: &Context<'_>,
        execution: &mut Execution,
        build_files: &[&str],
        newest: u64,
    ) -> Result<Self, BuildError> {
        let request = version::requested(&execution.tree, build_files, newest)?;
        let stack = context.request.stack.as_str();
        let mut offers = in_mirror(&execution.workshop.runtimes, stack);
        for suites in SUITES {
            if version::choose(&request, &offers).is_some() {
                break;
            }
            let packages = packages_of(context, execution, wanted(suites)).await?;
            let jdks = packages.into_iter().filter(|package| package.name != MAVEN);
            offers.extend(jdks.filter_map(|package| {
                Some(Offer {
                    version: version::of_package(&package)?,
                    origin: Origin::Debian(package),
                })
            }));
        }
        let offer = version::choose(&request, &offers).cloned();
        let offer = offer.ok_or_else(|| version::unavailable(&request, &offers))?;
        Ok(Self { request, offer })
    }

    /// What is said of the choice.
    pub(in crate::buildpacks) fn lines(&self) -> Vec<Line> {
        let version = version::shown(&self.offer.version);
        let text = &self.request.text;
        let mut lines = vec![Line::Heading(
            match (self.request.origin, &self.request.wish) {
                ("", _) => format!("No Java version was specified. Using the default: {version}"),
                (origin, version::Wish::AtLeast(_, _)) => {
                    format!("Using Java {version} for {text} in {origin}")
                }
                (origin, version::Wish::Release(_)) => {
                    format!("Using Java {version} specified in {origin}")
                }
            },
        )];
        lines.extend(version::warning(&self.request, &self.offer.version).map(Line::Warning));
        lines
    }

    /// Puts the JDK and its settings into the slug.
    ///
    /// # Errors
    /// When an archive of the mirror directory cannot be read.
    pub(in crate::buildpacks) fn extend(
        &self,
        context: &Context<'_>,
        plan: &mut BuildPlan,
    ) -> Result<(), BuildError> {
        plan.set_env("LANG", "C.UTF-8");
        plan.set_env("JAVA_HOME", HOME);
        plan.add_path(&format!("{HOME}/bin"));
        plan.keep(self.step(context)?);
        let files = BTreeMap::from([(".profile.d/jvm.sh".to_owned(), PROFILE.to_owned())]);
        plan.keep(Step::write("java-profile", files));
        Ok(())
    }

    fn step(&self, context: &Context<'_>) -> Result<Step, BuildError> {
        let mut step = match &self.offer.origin {
            Origin::Mirror(path) => mirror_step(STEP, (HOME, "bin/java"), path)?,
            Origin::Debian(package) => {
                let program = format!("{APT}\n{INSTALL}");
                let arguments = [HOME, &package.suite, &package.name, &package.version];
                Step::run(STEP, script("python3", &program, &arguments))
            }
        };
        let version = version::shown(&self.offer.version);
        step.heading = vec![format!("Installing OpenJDK {version}")];
        step.cached_heading = vec![format!("Using cached install of OpenJDK {version}")];
        step.env = base_env(context.request.stack.as_str());
        step.advice = vec![format!(
            "OpenJDK {version} could not be installed; see the output above."
        )];
        Ok(step)
    }
}

/// The version of the stack's own Maven.
///
/// # Errors
/// When the stack's suite cannot be asked, or has none.
pub(super) async fn stacks_maven(
    context: &Context<'_>,
    execution: &mut Execution,
) -> Result<String, BuildError> {
    let packages = packages_of(context, execution, wanted(SUITES[0])).await?;
    let found = packages.into_iter().find(|package| package.name == MAVEN);
    let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
    found
        .map(|package| package.version)
        .ok_or_else(missing)
        .map_err(BuildError::host("find Maven among the stack's packages"))
}

fn wanted<'a>(suites: &'a [&'a str]) -> Wanted<'a> {
    Wanted {
        language: "Java",
        pattern: PACKAGES,
        suites,
    }
}

/// The environment of a build tool: what the app's dynos will see, without their Java settings.
pub(in crate::buildpacks) fn build_env(
    context: &Context<'_>,
    plan: &BuildPlan,
) -> BTreeMap<String, String> {
    let mut env = app_env(context, plan);
    for name in RUN_TIME_VARS {
        env.remove(name);
    }
    env
}

fn in_mirror(runtimes: &std::path::Path, stack: &str) -> Vec<Offer<Origin>> {
    let archives = mirrored(runtimes, "java", stack).into_iter();
    let mut offers: Vec<Offer<Origin>> = archives
        .filter_map(|archive| {
            Some(Offer {
                version: version::parse(&archive.version)?,
                origin: Origin::Mirror(archive.path),
            })
        })
        .collect();
    offers.sort_by(|one, other| other.version.cmp(&one.version));
    offers
}
