//! Elixir: the stack's Erlang and Elixir or the mirror's, dependencies by `mix.lock`, Phoenix's assets.
//!
//! Dependencies are compiled in a step of their own, which sees no more than what they depend on; the
//! app is compiled at each push. Read [`plan`] first.

mod app;
mod version;

use api::names::ProcessType;

use self::{
    app::App,
    version::{Origin, Runtime, Wish},
};
use crate::{
    buildpacks::{
        Buildpack, Context, Extended, Line, app_env, base_env, lines, package_vars, packages_env,
        script, sees_files_or_source,
        sources::{APT, Wanted, mirror_step, mirrored, packages_of},
    },
    error::BuildError,
    execute::Execution,
    plan::{BuildPlan, Cache, LayerRef, Step},
};

const HOME: &str = "/app/.heroku/elixir";
/// The step that installs Erlang and Elixir.
const RUNTIME: &str = "elixir-runtime";
/// Config vars and host settings that Hex looks at.
const VARIABLES: [&str; 1] = ["HEX_"];
/// Where Hex keeps what it has fetched.
const CACHE: &str = "elixir";

const INSTALL: &str = include_str!("scripts/elixir_debian.py");
const DEPENDENCIES: &str = include_str!("scripts/elixir_deps.sh");
const COMPILE: &str = include_str!("scripts/elixir_compile.sh");

pub(super) static BUILDPACK: Buildpack = Buildpack {
    name: "landfall/elixir",
    language: "Elixir",
    looked_for: "a mix.exs",
    detects: |tree| tree.has_file("mix.exs"),
    plan: |context, execution, written| Box::pin(plan(context, execution, written)),
};

/// Looks up what Elixirs there are, and adds the steps.
async fn plan(
    context: &Context<'_>,
    execution: &mut Execution,
    plan: &mut BuildPlan,
) -> Result<Extended, BuildError> {
    let app = App::read(&execution.tree)?;
    let wish = Wish::of(&execution.tree)?;
    let stack = context.request.stack.as_str();
    let archives = mirrored(&execution.workshop.runtimes, "elixir", stack);
    let wanted = Wanted {
        language: "Elixir",
        pattern: "^elixir$",
        suites: &["stack"],
    };
    let packages = packages_of(context, execution, wanted).await?;
    let runtime = version::choose(&wish, &archives, &packages)?;
    let missing = app.missing_vars(&context.request.config_vars);
    let said = said(&wish, &runtime, missing);
    extend(context, plan, &app, &runtime)?;
    let mut extended = Extended {
        lines: said,
        ..Extended::default()
    };
    if let Ok(web) = "web".parse::<ProcessType>() {
        extended.default_types.insert(web, app.web());
    }
    Ok(extended)
}

fn said(wish: &Wish, runtime: &Runtime, missing: Vec<(String, &str)>) -> Vec<Line> {
    let version = &runtime.version;
    let mut said = vec![Line::Heading(match wish.origin {
        "" => format!("No Elixir version was specified. Using the default: {version}"),
        origin => format!("Using Elixir {version} for {} in {origin}", wish.text),
    })];
    said.extend(runtime.warning.clone().map(Line::Warning));
    said.extend(missing.into_iter().map(|(name, file)| {
        Line::Warning(format!(
            "{file} does not start without {name}, which is no config var yet. hint: run `heroku config:set {name}=…`."
        ))
    }));
    said
}

fn extend(
    context: &Context<'_>,
    plan: &mut BuildPlan,
    app: &App,
    runtime: &Runtime,
) -> Result<(), BuildError> {
    plan.keep(runtime_step(context, runtime)?);
    plan.add_path(&format!("{HOME}/bin"));
    plan.set_env("LANG", "C.UTF-8");
    plan.set_env("MIX_ENV", "prod");
    plan.set_env("MIX_REBAR3", &format!("{HOME}/bin/rebar3"));
    plan.set_env("ELIXIR_ERL_OPTIONS", "+fnu");
    if app.is_phoenix {
        // A release serves only when it is told to.
        plan.set_env("PHX_SERVER", "true");
    }
    let dependencies = dependencies_step(context, plan, app);
    if dependencies.sees_source() {
        plan.keep_source();
    }
    plan.keep(dependencies);
    plan.keep_source();
    let step = compile_step(context, plan, app);
    plan.keep(step);
    Ok(())
}

fn runtime_step(context: &Context<'_>, runtime: &Runtime) -> Result<Step, BuildError> {
    let version = &runtime.version;
    let mut step = match &runtime.origin {
        Origin::Mirror(path) => mirror_step(RUNTIME, (HOME, "bin/mix"), path)?,
        Origin::Stack(package) => {
            let program = format!("{APT}\n{INSTALL}");
            Step::run(RUNTIME, script("python3", &program, &[HOME, package]))
        }
    };
    step.heading = vec![format!("Installing Elixir {version}")];
    step.cached_heading = vec![format!("Using cached install of Elixir {version}")];
    step.env = base_env(context.request.stack.as_str());
    step.advice = vec![format!(
        "Elixir {version} could not be installed; see the output above."
    )];
    Ok(step)
}

fn dependencies_step(context: &Context<'_>, plan: &BuildPlan, app: &App) -> Step {
    let mut step = Step::run("elixir-deps", script("bash", DEPENDENCIES, &[]));
    step.heading = vec!["Fetching and compiling dependencies (only prod)".to_owned()];
    step.cached_heading = vec!["Using cached dependencies (mix.lock is unchanged)".to_owned()];
    sees_files_or_source(
        &mut step,
        app.dependency_files.clone(),
        LayerRef::Step(RUNTIME.to_owned()),
        plan,
    );
    step.env = packages_env(context, plan, &VARIABLES);
    step.env
        .extend(package_vars(context.host_vars, &VARIABLES, &[]));
    step.caches = vec![Cache {
        name: CACHE.to_owned(),
    }];
    step.advice = lines(&[
        "The dependencies could not be fetched or compiled; see the output above.",
        "hint: see that `mix deps.get --only prod` changes nothing in the committed mix.lock. Private",
        "packages and mirrors are told by config vars such as HEX_API_KEY and HEX_MIRROR.",
    ]);
    step
}

fn compile_step(context: &Context<'_>, plan: &BuildPlan, app: &App) -> Step {
    let assets = if app.has_assets {
        "assets.deploy"
    } else if app.is_phoenix {
        "phx.digest"
    } else {
        ""
    };
    let release = if app.is_released { "release" } else { "" };
    let command = script("bash", COMPILE, &[assets, release]);
    let mut step = Step::run("elixir-compile", command);
    step.heading = vec!["Compiling the app: mix compile".to_owned()];
    step.upon.clone_from(&plan.slug);
    step.env = app_env(context, plan);
    step.is_reusable = false;
    step.advice = lines(&[
        "The app could not be compiled; see the output above.",
        "hint: `MIX_ENV=prod mix compile` fails in the same way on your machine.",
    ]);
    step
}
