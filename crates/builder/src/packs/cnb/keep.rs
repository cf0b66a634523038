//! After the build: launch layers become layers of the slug, cached ones wait for the next build.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    LAYERS, Site,
    build::{AllBuilt, Built},
    env::{self, Phase},
    launch::{LayerLaunch, Process, profile},
    layers::{Description, Origin, Types},
    refused,
};
use crate::{
    archive::hex,
    buildpacks::{Extended, Line},
    error::BuildError,
    execute::{Execution, commit},
    layers::{Draft, Layer},
    packs::{Offer, adopt_source, room_for},
    plan::{BuildPlan, LayerRef, Step},
    source_tree::SourceTree,
};

const STATE: &str = "cnb.json";
const PROFILE: &str = ".profile.d/000_cnb.sh";

/// What an app's last build left for its next.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct State {
    /// Id of a buildpack → what it left.
    buildpacks: BTreeMap<String, Kept>,
}

/// What one buildpack left.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) folder: String,
    /// Its `store.toml`.
    pub(super) store: Option<String>,
    pub(super) layers: BTreeMap<String, KeptLayer>,
}

/// A layer that outlives its build.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct KeptLayer {
    pub(super) types: Types,
    /// As the next build finds it.
    pub(super) description: String,
    /// Its key in the store, where it is at the place that it has in dynos.
    pub(super) key: String,
}

impl State {
    pub(super) fn read(execution: &Execution) -> Self {
        fs::read(path(execution))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    pub(super) fn of(&self, id: &str) -> Kept {
        self.buildpacks.get(id).cloned().unwrap_or_default()
    }

    fn write(&self, execution: &Execution) -> io::Result<()> {
        let path = path(execution);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let beside = path.with_extension(execution.build.to_string());
        fs::write(&beside, serde_json::to_vec(self).unwrap_or_default())?;
        fs::rename(beside, path)
    }
}

/// Beside the app's caches, where no dyno sees it.
fn path(execution: &Execution) -> PathBuf {
    let caches = &execution.workshop.caches;
    caches.join(execution.app.to_string()).join(STATE)
}

/// Takes over what the buildpacks left.
pub(super) async fn keep(
    site: Site<'_>,
    execution: &mut Execution,
    plan: &mut BuildPlan,
    built: AllBuilt,
) -> Result<Offer, BuildError> {
    let mut state = State::default();
    let mut launched: Vec<Layer> = Vec::new();
    let mut files = BTreeMap::new();
    let mut parts = Vec::new();
    for (number, one) in built.each.iter().enumerate() {
        let known = built.before.of(&one.id);
        let mut kept = Kept {
            folder: one.folder.clone(),
            store: one.store.clone(),
            layers: BTreeMap::new(),
        };
        for (name, description) in &one.layers {
            let was = known.layers.get(name).filter(|layer| layer.types.launch);
            let Some(layer) = keep_layer(&site, execution, (one, number), (name, was)).await?
            else {
                continue;
            };
            let tree = SourceTree::new(execution.workshop.layers.path(&layer.key));
            if description.types.launch {
                parts.push(launch_of(&tree, one, name));
                launched.push(layer.clone());
            }
            kept.layers
                .insert(name.clone(), remembered(description, &layer));
        }
        collect_boms(one, &mut files);
        state.buildpacks.insert(one.id.clone(), kept);
    }
    let labels: BTreeMap<&str, &str> = built
        .each
        .iter()
        .flat_map(|one| &one.launch.labels)
        .map(|label| (label.key.as_str(), label.value.as_str()))
        .collect();
    if !labels.is_empty() {
        let text = serde_json::to_string(&labels).unwrap_or_default();
        files.insert(".cnb/labels.json".to_owned(), text);
    }
    files.insert(PROFILE.to_owned(), profile(&parts));
    adopt_source(execution, plan, site.space).await?;
    for (number, layer) in launched.into_iter().enumerate() {
        let name = format!("cnb-layer-{number}");
        execution.place(&name, layer);
        plan.slug.push(LayerRef::Step(name));
    }
    let step = Step::write("cnb-launch", files);
    execution.run(&step).await?;
    plan.slug.push(LayerRef::Step(step.name));
    state
        .write(execution)
        .map_err(BuildError::host("keep what buildpacks have cached"))?;
    Ok(offer(&built.each))
}

fn remembered(description: &Description, layer: &Layer) -> KeptLayer {
    KeptLayer {
        types: description.types,
        description: toml::to_string(&description.restored()).unwrap_or_default(),
        key: layer.key.clone(),
    }
}

/// Puts one layer's files into the store; `None` if nothing of it outlives the build.
async fn keep_layer(
    site: &Site<'_>,
    execution: &mut Execution,
    (one, number): (&Built, usize),
    (name, was): (&str, Option<&KeptLayer>),
) -> Result<Option<Layer>, BuildError> {
    let types = one.layers[name].types;
    if !types.is_kept() {
        return Ok(None);
    }
    let has_files = one.tree.list("").contains(&format!("{name}/"));
    let before = was.and_then(|was| execution.workshop.layers.find(&was.key));
    match (types.origin(has_files, before.is_some()), before) {
        (Origin::Before, Some(layer)) => Ok(Some(layer)),
        (Origin::Made, _) => {
            let draft = room_for(execution)?;
            let place = PathBuf::from(".cnb/layers").join(&one.folder).join(name);
            let key = take(site, (number, name), &draft, &place)
                .map_err(BuildError::host("keep a buildpack's layer"))?;
            let is_new = execution.workshop.layers.find(&key).is_none();
            let layer = commit(&execution.workshop.layers, draft, key).await?;
            if is_new {
                execution.made.insert(layer.key.clone());
            }
            Ok(Some(layer))
        }
        _ => Err(refused(format!(
            "{} says that its layer {name} is kept, but there are no files of it",
            one.id
        ))),
    }
}

/// Moves a layer's files to their place in a draft; gives the layer's key.
fn take(
    site: &Site<'_>,
    (number, name): (usize, &str),
    draft: &Draft,
    place: &Path,
) -> io::Result<String> {
    let from = site.space.beside(&format!("layers-{number}"))?.join(name);
    // A name out of a directory listing, looked at again: it may not be a link.
    if !fs::symlink_metadata(&from)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let target = draft.path().join(place);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::rename(&from, &target)?;
    let mut hash = Sha256::new();
    hash.update(place.as_os_str().as_encoded_bytes());
    digest(&target, &mut hash)?;
    Ok(hex(&hash.finalize()))
}

/// All paths, kinds, modes and contents below a directory; links are not followed.
fn digest(folder: &Path, hash: &mut Sha256) -> io::Result<()> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        let metadata = fs::symlink_metadata(&path)?;
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        if metadata.is_dir() {
            hash.update(b"d");
            digest(&path, hash)?;
            hash.update(b"e");
        } else if metadata.is_symlink() {
            let to = fs::read_link(&path)?;
            let to = to.as_os_str().as_encoded_bytes();
            hash.update(b"l");
            hash.update((to.len() as u64).to_le_bytes());
            hash.update(to);
        } else if metadata.is_file() {
            let is_executable = metadata.permissions().mode() & 0o111 != 0;
            hash.update(if is_executable { b"x" } else { b"f" });
            hash.update(metadata.len().to_le_bytes());
            let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
            let mut file = fs::OpenOptions::new()
                .read(true)
                .custom_flags(no_follow)
                .open(&path)?;
            let mut buffer = vec![0_u8; 1 << 16];
            loop {
                let count = file.read(&mut buffer)?;
                if count == 0 {
                    break;
                }
                hash.update(&buffer[..count]);
            }
        }
    }
    Ok(())
}

/// A launch layer's part of the profile; `tree` is the layer as it is in the store.
fn launch_of(tree: &SourceTree, one: &Built, name: &str) -> LayerLaunch {
    let inside = format!(".cnb/layers/{}/{name}", one.folder);
    let place = format!("{LAYERS}/{}/{name}", one.folder);
    let programs = |folder: &str| -> Vec<String> {
        let names = tree.list(&format!("{inside}/{folder}")).into_iter();
        names
            .filter(|name| !name.ends_with('/'))
            .map(|name| format!("{place}/{folder}/{name}"))
            .collect()
    };
    let types = tree.list(&format!("{inside}/exec.d")).into_iter();
    let programs_by_type = types
        .filter_map(|name| name.strip_suffix('/').map(str::to_owned))
        .map(|name| (name.clone(), programs(&format!("exec.d/{name}"))))
        .collect();
    LayerLaunch {
        changes: env::changes_of(tree, &inside, &place, Phase::Launch),
        by_type: env::changes_by_type(tree, &inside),
        programs: programs("exec.d"),
        programs_by_type,
    }
}

/// Bills of materials: of dynos (`launch.sbom.…`) and of launch layers (`<layer>.sbom.…`).
fn collect_boms(one: &Built, files: &mut BTreeMap<String, String>) {
    for entry in one.tree.list("") {
        let Some((name, _)) = entry.split_once(".sbom.") else {
            continue;
        };
        let is_of_layer = one
            .layers
            .get(name)
            .is_some_and(|description| description.types.launch);
        if (name == "launch" || is_of_layer)
            && let Some(text) = one.tree.read_text(&entry)
        {
            files.insert(format!(".cnb/sbom/launch/{}/{entry}", one.folder), text);
        }
    }
}

/// What the buildpacks offer: later ones' process types replace those of the same name.
fn offer(built: &[Built]) -> Offer {
    let mut extended = Extended::default();
    for one in built {
        let processes = one.launch.processes.iter();
        extended
            .default_types
            .extend(processes.filter_map(Process::command));
    }
    if extended.default_types.is_empty() {
        let line = "The buildpacks offer no process types.".to_owned();
        extended.lines.push(Line::Text(line));
    }
    Offer {
        extended,
        title: None,
    }
}
