//! What every engine must do, as checks that run against any of them.
//!
//! A check fails by panicking, as tests do. [`run_all`] runs all; a [`Fixture`] says what the
//! engine can start. The checks must not know which engine they look at. What an engine leaves
//! behind when a check fails is for the caller to remove.

mod attaching;
mod inside;
mod life;
mod output;
mod sleeping;

use std::{collections::BTreeMap, future::Future, path::PathBuf, time::Duration};

use api::{
    ids::{AppId, DynoId},
    names::StackName,
};

use crate::{
    Engine,
    report::{DynoExit, LogBatch, LogRecord},
    spec::{DynoKind, DynoSpec, Limits, Stdio},
};

/// How long anything may take before a check gives up.
const DEADLINE: Duration = Duration::from_mins(1);
/// How often a state is looked at that nothing tells about.
const POLL: Duration = Duration::from_millis(20);
/// Long enough for a command that obeys to end.
const LONG_GRACE: Duration = Duration::from_secs(30);
/// How many lines a simulated dyno prints that ticks.
const SIMULATED_TICKS: usize = 1_500;
/// The port of dynos that have one.
const PORT: u16 = 5000;

/// What the engine under test can start.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// A stack it has.
    pub stack: StackName,
    /// A stack it does not have.
    pub unknown_stack: StackName,
    /// Layers to start dynos with.
    pub layers: Vec<PathBuf>,
    /// The command that behaves so: [`Behaviour::in_shell`] or [`Behaviour::in_simulation`].
    pub command: fn(Behaviour) -> Vec<String>,
}

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Prints `one` and `two`, and `three` on standard error, then ends with 0.
    PrintLines,
    /// Ends with 3.
    ExitWithThree,
    /// Prints `ready`, then runs until SIGTERM ends it.
    Run,
    /// Prints `ready`, then runs and ignores SIGTERM.
    IgnoreTermination,
    /// Prints `ready`, then gives its input back until that ends.
    EchoInput,
    /// Answers HTTP on its port.
    Serve,
    /// Prints `ready`, then a line every 20 ms for half a minute at least.
    Tick,
}

impl Behaviour {
    /// For engines that run programs. Needs a shell, and Python to serve.
    pub fn in_shell(self) -> Vec<String> {
        let script = match self {
            Self::PrintLines => "echo one; echo two; echo three >&2",
            Self::ExitWithThree => "exit 3",
            Self::Run => "echo ready; exec sleep 600",
            Self::IgnoreTermination => "trap '' TERM; echo ready; while :; do sleep 1; done",
            Self::EchoInput => "echo ready; exec cat",
            Self::Serve => "exec python3 -m http.server --bind 0.0.0.0 \"$PORT\"",
            Self::Tick => "echo ready; while :; do sleep 0.02; echo tick; done",
        };
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    /// For the simulated engine.
    pub fn in_simulation(self) -> Vec<String> {
        let script = match self {
            Self::PrintLines => "print one; print two; warn three",
            Self::ExitWithThree => "exit 3",
            Self::Run => "print ready; hang",
            Self::IgnoreTermination => "trap; print ready; hang",
            Self::EchoInput => "print ready; cat",
            Self::Serve => "serve",
            Self::Tick => {
                let ticks = "sleep 0.02; print tick; ".repeat(SIMULATED_TICKS);
                return vec![format!("print ready; {ticks}hang")];
            }
        };
        vec![script.to_owned()]
    }
}

/// Runs every check, one after the other. The engine must move in real time.
pub async fn run_all(engine: &dyn Engine, fixture: &Fixture) {
    let subject = Subject { engine, fixture };
    life::starts_lists_and_removes(&subject).await;
    life::hands_an_id_out_once(&subject).await;
    life::tells_the_exit_code(&subject).await;
    life::stops_what_obeys(&subject).await;
    life::kills_what_does_not(&subject).await;
    life::refuses_unknown_ids(&subject).await;
    life::refuses_unknown_stacks(&subject).await;
    life::starts_many_at_once(&subject).await;
    output::keeps_lines_in_order(&subject).await;
    output::waits_for_lines(&subject).await;
    output::sees_a_port_answer(&subject).await;
    output::sees_that_nothing_listens(&subject).await;
    attaching::gives_input_back(&subject).await;
    attaching::gives_a_terminal(&subject).await;
    attaching::hangs_up(&subject).await;
    attaching::attaches_once(&subject).await;
    inside::gives_input_back(&subject).await;
    inside::runs_several_at_once(&subject).await;
    inside::hangs_up(&subject).await;
    inside::ends_with_the_dyno(&subject).await;
    inside::refuses_what_does_not_run(&subject).await;
    inside::connects_to_a_port(&subject).await;
    inside::wakes_the_dyno(&subject).await;
    sleeping::sleeps_and_wakes(&subject).await;
    sleeping::is_not_put_to_sleep_after_a_wake(&subject).await;
    sleeping::is_woken_by_anybody(&subject).await;
    sleeping::stops_in_its_sleep(&subject).await;
}

/// An engine and what it can start.
struct Subject<'a> {
    engine: &'a dyn Engine,
    fixture: &'a Fixture,
}

impl Subject<'_> {
    /// A dyno that behaves so.
    fn spec(&self, behaviour: Behaviour, stdio: Stdio) -> DynoSpec {
        let name = "web.1".parse().expect("it is a dyno's name");
        let labels = [("release", "v7"), ("note", "kept = as it is\n")];
        DynoSpec {
            id: DynoId::new(),
            app: AppId::new(),
            name,
            kind: DynoKind::Formation,
            stack: self.fixture.stack.clone(),
            layers: self.fixture.layers.clone(),
            image: None,
            capture: None,
            binds: Vec::new(),
            command: (self.fixture.command)(behaviour),
            env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
            port: (behaviour == Behaviour::Serve).then_some(PORT),
            limits: Limits {
                memory_bytes: 256 << 20,
                cpu_weight: 100,
                pids: 64,
                ..Limits::default()
            },
            stdio,
            is_restarted_unattended: false,
            labels: labels
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        }
    }

    /// Starts a dyno that behaves so.
    async fn start(&self, behaviour: Behaviour, stdio: Stdio) -> DynoId {
        let spec = self.spec(behaviour, stdio);
        let id = spec.id;
        soon(self.engine.start(spec)).await.expect("a dyno starts");
        id
    }

    async fn wait(&self, id: DynoId) -> DynoExit {
        soon(self.engine.wait(id))
            .await
            .expect("a dyno that was started ends")
    }

    async fn stop(&self, id: DynoId, grace: Duration) -> DynoExit {
        soon(self.engine.stop(id, grace))
            .await
            .expect("a dyno that was started can be stopped")
    }

    /// Stops and removes.
    async fn clear(&self, id: DynoId) {
        self.stop(id, Duration::ZERO).await;
        soon(self.engine.remove(id))
            .await
            .expect("an ended dyno can be removed");
    }

    async fn read_log(&self, id: DynoId, after: u64) -> LogBatch {
        soon(self.engine.read_log(id, after))
            .await
            .expect("a started dyno has a log")
    }

    /// Waits for the line that says that the command is set up.
    async fn ready(&self, id: DynoId) {
        let batch = self.read_log(id, 0).await;
        assert_eq!(
            batch.records.first().map(|record| record.text.as_str()),
            Some("ready")
        );
    }

    /// All lines until the dyno's end.
    async fn whole_log(&self, id: DynoId) -> Vec<LogRecord> {
        let mut records: Vec<LogRecord> = Vec::new();
        loop {
            let after = records.last().map_or(0, |record| record.sequence);
            let batch = self.read_log(id, after).await;
            assert!(
                batch.ended || !batch.records.is_empty(),
                "an empty batch before the end"
            );
            records.extend(batch.records);
            if batch.ended {
                return records;
            }
        }
    }
}

/// The outcome, which must come before the deadline.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("it comes before the deadline")
}
