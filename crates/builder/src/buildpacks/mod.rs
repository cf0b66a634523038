//! The built-in buildpacks: each recognises its language and writes the plan for it.
//!
//! All have one skeleton: `detect`, `plan` (what to ask the outside, then pure steps) and the
//! process types they offer. They never touch the source but through [`SourceTree`]. Read
//! [`Buildpack`] first, then `python`.

mod bun;
mod debian;
mod deno;
mod dotnet;
mod elixir;
mod go;
mod gradle;
mod java;
mod nodejs;
mod npm_runtime;
mod php;
mod procfile_only;
mod python;
mod ruby;
mod rust;
mod sources;
mod static_site;
mod tool_versions;

use std::{collections::BTreeMap, pin::Pin};

use api::{clock::Time, names::ProcessType};

use crate::{
    build::BuildRequest,
    error::BuildError,
    execute::Execution,
    output::Output,
    plan::{BuildPlan, LayerRef, Step},
    source_tree::SourceTree,
};

/// What the stack's own programs are found by.
pub(crate) const STACK_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Config vars that would break the build's own programs; Heroku's buildpacks leave them out too.
const WITHHELD: [&str; 8] = [
    "PATH",
    "GIT_DIR",
    "CPATH",
    "CPPATH",
    "LD_PRELOAD",
    "LIBRARY_PATH",
    "LD_LIBRARY_PATH",
    "HOME",
];

/// A built-in buildpack: what each language's module says of itself.
pub(crate) struct Buildpack {
    /// `heroku/python`.
    pub(crate) name: &'static str,
    /// As people call it.
    pub(crate) language: &'static str,
    /// What it looks for, for whoever chose it for another kind of source.
    looked_for: &'static str,
    detects: fn(&SourceTree) -> bool,
    /// Adds its part to the plan.
    plan: for<'a> fn(&'a Context<'a>, &'a mut Execution, &'a mut BuildPlan) -> Planning<'a>,
}

/// A buildpack at work on its part of the plan.
type Planning<'a> = Pin<Box<dyn Future<Output = Result<Extended, BuildError>> + Send + 'a>>;

/// In the order in which they are asked: Heroku's, and before Node.js what may have its files too.
static ALL: [&Buildpack; 14] = [
    &deno::BUILDPACK,
    &bun::BUILDPACK,
    &ruby::BUILDPACK,
    &nodejs::BUILDPACK,
    &python::BUILDPACK,
    &java::BUILDPACK,
    &gradle::BUILDPACK,
    &php::BUILDPACK,
    &go::BUILDPACK,
    &rust::BUILDPACK,
    &elixir::BUILDPACK,
    &dotnet::BUILDPACK,
    &static_site::BUILDPACK,
    &procfile_only::BUILDPACK,
];

/// What a buildpack knows besides the source.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) request: &'a BuildRequest,
    /// The host's own settings of where packages come from.
    pub(crate) host_vars: &'a BTreeMap<String, String>,
    pub(crate) now: Time,
    /// Where the operator's own buildpacks are.
    pub(crate) folder: Option<&'a std::path::Path>,
}

/// What a buildpack says before its steps run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Heading(String),
    Text(String),
    Warning(String),
}

/// What a buildpack adds besides the steps, layers and environment that it put into the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extended {
    pub(crate) lines: Vec<Line>,
    pub(crate) default_types: BTreeMap<ProcessType, String>,
}

impl Line {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Heading(text) | Self::Text(text) | Self::Warning(text) => text,
        }
    }

    pub(crate) async fn put(&self, output: &mut Output) {
        match self {
            Self::Heading(text) => output.heading(text).await,
            Self::Text(text) => output.text(text).await,
            Self::Warning(text) => output.notice(text).await,
        }
    }
}

impl Buildpack {
    /// By name, registry address or repository, as `heroku buildpacks:set` may store it.
    pub(crate) fn from_name(text: &str) -> Option<&'static Self> {
        let text = text.trim().trim_end_matches('/');
        let name = text
            .strip_prefix("urn:buildpack:")
            .map(str::to_owned)
            .or_else(|| {
                let repository =
                    text.strip_prefix("https://github.com/heroku/heroku-buildpack-")?;
                // Who names a version means the real one.
                if repository.contains(['#', '/']) {
                    return None;
                }
                let short = repository;
                Some(format!(
                    "heroku/{}",
                    short.strip_suffix(".git").unwrap_or(short)
                ))
            })
            .unwrap_or_else(|| text.to_owned());
        // Heroku's own repository of it is not called by the name that its registry has.
        if name == "heroku/apt" {
            return Some(&debian::BUILDPACK);
        }
        Self::all().find(|buildpack| buildpack.name == name)
    }

    pub(crate) fn all() -> impl Iterator<Item = &'static Self> {
        ALL.into_iter().chain([&debian::BUILDPACK])
    }

    pub(crate) fn detect(tree: &SourceTree) -> Option<&'static Self> {
        ALL.into_iter().find(|buildpack| buildpack.detects(tree))
    }

    pub(crate) fn detects(&self, tree: &SourceTree) -> bool {
        (self.detects)(tree)
    }

    /// What to do when a chosen buildpack does not find its language.
    pub(crate) fn detection_advice(&self, tree: &SourceTree) -> Vec<String> {
        let mut lines = vec![
            format!(
                "The {} buildpack is set on this app, but it looked for {}",
                self.name, self.looked_for
            ),
            "in the root directory of the source and found:".to_owned(),
            String::new(),
        ];
        lines.extend(
            tree.list("")
                .into_iter()
                .take(40)
                .map(|name| format!("  {name}")),
        );
        lines.push(String::new());
        lines.push("hint: change the buildpacks with `heroku buildpacks:set` or".to_owned());
        lines.push("`heroku buildpacks:clear`, or commit the missing file.".to_owned());
        lines
    }

    /// Adds this buildpack's part to the plan, above the packages of an `Aptfile`.
    pub(crate) async fn plan(
        &self,
        context: &Context<'_>,
        execution: &mut Execution,
        plan: &mut BuildPlan,
    ) -> Result<Extended, BuildError> {
        debian::prepare(context, execution, plan).await?;
        let from = plan.steps.len();
        let extended = (self.plan)(context, execution, plan).await?;
        debian::put_below(plan, from);
        Ok(extended)
    }
}

impl BuildPlan {
    /// Adds a step whose result is part of the slug.
    fn keep(&mut self, step: Step) {
        self.slug.push(LayerRef::Step(step.name.clone()));
        self.steps.push(step);
    }

    /// Adds the source to the slug, if it is not there yet.
    fn keep_source(&mut self) {
        if !self.slug.contains(&LayerRef::Source) {
            self.slug.push(LayerRef::Source);
        }
    }

    /// Puts a directory in front of the dynos' `PATH`.
    fn add_path(&mut self, directory: &str) {
        self.add_search_path("PATH", directory);
    }

    /// Puts a directory in front of a search path of the dynos, such as `LD_LIBRARY_PATH`.
    fn add_search_path(&mut self, name: &str, directory: &str) {
        debian::prepend(&mut self.env, name, directory);
    }

    fn set_env(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }
}

/// Runs the steps that are in the plan so far: for languages whose build decides what comes next.
async fn run_all(execution: &mut Execution, plan: &mut BuildPlan) -> Result<(), BuildError> {
    debian::put_below(plan, 0);
    for step in &plan.steps {
        if !execution.is_done(step) {
            execution.run(step).await?;
        }
    }
    Ok(())
}

/// Whether a lock file of Node.js's package managers is there.
fn has_node_lock(tree: &SourceTree) -> bool {
    [
        "package-lock.json",
        "npm-shrinkwrap.json",
        "yarn.lock",
        "pnpm-lock.yaml",
    ]
    .iter()
    .any(|file| tree.has_file(file))
}

/// The environment of every command of a build. Tools keep their own files out of `/app`.
pub(crate) fn base_env(stack: &str) -> BTreeMap<String, String> {
    let pairs = [
        ("LANG", "C.UTF-8"),
        ("PATH", STACK_PATH),
        ("STACK", stack),
        ("XDG_CACHE_HOME", "/tmp/cache"),
        ("XDG_CONFIG_HOME", "/tmp/config"),
        ("XDG_DATA_HOME", "/tmp/data"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("PIP_NO_CACHE_DIR", "1"),
    ];
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// The environment of steps that fetch the builder's own tools from the Python package index.
fn tool_env(context: &Context<'_>) -> BTreeMap<String, String> {
    const INDEX: &str = "PIP_INDEX_URL";
    let mut env = base_env(context.request.stack.as_str());
    if let Some(url) = context.host_vars.get(INDEX) {
        env.insert(INDEX.to_owned(), url.clone());
    }
    env
}

/// The config vars that a package manager may look at: those that begin with one of `prefixes`,
/// and those whose name is written as `${NAME}` in one of `texts`.
fn package_vars(
    config_vars: &BTreeMap<String, String>,
    prefixes: &[&str],
    texts: &[String],
) -> BTreeMap<String, String> {
    let is_wanted = |name: &str| {
        prefixes.iter().any(|prefix| name.starts_with(prefix))
            || texts
                .iter()
                .any(|text| text.contains(&format!("${{{name}}}")))
    };
    let allowed = config_vars
        .iter()
        .filter(|(name, _)| !WITHHELD.contains(&name.as_str()));
    allowed
        .filter(|(name, _)| is_wanted(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The environment of a package manager that runs with the app's runtime.
fn packages_env(
    context: &Context<'_>,
    plan: &BuildPlan,
    prefixes: &[&str],
) -> BTreeMap<String, String> {
    let mut env = base_env(context.request.stack.as_str());
    env.extend(plan.env.clone());
    env.extend(package_vars(&context.request.config_vars, prefixes, &[]));
    env
}

/// Has a step see these files of the source upon a runtime; without such files, all there is so
/// far and the whole source.
fn sees_files_or_source(
    step: &mut Step,
    files: Option<Vec<String>>,
    runtime: LayerRef,
    plan: &BuildPlan,
) {
    if let Some(files) = files {
        step.upon = vec![runtime];
        step.files = files;
        return;
    }
    step.upon.clone_from(&plan.slug);
    if !step.sees_source() {
        step.upon.push(LayerRef::Source);
    }
}

/// The environment of the app's own commands during a build: what its dynos will see.
fn app_env(context: &Context<'_>, plan: &BuildPlan) -> BTreeMap<String, String> {
    let request = context.request;
    let mut env = base_env(request.stack.as_str());
    // Byte code of the app belongs into the slug: its dynos could not write it.
    env.remove("PYTHONDONTWRITEBYTECODE");
    env.extend(plan.env.clone());
    if let Some(commit) = &request.commit {
        env.insert("SOURCE_VERSION".to_owned(), commit.clone());
    }
    let allowed = request
        .config_vars
        .iter()
        .filter(|(name, _)| !WITHHELD.contains(&name.as_str()));
    env.extend(allowed.map(|(name, value)| (name.clone(), value.clone())));
    env
}

/// A program of a script file: `program -c SCRIPT arguments…`, for an interpreter of the stack.
pub(crate) fn script(interpreter: &str, text: &str, arguments: &[&str]) -> Vec<String> {
    let mut command = vec![interpreter.to_owned(), "-c".to_owned(), text.to_owned()];
    // Bash takes the first argument after the script as its own name.
    if interpreter == "bash" {
        command.push("bash".to_owned());
    }
    command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    command
}

/// A short name for a text, for names of catalogues.
pub(crate) fn hash(text: &str) -> String {
    use sha2::{Digest as _, Sha256};
    crate::archive::hex(&Sha256::digest(text)[..8])
}

fn lines(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    fn check_name(text: &str, expected: Option<&str>) {
        let found = Buildpack::from_name(text).map(|buildpack| buildpack.name);
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn buildpacks_are_known_by_all_their_names() {
        check_name("heroku/python", Some("heroku/python"));
        check_name("urn:buildpack:heroku/nodejs", Some("heroku/nodejs"));
        check_name(
            "https://github.com/heroku/heroku-buildpack-python",
            Some("heroku/python"),
        );
        check_name(
            "https://github.com/heroku/heroku-buildpack-python.git",
            Some("heroku/python"),
        );
        check_name(
            "https://github.com/heroku/heroku-buildpack-nodejs#v200",
            None,
        );
        check_name(
            "https://github.com/heroku/heroku-buildpack-static.git",
            Some("heroku/static"),
        );
        check_name(
            "https://github.com/heroku/heroku-buildpack-go",
            Some("heroku/go"),
        );
        check_name("heroku-community/apt", Some("heroku-community/apt"));
        check_name(
            "https://github.com/heroku/heroku-buildpack-apt",
            Some("heroku-community/apt"),
        );
        check_name("heroku/scala", None);
        check_name("https://github.com/other/heroku-buildpack-python", None);
        check_name("", None);
    }

    fn check_detection(files: &[&str], expected: Option<&str>) {
        let files: Vec<_> = files.iter().map(|path| (*path, "")).collect();
        let found = Buildpack::detect(&source_of(&files).1);
        assert_eq!(found.map(|buildpack| buildpack.name), expected, "{files:?}");
    }

    #[test]
    fn languages_are_recognised_in_herokus_order() {
        check_detection(&["Gemfile", "package.json"], Some("heroku/ruby"));
        check_detection(&["requirements.txt"], Some("heroku/python"));
        check_detection(&["manage.py"], Some("heroku/python"));
        check_detection(&["package.json"], Some("heroku/nodejs"));
        check_detection(&["package.json", "requirements.txt"], Some("heroku/nodejs"));
        check_detection(&["requirements.txt", "index.html"], Some("heroku/python"));
        check_detection(&["index.html"], Some("heroku/static"));
        check_detection(&["composer.json", "go.mod"], Some("heroku/php"));
        check_detection(&["index.php", "index.html"], Some("heroku/php"));
        check_detection(&["static.json"], Some("heroku/static"));
        check_detection(&["go.mod", "index.html"], Some("heroku/go"));
        check_detection(&["package.json", "go.mod"], Some("heroku/nodejs"));
        check_detection(&["pom.xml", "index.html"], Some("heroku/java"));
        check_detection(&["mvnw"], Some("heroku/java"));
        check_detection(&["gradlew", "package.json"], Some("heroku/nodejs"));
        check_detection(&["build.gradle.kts"], Some("heroku/gradle"));
        check_detection(&["pom.xml", "build.gradle"], Some("heroku/java"));
        check_detection(&["mix.exs", "Procfile"], Some("landfall/elixir"));
        check_detection(&["shop.csproj"], Some("heroku/dotnet"));
        check_detection(&["shop.sln", "web/web.csproj"], Some("heroku/dotnet"));
        check_detection(&["package.json", "bun.lock"], Some("landfall/bun"));
        check_detection(&["package.json", "deno.json"], Some("landfall/deno"));
        check_detection(
            &["package.json", "deno.json", "yarn.lock"],
            Some("heroku/nodejs"),
        );
        check_detection(&["Cargo.toml", "index.html"], Some("landfall/rust"));
        check_detection(&["sub/requirements.txt"], None);
        check_detection(&["README.md"], None);
        check_detection(&["Procfile"], Some("landfall/procfile"));
        check_detection(&["Procfile", "go.mod"], Some("heroku/go"));
        check_detection(&[], None);
    }

    #[test]
    fn package_managers_see_only_their_own_config_vars() {
        let vars = ["PIP_INDEX_URL", "SECRET", "NPM_TOKEN", "PATH", "TOKEN"]
            .map(|name| (name.to_owned(), "x".to_owned()))
            .into();
        let texts = ["//registry/:_authToken=${TOKEN}".to_owned()];
        let seen = package_vars(&vars, &["PIP_", "NPM_", "PATH"], &texts);
        assert_eq!(
            seen.keys().collect::<Vec<_>>(),
            ["NPM_TOKEN", "PIP_INDEX_URL", "TOKEN"]
        );
    }
}
