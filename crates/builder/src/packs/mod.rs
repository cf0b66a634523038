//! Buildpacks that are not built in: classic ones and Cloud Native ones, and the choice among all.
//!
//! [`Chosen`] is what a build is made with, in order; a [`Stretch`] of buildpacks of one kind runs
//! at once. It must not know how a built-in buildpack plans. Read [`choose`] first.

mod classic;
mod cnb;
mod fetch;
pub mod location;
mod release;

use std::path::Path;

use sha2::{Digest as _, Sha256};

use self::location::{Location, LocationError, WELL_KNOWN};
use crate::{
    archive::hex,
    buildpacks::{Buildpack, Context, Extended},
    error::BuildError,
    execute::{Execution, commit},
    layers::{Draft, Layer},
    plan::{BuildPlan, LayerRef},
    source_tree::SourceTree,
};

/// A buildpack that a build uses.
#[derive(Clone)]
pub(crate) enum Chosen {
    /// One of ours.
    BuiltIn(&'static Buildpack),
    /// One with `bin/compile`.
    Classic(Pack),
    /// One with a `buildpack.toml` that names its API.
    CloudNative(Pack),
}

/// A fetched buildpack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pack {
    /// As it was chosen, without passwords.
    pub(crate) name: String,
    /// Its files.
    pub(crate) layer: Layer,
    is_cloud_native: bool,
}

/// Buildpacks of one kind that follow one another.
pub(crate) enum Stretch {
    BuiltIn(&'static Buildpack),
    Classic(Vec<Pack>),
    CloudNative(Vec<Pack>),
}

/// What a stretch offers.
#[derive(Debug, Default)]
pub(crate) struct Offer {
    pub(crate) extended: Extended,
    /// What the last buildpack calls what it has built, if not its language.
    pub(crate) title: Option<String>,
}

impl Chosen {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::BuiltIn(buildpack) => buildpack.name,
            Self::Classic(pack) | Self::CloudNative(pack) => &pack.name,
        }
    }

    /// What is said to be built, unless the buildpack says so itself.
    pub(crate) fn language(&self) -> &str {
        match self {
            Self::BuiltIn(buildpack) => buildpack.language,
            Self::Classic(pack) | Self::CloudNative(pack) => &pack.name,
        }
    }
}

/// Says which buildpacks are used, finds them if none was chosen, and fetches what is not here.
pub(crate) async fn choose(
    context: &Context<'_>,
    execution: &mut Execution,
    wanted: &[String],
) -> Result<Vec<Chosen>, BuildError> {
    if wanted.is_empty() {
        execution
            .output
            .heading("Determining which buildpack to use for this app")
            .await;
        let found = Buildpack::detect(&execution.tree).ok_or(BuildError::NoLanguage)?;
        return Ok(vec![Chosen::BuiltIn(found)]);
    }
    let mut chosen: Vec<Chosen> = Vec::new();
    for text in wanted {
        let next = if let Some(buildpack) = Buildpack::from_name(text) {
            Chosen::BuiltIn(buildpack)
        } else {
            let location = Location::parse(text)?;
            let pack = fetch::fetch(context, execution, &location).await?;
            if pack.is_cloud_native {
                Chosen::CloudNative(pack)
            } else {
                Chosen::Classic(pack)
            }
        };
        execution
            .output
            .heading(&format!("Using buildpack: {}", next.name()))
            .await;
        if !chosen.iter().any(|other| other.name() == next.name()) {
            chosen.push(next);
        }
    }
    Ok(chosen)
}

/// Puts what runs at once together.
pub(crate) fn stretches(chosen: &[Chosen]) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    for next in chosen {
        match (stretches.last_mut(), next) {
            (Some(Stretch::Classic(packs)), Chosen::Classic(pack))
            | (Some(Stretch::CloudNative(packs)), Chosen::CloudNative(pack)) => {
                packs.push(pack.clone());
            }
            (_, Chosen::Classic(pack)) => stretches.push(Stretch::Classic(vec![pack.clone()])),
            (_, Chosen::CloudNative(pack)) => {
                stretches.push(Stretch::CloudNative(vec![pack.clone()]));
            }
            (_, Chosen::BuiltIn(buildpack)) => stretches.push(Stretch::BuiltIn(buildpack)),
        }
    }
    stretches
}

impl Stretch {
    /// Does this part of the build.
    pub(crate) async fn run(
        &self,
        context: &Context<'_>,
        execution: &mut Execution,
        plan: &mut BuildPlan,
    ) -> Result<Offer, BuildError> {
        match self {
            Self::BuiltIn(buildpack) => run_built_in(buildpack, context, execution, plan).await,
            Self::Classic(packs) => classic::run(context, execution, plan, packs).await,
            Self::CloudNative(packs) => cnb::run(context, execution, plan, packs).await,
        }
    }
}

async fn run_built_in(
    buildpack: &Buildpack,
    context: &Context<'_>,
    execution: &mut Execution,
    plan: &mut BuildPlan,
) -> Result<Offer, BuildError> {
    if !buildpack.detects(&execution.tree) {
        return Err(BuildError::NotDetected {
            buildpack: buildpack.name.to_owned(),
            advice: buildpack.detection_advice(&execution.tree),
        });
    }
    let title = format!("{} app detected", buildpack.language);
    execution.output.heading(&title).await;
    execution.journal.buildpack(buildpack.name);
    let done = plan.steps.len();
    let extended = buildpack.plan(context, execution, plan).await?;
    for line in &extended.lines {
        execution.journal.told(line.text());
        line.put(&mut execution.output).await;
    }
    for step in &plan.steps[done..] {
        if !execution.is_done(step) {
            execution.run(step).await?;
        }
    }
    let extended = Extended {
        lines: Vec::new(),
        ..extended
    };
    Ok(Offer {
        extended,
        title: None,
    })
}

/// Room for a layer, or for what a build needs while it runs.
fn room_for(execution: &Execution) -> Result<Draft, BuildError> {
    let layers = execution.workshop.layers.clone();
    layers
        .draft()
        .map_err(BuildError::host("make room for a layer"))
}

/// Makes what buildpacks have left of the app the source that everything later sees, and the slug
/// so far.
async fn adopt_source(
    execution: &mut Execution,
    plan: &mut BuildPlan,
    draft: Draft,
) -> Result<(), BuildError> {
    let text = format!("built {} {}", execution.build, execution.made.len());
    let key = hex(&Sha256::digest(text));
    let layer = commit(&execution.workshop.layers, draft, key).await?;
    execution.made.insert(layer.key.clone());
    execution.tree = SourceTree::new(execution.workshop.layers.path(&layer.key));
    execution.source = layer;
    plan.slug = vec![LayerRef::Source];
    Ok(())
}

impl From<LocationError> for BuildError {
    fn from(error: LocationError) -> Self {
        Self::Source {
            problem: error.to_string(),
            advice: vec![
                "hint: change the buildpacks with `heroku buildpacks:set` or".to_owned(),
                "`heroku buildpacks:clear`.".to_owned(),
            ],
        }
    }
}

/// A buildpack that can be chosen by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// `heroku/python`.
    pub name: String,
    /// What it builds.
    pub description: String,
    /// Where it comes from: `built-in`, an address, or `local`.
    pub source: String,
}

/// All buildpacks that have names here: built in, well known, and below the operator's `folder`.
pub(crate) async fn known(folder: Option<&Path>) -> Result<Vec<Known>, BuildError> {
    let mut known: Vec<Known> = Buildpack::all()
        .map(|buildpack| Known {
            name: buildpack.name.to_owned(),
            description: format!("{} apps", buildpack.language),
            source: "built-in".to_owned(),
        })
        .collect();
    let local = match folder {
        Some(folder) => fetch::local_names(folder).await?,
        None => Vec::new(),
    };
    let further = WELL_KNOWN
        .iter()
        .map(|(name, url, description)| Known {
            name: (*name).to_owned(),
            description: (*description).to_owned(),
            source: (*url).to_owned(),
        })
        .chain(local.into_iter().map(|name| Known {
            name,
            description: "A buildpack of this platform's operator".to_owned(),
            source: "local".to_owned(),
        }));
    for next in further {
        if !known.iter().any(|other| other.name == next.name) {
            known.push(next);
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(name: &str) -> Pack {
        Pack {
            name: name.to_owned(),
            layer: Layer {
                key: name.to_owned(),
                size_bytes: 0,
            },
            is_cloud_native: false,
        }
    }

    #[test]
    fn neighbours_of_one_kind_run_together() {
        let built_in = Chosen::BuiltIn(Buildpack::from_name("heroku/python").unwrap());
        let chosen = [
            Chosen::Classic(pack("a")),
            Chosen::Classic(pack("b")),
            built_in.clone(),
            built_in,
            Chosen::CloudNative(pack("c")),
            Chosen::CloudNative(pack("d")),
            Chosen::Classic(pack("e")),
        ];
        let shape: Vec<String> = stretches(&chosen)
            .iter()
            .map(|stretch| match stretch {
                Stretch::BuiltIn(buildpack) => buildpack.language.to_owned(),
                Stretch::Classic(packs) => format!("classic {}", packs.len()),
                Stretch::CloudNative(packs) => format!("cloud native {}", packs.len()),
            })
            .collect();
        assert_eq!(
            shape,
            [
                "classic 2",
                "Python",
                "Python",
                "cloud native 2",
                "classic 1"
            ]
        );
    }
}
