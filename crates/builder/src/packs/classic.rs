//! Classic buildpacks: `bin/detect`, `bin/compile` and `bin/release`, run as Heroku runs them.
//!
//! Buildpacks that follow one another run in one build dyno and share `/tmp`, `/app` and the
//! environment that each exports. Source: <https://devcenter.heroku.com/articles/buildpack-api>.
//! Read [`run`] first.

use std::{collections::BTreeMap, path::PathBuf};

use api::ids::BuildId;

use super::{Offer, Pack, adopt_source, release::Release, room_for};
use crate::{
    buildpacks::{Context, Extended, Line, base_env, script},
    env,
    error::BuildError,
    execute::Execution,
    layers::Draft,
    plan::{BuildPlan, Cache, LayerRef, Shown, Step},
    source_tree::SourceTree,
};

/// What classic buildpacks are told the stack is: they know Heroku's by name and fetch programs
/// that were compiled for it, which run on a stack with the same or newer libraries.
const STACK: &str = "heroku-24";
/// Where buildpacks are shown to the driver.
const PACKS: &str = "/opt/buildpacks";
const RESULTS: &str = "/tmp/landfall-results";
/// Config vars that a build never gets, even as files.
const WITHHELD: [&str; 2] = ["LD_PRELOAD", "GIT_DIR"];

const DRIVER: &str = include_str!("scripts/classic.sh");

/// What the driver's arguments and the host's looks agree on.
struct Places {
    /// `build_…`, below `/tmp`.
    build: String,
    /// `env_…`, below `/tmp`.
    env: String,
}

/// Runs the buildpacks on what the slug is so far. What they leave is the source from here on.
pub(super) async fn run(
    context: &Context<'_>,
    execution: &mut Execution,
    plan: &mut BuildPlan,
    packs: &[Pack],
) -> Result<Offer, BuildError> {
    let short = short_id(execution.build);
    let places = Places {
        build: format!("build_{short}"),
        env: format!("env_{short}"),
    };
    let draft = room_for(execution)?;
    let space = "make room for a buildpack";
    let tmp = draft.beside("tmp").map_err(BuildError::host(space))?;
    write_env(&draft, &places, &context.request.config_vars)?;
    let step = step(context, execution, plan, (packs, &places, tmp));
    let app = room_for(execution)?;
    let result = execution.run_aside(&step, &app).await;
    let results = SourceTree::new(draft.path().with_file_name("tmp"));
    if let Err(error) = result {
        return Err(explained(error, &results, packs));
    }
    let (offer, vars) = gather(&results, packs)?;
    plan.env.extend(vars);
    execution.exported = exported(&results, &step.env, &places);
    let place = PathBuf::from("tmp").join(&places.build);
    draft.adopt(&place).map_err(|_| BuildError::Source {
        problem: "The buildpack has removed the build directory".to_owned(),
        advice: Vec::new(),
    })?;
    adopt_source(execution, plan, draft).await?;
    Ok(offer)
}

/// Eight digits, as in Heroku's `/tmp/build_…`.
fn short_id(build: BuildId) -> String {
    let text: String = build
        .to_string()
        .chars()
        .filter(char::is_ascii_hexdigit)
        .collect();
    text.chars().rev().take(8).collect()
}

/// A file per config var; they are on disk only while the build runs.
fn write_env(
    draft: &Draft,
    places: &Places,
    config_vars: &BTreeMap<String, String>,
) -> Result<(), BuildError> {
    let write = || {
        draft.beside(&format!("tmp/{}", places.env))?;
        for (name, value) in config_vars {
            let is_file_name = !name.is_empty() && !name.contains('/') && !name.starts_with('.');
            if is_file_name && !WITHHELD.contains(&name.as_str()) {
                draft.write_beside(&format!("tmp/{}/{name}", places.env), value.as_bytes())?;
            }
        }
        Ok(())
    };
    write().map_err(BuildError::host("write the config vars for a buildpack"))
}

fn step(
    context: &Context<'_>,
    execution: &Execution,
    plan: &BuildPlan,
    (packs, places, tmp): (&[Pack], &Places, PathBuf),
) -> Step {
    let is_first = plan.slug.iter().all(|layer| *layer == LayerRef::Source);
    let shown: Vec<Shown> = packs
        .iter()
        .enumerate()
        .map(|(number, pack)| Shown {
            source: execution.workshop.layers.path(&pack.layer.key),
            target: PathBuf::from(format!("{PACKS}/{number}")),
            is_writable: false,
        })
        .collect();
    let build = format!("/tmp/{}", places.build);
    let env = format!("/tmp/{}", places.env);
    let alone = if is_first { "1" } else { "0" };
    let mut arguments = vec![
        build.as_str(),
        "/cache/buildpacks",
        env.as_str(),
        RESULTS,
        alone,
    ];
    let targets: Vec<String> = (0..packs.len())
        .map(|number| format!("{PACKS}/{number}"))
        .collect();
    arguments.extend(targets.iter().map(String::as_str));
    let mut step = Step::run("buildpacks", script("bash", DRIVER, &arguments));
    step.upon.clone_from(&plan.slug);
    if !step.sees_source() {
        step.upon.push(LayerRef::Source);
    }
    step.env = environment(context, execution, plan);
    step.caches = vec![Cache {
        name: "buildpacks".to_owned(),
    }];
    step.shown = shown;
    step.shown.push(Shown {
        source: tmp,
        target: PathBuf::from("/tmp"),
        is_writable: true,
    });
    step.is_verbatim = true;
    step.is_reusable = false;
    step
}

/// What Heroku's build system sets; config vars are files only.
fn environment(
    context: &Context<'_>,
    execution: &Execution,
    plan: &BuildPlan,
) -> BTreeMap<String, String> {
    let request = context.request;
    // Tools keep their files where they do on Heroku, some of them in the app.
    let mut own = base_env(STACK);
    for name in [
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "PYTHONDONTWRITEBYTECODE",
        "PIP_NO_CACHE_DIR",
    ] {
        own.remove(name);
    }
    own.insert("REQUEST_ID".to_owned(), execution.build.to_string());
    own.insert(
        "SOURCE_VERSION".to_owned(),
        request.commit.clone().unwrap_or_default(),
    );
    let before = env::over(&own, plan.env.clone());
    env::over(&execution.exported, before)
}

/// What buildpacks offer, and their config vars.
fn gather(
    results: &SourceTree,
    packs: &[Pack],
) -> Result<(Offer, BTreeMap<String, String>), BuildError> {
    let mut extended = Extended::default();
    let mut vars = BTreeMap::new();
    for (number, pack) in packs.iter().enumerate() {
        let text = read_result(results, &format!("release-{number}")).unwrap_or_default();
        let release = Release::parse(&text).map_err(|problem| BuildError::Source {
            problem: format!("bin/release of {} cannot be read: {problem}", pack.name),
            advice: Vec::new(),
        })?;
        if !release.addons.is_empty() {
            extended.lines.push(Line::Text(format!(
                "{} asks for add-ons, which are not made by a build: {}",
                pack.name,
                release.addons.join(", ")
            )));
        }
        vars.extend(release.config_vars);
        // The last buildpack's, as on Heroku.
        extended.default_types = release.default_types;
    }
    let last = packs.len().saturating_sub(1);
    let title = read_result(results, &format!("name-{last}"))
        .map(|name| name.trim().chars().take(60).collect::<String>())
        .filter(|name| !name.is_empty());
    Ok((Offer { extended, title }, vars))
}

fn read_result(results: &SourceTree, name: &str) -> Option<String> {
    let folder = RESULTS.trim_start_matches("/tmp/");
    results.read_text(&format!("{folder}/{name}"))
}

/// What the buildpacks' `export` files have changed, as it is true after the build: the build
/// directory is `/app` from then on.
fn exported(
    results: &SourceTree,
    before: &BTreeMap<String, String>,
    places: &Places,
) -> BTreeMap<String, String> {
    const OWN: [&str; 7] = ["PWD", "OLDPWD", "SHLVL", "_", "HOME", "STACK", "REQUEST_ID"];
    let text = read_result(results, "environment").unwrap_or_default();
    let build = format!("/tmp/{}", places.build);
    text.split('\0')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, value)| {
            !OWN.contains(name)
                && !name.starts_with("BASH_FUNC")
                && before.get(*name).map(String::as_str) != Some(*value)
        })
        .map(|(name, value)| (name.to_owned(), value.replace(&build, "/app")))
        .collect()
}

/// Says which buildpack failed, and at what.
fn explained(error: BuildError, results: &SourceTree, packs: &[Pack]) -> BuildError {
    let BuildError::Step {
        status,
        is_out_of_memory,
        last_lines,
        ..
    } = error
    else {
        return error;
    };
    let text = read_result(results, "failed").unwrap_or_default();
    let (phase, number) = text.trim().split_once(' ').unwrap_or(("compile", "0"));
    let number: usize = number.parse().unwrap_or_default();
    let buildpack = packs
        .get(number)
        .map(|pack| pack.name.clone())
        .unwrap_or_default();
    if phase == "detect" {
        return BuildError::NotDetected {
            buildpack,
            advice: vec![
                "Its bin/detect does not find what it builds in the root directory of the source."
                    .to_owned(),
                "hint: change the buildpacks with `heroku buildpacks:set` or".to_owned(),
                "`heroku buildpacks:clear`.".to_owned(),
            ],
        };
    }
    let name = read_result(results, &format!("name-{number}"))
        .map(|name| name.trim().chars().take(60).collect::<String>());
    BuildError::Buildpack {
        app: name.unwrap_or(buildpack),
        phase: if phase == "release" {
            "release"
        } else {
            "compile"
        },
        status,
        is_out_of_memory,
        last_lines,
    }
}
