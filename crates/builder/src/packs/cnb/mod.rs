//! Cloud Native Buildpacks: the platform's side of the buildpack API, 0.7 to 0.12.
//!
//! Detection runs once, in one build dyno; each buildpack of the group that fits builds in one of
//! its own. What they leave is read from the host, which decides what becomes of it in the pure
//! functions of the modules below. Read [`run`] first.

mod build;
mod descriptor;
mod detect;
mod env;
mod keep;
mod launch;
mod layers;
mod plan;

use std::path::PathBuf;

use self::descriptor::{Descriptor, Reference};
use super::{Offer, Pack, room_for};
use crate::{
    buildpacks::Context,
    error::BuildError,
    execute::Execution,
    layers::Draft,
    plan::{BuildPlan, Shown},
    source_tree::SourceTree,
};

/// Where layers are, in build dynos and in the app's own.
const LAYERS: &str = "/app/.cnb/layers";
const PLATFORM: &str = "/opt/platform";
/// How far down a package its buildpacks may be.
const MAX_DEPTH: usize = 4;

const DETECT: &str = include_str!("../scripts/cnb_detect.sh");
const BUILD: &str = include_str!("../scripts/cnb_build.sh");

/// One buildpack of a package.
struct Component {
    descriptor: Descriptor,
    /// Its directory, as build dynos see it.
    place: String,
}

/// All that the parts of one build share.
struct Site<'a> {
    context: &'a Context<'a>,
    components: Vec<Component>,
    /// The packages, and config vars as files.
    shown: Vec<Shown>,
    /// Holds the app, and a directory per buildpack for its layers.
    space: Draft,
}

/// Whether the tree is one of these, and not a classic one.
pub(super) fn is_buildpack(tree: &SourceTree) -> bool {
    let text = tree.read_text("buildpack.toml").unwrap_or_default();
    let table: Result<toml::Table, _> = text.parse();
    table.is_ok_and(|table| table.contains_key("api"))
}

/// Detects and builds with these buildpacks, in their order, on what the slug is so far.
pub(super) async fn run(
    context: &Context<'_>,
    execution: &mut Execution,
    plan: &mut BuildPlan,
    packs: &[Pack],
) -> Result<Offer, BuildError> {
    let (components, roots) = components(execution, packs)?;
    let descriptors: Vec<Descriptor> = components
        .iter()
        .map(|component| component.descriptor.clone())
        .collect();
    let groups = descriptor::expand(&roots, &descriptors).map_err(refused)?;
    let space = room_for(execution)?;
    let mut shown = shown(execution, packs);
    shown.push(platform(&space, context)?);
    let site = Site {
        context,
        components,
        shown,
        space,
    };
    let resolved = detect::run(&site, execution, plan, &groups).await?;
    let built = build::run(&site, execution, plan, resolved).await?;
    keep::keep(site, execution, plan, built).await
}

fn refused(problem: String) -> BuildError {
    BuildError::Source {
        problem,
        advice: Vec::new(),
    }
}

/// All buildpacks of the packages, and which of them were chosen.
fn components(
    execution: &Execution,
    packs: &[Pack],
) -> Result<(Vec<Component>, Vec<Reference>), BuildError> {
    let (mut components, mut roots) = (Vec::new(), Vec::new());
    for (number, pack) in packs.iter().enumerate() {
        let tree = SourceTree::new(execution.workshop.layers.path(&pack.layer.key));
        let mut folders = vec![(String::new(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let text = tree.read_text(&format!("{folder}buildpack.toml"));
            let found = text.map(|text| Descriptor::parse(&text)).transpose();
            let found = match found {
                Err(problem) if folder.is_empty() => {
                    return Err(refused(format!("{}: {problem}", pack.name)));
                }
                // Packages hold samples and tests that are none of their buildpacks.
                other => other.ok().flatten().flatten(),
            };
            if let Some(descriptor) = found {
                if folder.is_empty() {
                    roots.push(Reference {
                        id: descriptor.buildpack.id.clone(),
                        optional: false,
                    });
                }
                let place = format!("/opt/cnb/{number}/{folder}");
                components.push(Component {
                    descriptor,
                    place: place.trim_end_matches('/').to_owned(),
                });
            }
            if depth < MAX_DEPTH {
                let below = tree.list(&folder).into_iter();
                let below = below.filter(|name| name.ends_with('/') && !name.starts_with('.'));
                folders.extend(below.map(|name| (format!("{folder}{name}"), depth + 1)));
            }
        }
    }
    Ok((components, roots))
}

fn shown(execution: &Execution, packs: &[Pack]) -> Vec<Shown> {
    packs
        .iter()
        .enumerate()
        .map(|(number, pack)| Shown {
            source: execution.workshop.layers.path(&pack.layer.key),
            target: PathBuf::from(format!("/opt/cnb/{number}")),
            is_writable: false,
        })
        .collect()
}

/// The platform directory: config vars, a file each, on disk only while the build runs.
fn platform(space: &Draft, context: &Context<'_>) -> Result<Shown, BuildError> {
    let write = || {
        let source = space.beside("platform")?;
        space.beside("platform/env")?;
        for (name, value) in &context.request.config_vars {
            if env::is_variable(name) && name != "PATH" && !name.starts_with("CNB_") {
                space.write_beside(&format!("platform/env/{name}"), value.as_bytes())?;
            }
        }
        Ok(source)
    };
    Ok(Shown {
        source: write().map_err(BuildError::host("write the config vars for buildpacks"))?,
        target: PathBuf::from(PLATFORM),
        is_writable: false,
    })
}
