//! From a [`DynoSpec`] to what the shim is asked: a pure translation.

use std::path::PathBuf;

use engine::{DynoKind, DynoSpec, StartPhase, Stdio};
use shim::start::{
    Access, Bind, Identity, Place, Rank, Root, StartRequest, Stdio as ShimStdio, Tmp,
};

use crate::{
    alone::OwnStack, cgroup::View, dyno::Notes, fixtures::Fixtures, handed_in::HandedIn,
    network::DynoNetwork,
};

/// When the host runs out of memory, dynos go before the platform, builds before dynos.
const OOM_SCORE: i32 = 500;
const BUILD_OOM_SCORE: i32 = 900;
/// How much a build yields.
const BUILD_NICE: i32 = 10;

/// What the engine has got ready for a dyno.
#[derive(Debug)]
pub(crate) struct Surroundings<'start> {
    pub(crate) directory: PathBuf,
    pub(crate) stack: &'start OwnStack,
    pub(crate) network: &'start DynoNetwork,
    pub(crate) identity: Identity,
    pub(crate) cgroup: Place,
    pub(crate) shim_cgroup: Place,
    pub(crate) views: Vec<View>,
    pub(crate) handed_in: &'start HandedIn,
    pub(crate) seccomp: &'start [u64],
    pub(crate) fixtures: Option<&'start Fixtures>,
    /// What it took to get them ready.
    pub(crate) phases: Vec<StartPhase>,
}

/// Everything the shim must know.
///
/// # Errors
/// Those of serialising the notes, which does not fail.
pub(crate) fn request(
    spec: DynoSpec,
    around: Surroundings<'_>,
) -> serde_json::Result<StartRequest> {
    let notes = serde_json::to_string(&notes(&spec, around.network, around.phases))?;
    let rank = match spec.kind {
        DynoKind::Build => Rank {
            nice: BUILD_NICE,
            oom_score: BUILD_OOM_SCORE,
        },
        DynoKind::Formation | DynoKind::OneOff | DynoKind::Release => Rank {
            nice: 0,
            oom_score: OOM_SCORE,
        },
    };
    Ok(StartRequest {
        directory: around.directory,
        hostname: spec.name.to_string(),
        environment: environment(&spec, around.handed_in),
        identity: around.identity,
        stdio: stdio(spec.stdio),
        root: Root {
            stack: around.stack.root.clone(),
            is_host: around.stack.is_host,
            fixtures: around.fixtures.map(|fixtures| fixtures.path.clone()),
            etc: around.handed_in.etc(
                // An image has accounts of its own, which only the shim can look at safely.
                spec.image.is_none().then_some(around.stack.root.as_path()),
                &spec.name,
                around.network.dyno_address.into(),
            ),
            tmp: match spec.kind {
                // Compilers fill it with what would not fit the dyno's memory.
                DynoKind::Build => Tmp::Disk,
                DynoKind::Formation | DynoKind::OneOff | DynoKind::Release => {
                    Tmp::Memory(spec.limits.memory_bytes)
                }
            },
            shared_memory_bytes: spec.limits.memory_bytes,
            binds: binds(&spec, around.views, around.handed_in),
            is_image: spec.image.is_some(),
            layers: spec.layers,
            capture: spec.capture,
        },
        working_directory: spec.image.map(|image| image.working_directory),
        command: spec.command,
        cgroup: around.cgroup,
        shim_cgroup: around.shim_cgroup,
        netns: (!around.identity.is_own()).then(|| around.network.netns.clone()),
        shares_network: around.identity.is_own(),
        rank,
        open_files: spec.limits.open_files,
        // A dyno over its limit is ended at the next look; until then one file stays bounded.
        file_bytes: spec.limits.disk_bytes.map(|bytes| bytes.saturating_mul(2)),
        // A build waits for its log, which is told whole.
        log_lines_per_second: (spec.kind != DynoKind::Build)
            .then_some(spec.limits.log_lines_per_second),
        is_restarted_unattended: spec.is_restarted_unattended,
        seccomp: around.seccomp.to_vec(),
        notes,
    })
}

/// The same in the shim's words.
pub(crate) fn stdio(stdio: Stdio) -> ShimStdio {
    match stdio {
        Stdio::Logged => ShimStdio::Logged,
        Stdio::Terminal { columns, lines } => ShimStdio::Terminal { columns, lines },
        Stdio::Pipes => ShimStdio::Pipes,
    }
}

fn notes(spec: &DynoSpec, network: &DynoNetwork, phases: Vec<StartPhase>) -> Notes {
    Notes {
        id: spec.id,
        app: spec.app,
        name: spec.name.clone(),
        kind: spec.kind,
        labels: spec.labels.clone(),
        port: spec.port,
        index: network.index,
        address: network.dyno_address.into(),
        is_logged: spec.stdio == Stdio::Logged,
        disk_limit: spec.limits.disk_bytes,
        capture: spec.capture.clone(),
        phases,
    }
}

fn environment(
    spec: &DynoSpec,
    handed_in: &HandedIn,
) -> std::collections::BTreeMap<String, String> {
    let mut environment = spec.env.clone();
    handed_in.add_to(spec.kind, &mut environment);
    if spec.image.is_none() || !environment.contains_key("HOME") {
        environment.insert("HOME".to_owned(), "/app".to_owned());
    }
    environment.insert("DYNO".to_owned(), spec.name.to_string());
    if let Some(port) = spec.port {
        environment.insert("PORT".to_owned(), port.to_string());
    }
    environment
}

fn binds(spec: &DynoSpec, views: Vec<View>, handed_in: &HandedIn) -> Vec<Bind> {
    let own = spec.binds.iter().map(|bind| Bind {
        source: bind.source.clone(),
        target: bind.target.clone(),
        access: if bind.is_writable {
            Access::ReadWrite
        } else {
            Access::ReadOnly
        },
    });
    let views = views.into_iter().map(|view| Bind {
        source: view.source,
        target: view.target,
        access: Access::Unmapped,
    });
    handed_in
        .binds()
        .iter()
        .cloned()
        .chain(views)
        .chain(own)
        .collect()
}
