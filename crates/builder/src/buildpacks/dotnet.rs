//! .NET: an SDK out of the mirror directory, `dotnet publish` of a solution or a project, Heroku's
//! default commands.
//!
//! No package registry or suite has the SDK, so the mirror directory is its only source. Read [`plan`]
//! first.

mod assembly;

use std::path::PathBuf;

use self::assembly::{Assembly, Wish};
use crate::{
    buildpacks::{
        Buildpack, Context, Extended, Line, app_env, base_env, lines, script,
        sources::{mirror_step, mirrored},
    },
    error::BuildError,
    execute::Execution,
    plan::{BuildPlan, Cache, Step},
    source_tree::SourceTree,
};

const HOME: &str = "/app/.heroku/dotnet";
const STEP: &str = "dotnet-sdk";
const BUILD: &str = include_str!("scripts/dotnet_publish.sh");

pub(super) static BUILDPACK: Buildpack = Buildpack {
    name: "heroku/dotnet",
    language: ".NET",
    looked_for: "a solution (.sln, .slnx) or a project (.csproj, .vbproj, .fsproj)",
    detects: |tree| assembly::root_file(tree).is_some(),
    plan: |context, execution, written| Box::pin(async move { plan(context, execution, written) }),
};

/// Finds an SDK, and adds the steps.
fn plan(
    context: &Context<'_>,
    execution: &Execution,
    plan: &mut BuildPlan,
) -> Result<Extended, BuildError> {
    let tree = &execution.tree;
    let root = assembly::root_file(tree).unwrap_or_default();
    let projects = assembly::all(tree, &root);
    let wish = Wish::of(tree, &projects)?;
    let stack = context.request.stack.as_str();
    let archives = mirrored(&execution.workshop.runtimes, "dotnet", stack);
    let offers = archives
        .into_iter()
        .map(|archive| (assembly::numbers(&archive.version), archive.path));
    let offers: Vec<(Vec<u64>, PathBuf)> = offers.collect();
    let (version, path) = wish
        .choose(&offers)
        .ok_or_else(|| unavailable(&wish, &offers))?;
    let version = assembly::shown(version);
    plan.keep(sdk_step(context, &version, path)?);
    plan.set_env("LANG", "C.UTF-8");
    plan.set_env("DOTNET_ROOT", HOME);
    plan.set_env("DOTNET_CLI_TELEMETRY_OPTOUT", "1");
    plan.set_env("DOTNET_NOLOGO", "1");
    // The stack has no library of the world's languages; programs that need one bring it.
    plan.set_env("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1");
    plan.set_env("ASPNETCORE_FORWARDEDHEADERS_ENABLED", "true");
    plan.add_path(HOME);
    plan.keep_source();
    let step = publish_step(context, plan, &root);
    plan.keep(step);
    Ok(extended(&wish, &version, &projects, tree))
}

fn sdk_step(
    context: &Context<'_>,
    version: &str,
    path: &std::path::Path,
) -> Result<Step, BuildError> {
    let mut step = mirror_step(STEP, (HOME, "dotnet"), path)?;
    step.heading = vec![format!("Installing .NET SDK {version}")];
    step.cached_heading = vec![format!("Using cached install of .NET SDK {version}")];
    step.env = base_env(context.request.stack.as_str());
    Ok(step)
}

fn publish_step(context: &Context<'_>, plan: &BuildPlan, root: &str) -> Step {
    let configuration = context.request.config_vars.get("BUILD_CONFIGURATION");
    let configuration = configuration.map_or("Release", String::as_str);
    let command = script("bash", BUILD, &[root, configuration, assembly::PUBLISHED]);
    let mut step = Step::run("dotnet-publish", command);
    step.heading = vec![format!("Publishing {root}")];
    step.upon.clone_from(&plan.slug);
    step.env = app_env(context, plan);
    step.caches = vec![Cache {
        name: "dotnet".to_owned(),
    }];
    // A project file is a program, and may look at more than its source.
    step.is_reusable = false;
    step.advice = lines(&[
        "The app could not be published; see the output above.",
        "hint: `dotnet publish --configuration Release` fails in the same way on your machine with the",
        "same SDK. Packages come from the sources of nuget.config.",
    ]);
    step
}

fn extended(wish: &Wish, version: &str, projects: &[Assembly], tree: &SourceTree) -> Extended {
    let mut extended = Extended::default();
    extended.lines.push(Line::Heading(format!(
        "Using .NET SDK {version} for {} in {}",
        wish.text, wish.origin
    )));
    let served: Vec<&Assembly> = projects.iter().filter(|project| project.is_web).collect();
    for project in projects.iter().filter(|project| project.is_program) {
        let name = if project.is_web && served.len() == 1 {
            "web".to_owned()
        } else {
            project.process_type()
        };
        if let Ok(name) = name.parse() {
            extended.default_types.insert(name, project.command());
        }
    }
    if served.is_empty() && !tree.has_file("Procfile") {
        extended.lines.push(Line::Warning(
            "No project has the SDK Microsoft.NET.Sdk.Web, and there is no Procfile: nothing will serve."
                .to_owned(),
        ));
    }
    extended
}

fn unavailable(wish: &Wish, offers: &[(Vec<u64>, PathBuf)]) -> BuildError {
    let listed: Vec<String> = offers
        .iter()
        .map(|(version, _)| assembly::shown(version))
        .collect();
    let listed = if listed.is_empty() {
        "none".to_owned()
    } else {
        listed.join(", ")
    };
    BuildError::Source {
        problem: format!(
            "A .NET SDK for {}, which {} asks for, cannot be had.",
            wish.text, wish.origin
        ),
        advice: vec![
            format!("SDKs come from this platform's mirror directory alone, which has: {listed}."),
            "hint: have the operator add the archive that Microsoft publishes with".to_owned(),
            "`landfall runtimes:add dotnet VERSION dotnet-sdk-VERSION-linux-x64.tar.gz --sha256 SUM`,"
                .to_owned(),
            "or deploy the app as a container image.".to_owned(),
        ],
    }
}
