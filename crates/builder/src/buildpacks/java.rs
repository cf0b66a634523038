//! Java and Kotlin built by Maven: a JDK, the app's own Maven or a pinned one, Heroku's defaults.
//!
//! Artifacts stay in a cache of the app's own, so a second push downloads none again. The build
//! runs while the plan is made, since what it leaves in `target` decides the web command. Read
//! [`plan`] first.

mod framework;
mod jdk;
mod version;
mod web;

use api::names::ProcessType;

pub(super) use self::{
    framework::Framework,
    jdk::{Jdk, build_env},
    version::{NEWEST, property},
    web::command as web_command,
};
use crate::{
    buildpacks::{
        Buildpack, Context, Extended, Line, base_env, lines, run_all, script, sources::APT,
    },
    error::BuildError,
    execute::Execution,
    plan::{BuildPlan, Cache, LayerRef, Step},
    source_tree::SourceTree,
};

/// Where Maven is while the app is built.
const MAVEN_HOME: &str = "/app/.heroku/maven";
/// The host's setting of a mirror for all artifacts.
pub(super) const MIRROR: &str = "MAVEN_MIRROR_URL";

pub(super) const COMMON: &str = include_str!("scripts/java_common.sh");
const INSTALL_MAVEN: &str = include_str!("scripts/java_tool.py");
const BUILD: &str = include_str!("scripts/maven_build.sh");

/// Project files, in the languages that Maven reads with its extensions.
const PROJECTS: [&str; 9] = [
    "pom.xml",
    "pom.atom",
    "pom.clj",
    "pom.groovy",
    "pom.rb",
    "pom.scala",
    "pom.yaml",
    "pom.yml",
    "pom.kts",
];
const WRAPPER: &str = "mvnw";
const WRAPPER_PROPERTIES: &str = ".mvn/wrapper/maven-wrapper.properties";

pub(super) static BUILDPACK: Buildpack = Buildpack {
    name: "heroku/java",
    language: "Java",
    looked_for: "a pom.xml",
    detects,
    plan: |context, execution, written| Box::pin(plan(context, execution, written)),
};

fn detects(tree: &SourceTree) -> bool {
    PROJECTS.iter().any(|file| tree.has_file(file))
        || tree.has_file(WRAPPER)
        || tree.has_file(WRAPPER_PROPERTIES)
}

/// Finds a JDK, and builds.
async fn plan(
    context: &Context<'_>,
    execution: &mut Execution,
    plan: &mut BuildPlan,
) -> Result<Extended, BuildError> {
    let Some(project) = PROJECTS.iter().find(|file| execution.tree.has_file(file)) else {
        return Err(without_project());
    };
    let text = execution.tree.read_text(project).unwrap_or_default();
    let framework = Framework::of(&text);
    let maven = Maven::of(&execution.tree)?;
    let jdk = Jdk::find(context, execution, &["pom.xml"], NEWEST).await?;
    let mut lines = jdk.lines();
    lines.extend(maven.warning(&execution.tree));
    lines.extend(framework.port_warning(&execution.tree));
    for line in lines {
        line.put(&mut execution.output).await;
    }
    jdk.extend(context, plan)?;
    let mut build_upon = Vec::new();
    if maven != Maven::Wrapper {
        let version = jdk::stacks_maven(context, execution).await?;
        let step = maven_step(context, &version);
        build_upon.push(LayerRef::Step(step.name.clone()));
        plan.steps.push(step);
    }
    plan.keep_source();
    build_upon.extend(plan.slug.iter().cloned());
    let build = build_step(context, &maven, plan, build_upon);
    plan.keep(build.clone());
    run_all(execution, plan).await?;
    Ok(extended(execution, &build, framework))
}

/// The web command for what a build step left, and a word when there is none.
pub(super) fn extended(execution: &Execution, build: &Step, framework: Framework) -> Extended {
    let mut extended = Extended::default();
    let built = execution.layer(&LayerRef::Step(build.name.clone()));
    let command = built.and_then(|layer| {
        let tree = SourceTree::new(execution.workshop.layers.path(&layer.key));
        web_command(&tree, framework)
    });
    match (command, "web".parse::<ProcessType>()) {
        (Some(command), Ok(web)) => {
            extended.default_types.insert(web, command);
        }
        _ if !execution.tree.has_file("Procfile") => {
            extended.lines.push(Line::Warning(
                "The build left no program that `java -jar` runs, and there is no Procfile: nothing will serve."
                    .to_owned(),
            ));
        }
        _ => {}
    }
    extended
}

/// Which Maven builds the app.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Maven {
    /// The app's own script, which fetches the version that it was made for.
    Wrapper,
    /// The version that `system.properties` names.
    Named(String),
    Default,
}

impl Maven {
    fn of(tree: &SourceTree) -> Result<Self, BuildError> {
        if let Some(version) = property(tree, "system.properties", "maven.version") {
            let is_version = version.starts_with(|c: char| c.is_ascii_digit())
                && version
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
            return if is_version {
                Ok(Self::Named(version))
            } else {
                Err(invalid_version(&version))
            };
        }
        let has_wrapper = tree.has_file(WRAPPER) && tree.has_file(WRAPPER_PROPERTIES);
        Ok(if has_wrapper {
            Self::Wrapper
        } else {
            Self::Default
        })
    }

    fn warning(&self, tree: &SourceTree) -> Option<Line> {
        let is_broken = *self == Self::Default && tree.has_file(WRAPPER);
        is_broken.then(|| {
            Line::Warning(format!(
                "mvnw needs {WRAPPER_PROPERTIES}, which is not there; the stack's Maven is used. Run `mvn wrapper:wrapper`."
            ))
        })
    }

    /// What the build script is told.
    fn argument(&self) -> &str {
        match self {
            Self::Wrapper => "wrapper",
            Self::Named(version) => version,
            Self::Default => "installed",
        }
    }
}

fn maven_step(context: &Context<'_>, version: &str) -> Step {
    let program = format!("{APT}\n{INSTALL_MAVEN}");
    let command = script("python3", &program, &[MAVEN_HOME, "maven", version]);
    let mut step = Step::run("maven", command);
    let upstream = version.split('-').next().unwrap_or(version);
    step.heading = vec![format!("Installing Maven {upstream}")];
    step.cached_heading = vec![format!("Using cached install of Maven {upstream}")];
    step.env = base_env(context.request.stack.as_str());
    step.advice = lines(&["Maven could not be installed; see the output above."]);
    step
}

fn build_step(context: &Context<'_>, maven: &Maven, plan: &BuildPlan, upon: Vec<LayerRef>) -> Step {
    let mirror = context.host_vars.get(MIRROR).map_or("", String::as_str);
    let program = format!("{COMMON}\n{BUILD}");
    let command = script("bash", &program, &[maven.argument(), MAVEN_HOME, mirror]);
    let mut step = Step::run("maven-build", command);
    step.heading = vec!["Executing Maven".to_owned()];
    step.upon = upon;
    step.env = build_env(context, plan);
    step.caches = vec![Cache {
        name: "maven".to_owned(),
    }];
    // A build file is a program, and may look at more than its source.
    step.is_reusable = false;
    step.advice = lines(&[
        "Maven could not build the app; see the output above.",
        "hint: the same goals fail on your machine with the same Java version, or an artifact is",
        "private: set MAVEN_SETTINGS_PATH or MAVEN_SETTINGS_URL as a config var.",
    ]);
    step
}

fn without_project() -> BuildError {
    BuildError::Source {
        problem: "The app has a Maven wrapper, but no pom.xml in its root directory.".to_owned(),
        advice: lines(&["hint: commit pom.xml, or push the directory that holds it."]),
    }
}

fn invalid_version(version: &str) -> BuildError {
    let version: String = version.chars().take(80).collect();
    BuildError::Source {
        problem: format!("The maven.version in system.properties is not valid: {version}"),
        advice: lines(&["hint: write a version such as 3.9.9, or use the Maven wrapper."]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    fn check(files: &[(&str, &str)], expected: &str) {
        let shown = Maven::of(&source_of(files).1)
            .map_or_else(|error| error.to_string(), |maven| format!("{maven:?}"));
        assert_eq!(shown, expected, "{files:?}");
    }

    #[test]
    fn the_apps_own_maven_comes_first() {
        let wrapper = [(WRAPPER, ""), (WRAPPER_PROPERTIES, "")];
        check(&wrapper, "Wrapper");
        check(&wrapper[..1], "Default");
        check(&[], "Default");
        let named = ("system.properties", "maven.version=3.8.9\n");
        check(&[named, wrapper[0], wrapper[1]], "Named(\"3.8.9\")");
        check(
            &[("system.properties", "maven.version=../x")],
            "The maven.version in system.properties is not valid: ../x",
        );
    }
}
