//! Go: a toolchain for the version of `go.mod`, the main packages built into `bin`.
//!
//! Modules and compiled packages stay in a cache of the app's own, so a second push compiles what
//! changed. The slug holds the source and the programs, not the toolchain. Read [`plan`] first.

mod module;
mod version;

use std::collections::BTreeMap;

use api::names::ProcessType;

use self::{
    module::Module,
    version::{Catalogue, Toolchain},
};
use crate::{
    buildpacks::{Buildpack, Context, Extended, Line, base_env, hash, lines, package_vars, script},
    error::BuildError,
    execute::{CATALOGUE_FILE, CATALOGUE_TTL, Execution, Question},
    plan::{BuildPlan, Cache, LayerRef, Step},
    source_tree::SourceTree,
};

/// The stack's own version, by which others are fetched.
const BOOTSTRAP: &str = "/app/.heroku/go-bootstrap";
const HOME: &str = "/app/.heroku/go";
/// Compiled packages of Go's own library.
const STD: &str = "/app/.heroku/go-std";
/// Config vars that Go and its build look at.
const VARIABLES: [&str; 2] = ["GO", "CGO_"];
/// What the host may say of where modules come from.
const HOST_VARIABLES: [&str; 3] = ["GOPROXY", "GOSUMDB", "GOPRIVATE"];

const APT: &str = include_str!("scripts/apt.py");
const INSTALL_BOOTSTRAP: &str = include_str!("scripts/go_bootstrap.py");
const CATALOGUE: &str = include_str!("scripts/go_catalogue.sh");
const INSTALL_TOOLCHAIN: &str = include_str!("scripts/go_toolchain.sh");
const COMPILE_STD: &str = include_str!("scripts/go_std.sh");
const BUILD: &str = include_str!("scripts/go_build.sh");

/// Files of older ways to name dependencies, so that the error can tell.
const OLD_FILES: [&str; 4] = [
    "Gopkg.lock",
    "Godeps/Godeps.json",
    "glide.yaml",
    "vendor/vendor.json",
];

pub(super) static BUILDPACK: Buildpack = Buildpack {
    name: "heroku/go",
    language: "Go",
    looked_for: "a go.mod",
    detects,
    plan: |context, execution, written| Box::pin(plan(context, execution, written)),
};

fn detects(tree: &SourceTree) -> bool {
    tree.has_file("go.mod") || OLD_FILES.iter().any(|file| tree.has_file(file))
}

/// Looks up what versions there are, and adds the steps.
async fn plan(
    context: &Context<'_>,
    execution: &mut Execution,
    plan: &mut BuildPlan,
) -> Result<Extended, BuildError> {
    let module = Module::read(&execution.tree, &context.request.config_vars)?;
    let bootstrap = bootstrap_step(context);
    execution.run(&bootstrap).await?;
    let env = go_env(context, BOOTSTRAP);
    // Another proxy may have other versions.
    let proxy = env.get("GOPROXY").map_or("", String::as_str);
    let question = Question {
        name: &format!("go-{}-{}", std::env::consts::ARCH, hash(proxy)),
        now: context.now,
        ttl: CATALOGUE_TTL,
    };
    let catalogue: Catalogue = execution
        .catalogue(question, &catalogue_step(context))
        .await?;
    let toolchain = version::choose(&module.version, &catalogue)?;
    plan.steps.push(bootstrap);
    let app = App {
        context,
        module,
        toolchain,
    };
    app.extend(plan);
    Ok(app.extended())
}

fn bootstrap_step(context: &Context<'_>) -> Step {
    let program = format!("{APT}\n{INSTALL_BOOTSTRAP}");
    let mut step = Step::run("go-bootstrap", script("python3", &program, &[BOOTSTRAP]));
    step.heading = vec!["Fetching the stack's own Go".to_owned()];
    step.env = base_env(context.request.stack.as_str());
    step.advice = lines(&[
        "Go could not be fetched from the package archive that the stack was made from.",
        "hint: see the output above.",
    ]);
    step
}

fn catalogue_step(context: &Context<'_>) -> Step {
    let output = format!("/app/{CATALOGUE_FILE}");
    let mut step = Step::run("go-versions", script("bash", CATALOGUE, &[&output]));
    step.heading = vec!["Looking up available Go versions".to_owned()];
    step.upon = vec![LayerRef::Step("go-bootstrap".to_owned())];
    step.env = go_env(context, BOOTSTRAP);
    step
}

/// The environment of Go's commands: with the host's settings below the app's.
fn go_env(context: &Context<'_>, home: &str) -> BTreeMap<String, String> {
    let mut env = base_env(context.request.stack.as_str());
    env.extend(package_vars(context.host_vars, &HOST_VARIABLES, &[]));
    env.extend(package_vars(&context.request.config_vars, &VARIABLES, &[]));
    // Which one is used is decided here, and where it keeps things.
    for name in ["GOTOOLCHAIN", "GOPATH", "GOCACHE", "GOMODCACHE", "GOBIN"] {
        env.remove(name);
    }
    env.insert("GOROOT".to_owned(), home.to_owned());
    env.insert(
        "PATH".to_owned(),
        format!("{home}/bin:{}", super::STACK_PATH),
    );
    env
}

/// All that the steps of one app depend on.
struct App<'a> {
    context: &'a Context<'a>,
    module: Module,
    toolchain: Toolchain,
}

impl App<'_> {
    fn extended(&self) -> Extended {
        let version = &self.toolchain.version;
        let wish = &self.module.version;
        let mut lines = vec![match wish.origin {
            "" => Line::Heading(format!(
                "No Go version was specified. Using the newest: Go {version}"
            )),
            origin => Line::Heading(format!("Using Go {version} for {} in {origin}", wish.text)),
        }];
        lines.extend(self.toolchain.warning.iter().cloned().map(Line::Warning));
        let default_types = self.module.web().and_then(|command| {
            let web: ProcessType = "web".parse().ok()?;
            Some((web, command))
        });
        Extended {
            lines,
            default_types: default_types.into_iter().collect(),
        }
    }

    fn extend(&self, plan: &mut BuildPlan) {
        if !self.toolchain.is_stacks_own {
            plan.steps.push(self.toolchain_step());
        }
        plan.steps.push(self.std_step());
        plan.set_env("LANG", "C.UTF-8");
        plan.add_path("/app/bin");
        plan.keep_source();
        let build = self.build_step(plan);
        plan.keep(build);
    }

    fn toolchain_step(&self) -> Step {
        let version = self.toolchain.version.to_string();
        let command = script("bash", INSTALL_TOOLCHAIN, &[HOME, &version]);
        let mut step = Step::run("go-toolchain", command);
        step.heading = vec![format!("Installing Go {version}")];
        step.cached_heading = vec![format!("Using cached install of Go {version}")];
        step.upon = vec![LayerRef::Step("go-bootstrap".to_owned())];
        step.env = go_env(self.context, BOOTSTRAP);
        step.advice = vec![format!(
            "Go {version} could not be installed; see the output above."
        )];
        step
    }

    /// Go's own library, compiled once for all apps: each app's cache begins with it.
    fn std_step(&self) -> Step {
        let (home, toolchain) = self.toolchain_layer();
        let mut step = Step::run("go-std", script("bash", COMPILE_STD, &[STD]));
        step.heading = vec!["Compiling Go's own packages for all apps".to_owned()];
        step.upon = vec![LayerRef::Step(toolchain.to_owned())];
        // What other apps share may depend on no settings but those that make other code.
        let path = format!("{home}/bin:{}", super::STACK_PATH);
        step.env = base_env(self.context.request.stack.as_str());
        step.env.insert("GOROOT".to_owned(), home.to_owned());
        step.env.insert("PATH".to_owned(), path);
        let vars = &self.context.request.config_vars;
        step.env
            .extend(package_vars(vars, &["CGO_ENABLED", "GOAMD64"], &[]));
        step.advice = lines(&["Go's own packages could not be compiled; see the output above."]);
        step
    }

    /// Where the toolchain is, and the step that put it there.
    fn toolchain_layer(&self) -> (&'static str, &'static str) {
        if self.toolchain.is_stacks_own {
            (BOOTSTRAP, "go-bootstrap")
        } else {
            (HOME, "go-toolchain")
        }
    }

    fn build_step(&self, plan: &BuildPlan) -> Step {
        let packages: Vec<&str> = self.module.packages.iter().map(String::as_str).collect();
        let mut step = Step::run("go-build", script("bash", BUILD, &packages));
        let shown = packages.join(" ");
        step.heading = vec![format!("Running: go install -v -tags heroku {shown}")];
        step.cached_heading = vec!["Using cached programs (the source is unchanged)".to_owned()];
        let (home, toolchain) = self.toolchain_layer();
        step.upon = [toolchain, "go-std"]
            .map(|name| LayerRef::Step(name.to_owned()))
            .to_vec();
        step.upon.extend(plan.slug.iter().cloned());
        step.env = go_env(self.context, home);
        if let Some(commit) = &self.context.request.commit
            && step.env.contains_key("GO_LINKER_SYMBOL")
        {
            step.env.insert("SOURCE_VERSION".to_owned(), commit.clone());
        }
        step.caches = vec![Cache {
            name: "go".to_owned(),
        }];
        step.is_reusable = !self.module.has_hooks;
        step.advice = lines(&[
            "The app could not be compiled; see the output above.",
            "hint: `go install ./...` fails in the same way on your machine with the same version,",
            "or a module is private: set GOPROXY, GOPRIVATE or GOFLAGS as config vars.",
        ]);
        step
    }
}
