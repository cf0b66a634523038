//! `landfall bench:dyno-start`: how long it takes from starting a dyno to its first answer.
//!
//! Each line of its input starts one dyno; each line of its output says what that took, as
//! `{"seconds": 0.007, "phases": [["mount the layers", 212], …]}` with microseconds. For
//! `cargo xtask bench dyno-start`, which compares with other ways to start a program, in turns.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};
use api::ids::{AppId, DynoId};
use engine::{Bind, DynoKind, DynoSpec, Engine, Limits, Probe, Stdio};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    time::Instant,
};

use super::say;
use crate::{
    config::{Choices, Config},
    wiring,
};

/// Longest wait for one dyno.
const PATIENCE: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_millis(10);
/// Between two looks whether it answers.
const PAUSE: Duration = Duration::from_micros(200);
const PORT: u16 = 5000;
/// Where the program is inside the dyno.
const INSIDE: &str = "/run/program";

/// Arguments of `landfall bench:dyno-start`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    choices: Choices,
    /// A static program of the host that serves HTTP on $PORT
    #[arg(long)]
    program: PathBuf,
}

/// Measures, and leaves nothing behind.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let config = super::config(arguments.choices.clone())?;
    super::start_logging(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let engine = wiring::open_engine(&config).await?;
        let measured = measure(engine.as_ref(), &config, arguments).await;
        engine
            .remove_everything()
            .await
            .context("cannot remove everything")?;
        measured
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(engine: &dyn Engine, config: &Config, arguments: &Arguments) -> Result<()> {
    let mut asked = BufReader::new(tokio::io::stdin()).lines();
    while asked.next_line().await?.is_some() {
        let spec = spec(config, arguments)?;
        let id = spec.id;
        let started = Instant::now();
        engine.start(spec).await.context("cannot start a dyno")?;
        while !matches!(
            engine
                .probe(id, &engine::Question::default(), PATIENCE)
                .await?,
            Probe::Answered { status: Some(200) }
        ) {
            if started.elapsed() > PATIENCE {
                bail!("dyno {id} does not answer");
            }
            pause();
        }
        let seconds = started.elapsed().as_secs_f64();
        let trace = engine.inspect(id).await?.start_trace;
        let phases: Vec<(String, u64)> = trace
            .into_iter()
            .map(|phase| (phase.name, phase.micros))
            .collect();
        say(json!({"seconds": seconds, "phases": phases}));
        engine.stop(id, GRACE).await?;
        engine.remove(id).await?;
    }
    Ok(())
}

/// As long as the other ways to start the program are given between two looks.
#[expect(
    clippy::disallowed_methods,
    reason = "the runtime's clock ticks in milliseconds, a fifth of a start"
)]
fn pause() {
    tokio::task::block_in_place(|| std::thread::sleep(PAUSE));
}

fn spec(config: &Config, arguments: &Arguments) -> Result<DynoSpec> {
    Ok(DynoSpec {
        id: DynoId::new(),
        app: AppId::new(),
        name: "web.1".parse()?,
        kind: DynoKind::Formation,
        stack: config.stack.clone(),
        layers: Vec::new(),
        image: None,
        capture: None,
        binds: vec![Bind {
            source: arguments.program.clone(),
            target: INSIDE.into(),
            is_writable: false,
        }],
        command: vec![INSIDE.to_owned()],
        env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        port: Some(PORT),
        limits: Limits {
            memory_bytes: 512 << 20,
            cpu_weight: 100,
            pids: 256,
            ..Limits::default()
        },
        stdio: Stdio::Logged,
        is_restarted_unattended: false,
        labels: BTreeMap::new(),
    })
}
