//! Starts dynos by the engine and the shim of an earlier build, and goes away: `start DATA CACHE
//! SHIM`, then scripts, of which one that begins with `|` has pipes. Prints their ids.
//!
//! `older.rs` lays this file into the sources of that build as an example; it is no part of this
//! one, and uses the engine as it was then.

use std::collections::BTreeMap;

use api::ids::{AppId, DynoId};
use engine::{DynoKind, DynoSpec, Engine, Limits, Stdio};
use engine_local::{LocalEngine, LocalEngineConfig, stacks};

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut path = || arguments.next().expect("three paths").into();
    let mut config = LocalEngineConfig::new(path(), path(), path());
    config.network.pool_size = 1;
    let engine = LocalEngine::open(config).await.expect("it opens");
    for script in arguments {
        let (script, stdio) = match script.strip_prefix('|') {
            Some(script) => (script.to_owned(), Stdio::Pipes),
            None => (script, Stdio::Logged),
        };
        let id = DynoId::new();
        let spec = DynoSpec {
            id,
            app: AppId::new(),
            name: "web.1".parse().expect("a name"),
            kind: DynoKind::Formation,
            stack: stacks::DEFAULT_STACK.parse().expect("a name"),
            layers: Vec::new(),
            capture: None,
            binds: Vec::new(),
            command: vec!["sh".to_owned(), "-c".to_owned(), script],
            env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
            port: None,
            limits: Limits {
                memory_bytes: 128 << 20,
                cpu_weight: 100,
                pids: 64,
            },
            stdio,
            labels: BTreeMap::new(),
        };
        engine.start(spec).await.expect("it starts");
        println!("{id}");
    }
}
