//! Runs each buildpack of the group, and reads what it left.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    BUILD, LAYERS, PLATFORM, Site,
    env::{self, Phase},
    keep::{Kept, State},
    launch::Launch,
    layers::{Description, Restored},
    plan::{Require, Resolved},
    refused,
};
use crate::{
    buildpacks::{base_env, script},
    error::BuildError,
    execute::Execution,
    packs::room_for,
    plan::{BuildPlan, Shown, Step},
    source_tree::SourceTree,
};

/// Files beside the descriptions of layers that are none.
const OTHERS: [&str; 3] = ["launch.toml", "build.toml", "store.toml"];

/// What one buildpack has left.
pub(super) struct Built {
    pub(super) id: String,
    /// The directory of its layers, below [`LAYERS`].
    pub(super) folder: String,
    pub(super) tree: SourceTree,
    pub(super) layers: BTreeMap<String, Description>,
    pub(super) launch: Launch,
    pub(super) store: Option<String>,
}

/// All of them, in order, and what was known before.
pub(super) struct AllBuilt {
    pub(super) each: Vec<Built>,
    pub(super) before: State,
}

#[derive(Serialize)]
struct Asked {
    entries: Vec<Require>,
}

#[derive(Default, Deserialize)]
struct BuildToml {
    #[serde(default)]
    unmet: Vec<Unmet>,
}

#[derive(Deserialize)]
struct Unmet {
    name: String,
}

/// What every program of a buildpack has in its environment.
pub(super) fn environment(site: &Site<'_>, execution: &Execution) -> BTreeMap<String, String> {
    let request = site.context.request;
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut env = base_env(request.stack.as_str());
    let own = [
        ("CNB_PLATFORM_DIR", PLATFORM),
        ("CNB_APP_DIR", "/app"),
        ("CNB_STACK_ID", "heroku-24"),
        ("CNB_TARGET_OS", "linux"),
        ("CNB_TARGET_ARCH", architecture),
        // What Heroku's and other buildpacks know; their programs run here.
        ("CNB_TARGET_DISTRO_NAME", "ubuntu"),
        ("CNB_TARGET_DISTRO_VERSION", "24.04"),
        (
            "SOURCE_VERSION",
            request.commit.as_deref().unwrap_or_default(),
        ),
    ];
    env.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
    env.remove("STACK");
    crate::env::over(&execution.exported, env)
}

/// Builds with every buildpack of the group.
pub(super) async fn run(
    site: &Site<'_>,
    execution: &mut Execution,
    _plan: &BuildPlan,
    mut resolved: Resolved,
) -> Result<AllBuilt, BuildError> {
    let before = State::read(execution);
    let mut each: Vec<Built> = Vec::new();
    for index in resolved.group.clone() {
        let asked = resolved.asked_of(index);
        let known = before.of(&site.components[index].descriptor.buildpack.id);
        let built = one(site, execution, (index, asked), (&each, &known)).await?;
        let text = built.tree.read_text("build.toml").unwrap_or_default();
        let build: BuildToml = toml::from_str(&text).unwrap_or_default();
        let unmet: Vec<String> = build.unmet.into_iter().map(|unmet| unmet.name).collect();
        resolved.meet(index, &unmet);
        each.push(built);
    }
    Ok(AllBuilt { each, before })
}

async fn one(
    site: &Site<'_>,
    execution: &mut Execution,
    (index, asked): (usize, Vec<Require>),
    (earlier, known): (&[Built], &Kept),
) -> Result<Built, BuildError> {
    let component = &site.components[index];
    let name = component.descriptor.shown();
    execution.output.heading(&name).await;
    execution.journal.buildpack(&name);
    let number = earlier.len();
    let restored = restore(site, execution, number, known)?;
    let asked = toml::to_string(&Asked { entries: asked })
        .map_err(|error| refused(format!("the build plan cannot be written: {error}")))?;
    let plan_folder = format!("plan-{number}");
    let write = || {
        let folder = site.space.beside(&plan_folder)?;
        site.space
            .write_beside(&format!("{plan_folder}/plan.toml"), asked.as_bytes())?;
        Ok(folder)
    };
    let plan_folder = write().map_err(BuildError::host("write a buildpack's plan"))?;
    let clear = component.descriptor.buildpack.clear_env;
    let mut arguments = vec![clear.to_string()];
    let mut step = Step::run("cnb-build", Vec::new());
    step.shown.clone_from(&site.shown);
    step.shown.push(show(site.space.path(), "/app", true));
    step.shown.push(show(plan_folder, "/opt/plan", false));
    for (place, source) in restored.iter().enumerate() {
        let target = format!("/opt/restored/{place}");
        arguments.push(format!("{target}/{}", source.1));
        step.shown.push(show(source.0.clone(), &target, false));
    }
    let folder = component.descriptor.folder();
    for (place, built) in earlier.iter().enumerate() {
        let source = layers_folder(site, place)?;
        step.shown
            .push(show(source, &format!("{LAYERS}/{}", built.folder), false));
    }
    let layers = format!("{LAYERS}/{folder}");
    let own = layers_folder(site, number)?;
    step.shown.push(show(own.clone(), &layers, true));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    step.action = crate::plan::Action::Run(script("bash", BUILD, &arguments));
    step.env = build_env(site, execution, earlier);
    step.env.extend([
        ("CNB_BUILDPACK_DIR".to_owned(), component.place.clone()),
        ("CNB_LAYERS_DIR".to_owned(), layers),
        (
            "CNB_BP_PLAN_PATH".to_owned(),
            "/opt/plan/plan.toml".to_owned(),
        ),
    ]);
    step.is_reusable = false;
    step.is_verbatim = true;
    let scratch = room_for(execution)?;
    let result = execution.run_aside(&step, &scratch).await;
    result.map_err(|error| failed(error, &name))?;
    read(
        SourceTree::new(own),
        component.descriptor.buildpack.id.clone(),
        folder,
    )
}

fn show(source: PathBuf, target: &str, is_writable: bool) -> Shown {
    Shown {
        source,
        target: PathBuf::from(target),
        is_writable,
    }
}

fn layers_folder(site: &Site<'_>, number: usize) -> Result<PathBuf, BuildError> {
    site.space
        .beside(&format!("layers-{number}"))
        .map_err(BuildError::host("make room for a buildpack's layers"))
}

/// Puts back what the build before left: descriptions at once; gives the layers whose files are to
/// be copied, and where in them.
fn restore(
    site: &Site<'_>,
    execution: &Execution,
    number: usize,
    known: &Kept,
) -> Result<Vec<(PathBuf, String)>, BuildError> {
    let failed = || BuildError::host("put back a buildpack's layers");
    layers_folder(site, number)?;
    if let Some(store) = &known.store {
        let path = format!("layers-{number}/store.toml");
        site.space
            .write_beside(&path, store.as_bytes())
            .map_err(failed())?;
    }
    let mut copied = Vec::new();
    for (name, layer) in &known.layers {
        let restored = layer.types.restored();
        let Some(found) = execution.workshop.layers.find(&layer.key) else {
            continue;
        };
        if restored == Restored::Nothing {
            continue;
        }
        let path = format!("layers-{number}/{name}.toml");
        site.space
            .write_beside(&path, layer.description.as_bytes())
            .map_err(failed())?;
        if restored == Restored::Whole {
            let path = execution.workshop.layers.path(&found.key);
            copied.push((path, format!(".cnb/layers/{}/{name}", known.folder)));
        }
    }
    Ok(copied)
}

/// The environment with the build layers of earlier buildpacks.
fn build_env(
    site: &Site<'_>,
    execution: &Execution,
    earlier: &[Built],
) -> BTreeMap<String, String> {
    let mut whole = environment(site, execution);
    for built in earlier {
        for (name, description) in &built.layers {
            if description.types.build {
                let place = format!("{LAYERS}/{}/{name}", built.folder);
                for change in env::changes_of(&built.tree, name, &place, Phase::Build) {
                    change.apply(&mut whole);
                }
            }
        }
    }
    whole
}

fn failed(error: BuildError, name: &str) -> BuildError {
    match error {
        BuildError::Step {
            status,
            is_out_of_memory,
            last_lines,
            ..
        } => BuildError::Buildpack {
            app: name.to_owned(),
            phase: "build",
            status,
            is_out_of_memory,
            last_lines,
        },
        other => other,
    }
}

/// Reads what a buildpack left in its directory of layers.
fn read(tree: SourceTree, id: String, folder: String) -> Result<Built, BuildError> {
    let mut layers = BTreeMap::new();
    for entry in tree.list("") {
        let Some(name) = entry.strip_suffix(".toml") else {
            continue;
        };
        if OTHERS.contains(&entry.as_str()) {
            continue;
        }
        let text = tree.read_text(&entry).unwrap_or_default();
        let description = Description::parse(&text)
            .map_err(|problem| refused(format!("{id}: {entry} cannot be read: {problem}")))?;
        layers.insert(name.to_owned(), description);
    }
    let text = tree.read_text("launch.toml").unwrap_or_default();
    let launch = toml::from_str(&text).map_err(|error| {
        refused(format!(
            "{id}: launch.toml cannot be read: {}",
            error.message()
        ))
    })?;
    let store = tree.read_text("store.toml");
    Ok(Built {
        id,
        folder,
        tree,
        layers,
        launch,
        store,
    })
}
