//! The simulated engine: it conforms, follows its clock and its seed, and fails when told to.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set its stage up has failed"
)]

use std::{collections::BTreeMap, time::Duration};

use api::{
    clock::{Clock, Time},
    ids::{AppId, DynoId},
};
use engine::{
    DynoExit, DynoKind, DynoSpec, DynoState, Engine, EngineError, Limits, Probe, Question, Stdio,
    conformance::{self, Behaviour, Fixture},
    sim::{SimConfig, SimEngine},
};

fn spec(command: &str) -> DynoSpec {
    DynoSpec {
        id: DynoId::new(),
        app: AppId::new(),
        name: "web.1".parse().unwrap(),
        kind: DynoKind::Formation,
        stack: "landfall-13".parse().unwrap(),
        layers: Vec::new(),
        image: None,
        capture: None,
        binds: Vec::new(),
        command: vec![command.to_owned()],
        env: BTreeMap::new(),
        port: Some(5000),
        limits: Limits {
            memory_bytes: 512 << 20,
            cpu_weight: 100,
            pids: 256,
            ..Limits::default()
        },
        stdio: Stdio::Logged,
        is_restarted_unattended: false,
        labels: BTreeMap::new(),
    }
}

fn simulated(seed: u64, boot: Duration) -> (SimEngine, Clock) {
    let clock = Clock::simulated(Time::from_micros(0));
    let config = SimConfig {
        clock: clock.clone(),
        seed,
        boot,
        ..SimConfig::default()
    };
    (SimEngine::new(config), clock)
}

async fn start(engine: &SimEngine, command: &str) -> DynoId {
    let spec = spec(command);
    let id = spec.id;
    engine.start(spec).await.unwrap();
    id
}

async fn probe(engine: &SimEngine, id: DynoId) -> Probe {
    engine
        .probe(id, &Question::default(), Duration::ZERO)
        .await
        .unwrap()
}

async fn exit_of(engine: &SimEngine, id: DynoId) -> Option<DynoExit> {
    match engine.inspect(id).await.unwrap().state {
        DynoState::Running => None,
        DynoState::Ended(exit) => Some(exit),
    }
}

#[tokio::test]
async fn the_simulated_engine_conforms() {
    let stack: api::names::StackName = "landfall-13".parse().unwrap();
    let config = SimConfig {
        stacks: vec![stack.clone()],
        ..SimConfig::default()
    };
    let fixture = Fixture {
        stack,
        unknown_stack: "heroku-99".parse().unwrap(),
        layers: Vec::new(),
        command: Behaviour::in_simulation,
    };
    conformance::run_all(&SimEngine::new(config), &fixture).await;
}

#[tokio::test]
async fn scripts_follow_the_clock() {
    let (engine, clock) = simulated(0, Duration::ZERO);
    let id = start(
        &engine,
        "print booting; sleep 2; serve; sleep 10; warn oh; exit 1",
    )
    .await;
    assert_eq!(probe(&engine, id).await, Probe::Refused);
    clock.advance(Duration::from_secs(2));
    assert_eq!(
        probe(&engine, id).await,
        Probe::Answered { status: Some(200) }
    );
    assert_eq!(exit_of(&engine, id).await, None);
    clock.advance(Duration::from_secs(100));
    let exit = exit_of(&engine, id).await.unwrap();
    assert_eq!(
        (exit.code, exit.at),
        (Some(1), Time::from_micros(12_000_000)),
        "when it was due"
    );
    assert_eq!(probe(&engine, id).await, Probe::Refused);
    let log = engine.read_log(id, 1).await.unwrap();
    assert_eq!(
        (log.records[0].text.as_str(), log.records[0].at),
        ("oh", exit.at)
    );
}

#[tokio::test]
async fn waiting_sees_the_clock_move() {
    let (engine, clock) = simulated(0, Duration::ZERO);
    let id = start(&engine, "trap; hang").await;
    let stopping = engine.stop(id, Duration::from_secs(30));
    let advancing = async {
        tokio::task::yield_now().await;
        assert_eq!(exit_of(&engine, id).await, None, "it ignores SIGTERM");
        clock.advance(Duration::from_secs(30));
    };
    let (exit, ()) = tokio::join!(stopping, advancing);
    assert_eq!(exit.unwrap().signal, Some(9));
}

/// When each of some dynos begins to answer, in tenths of a second.
async fn boots(seed: u64) -> Vec<u32> {
    let (engine, clock) = simulated(seed, Duration::from_secs(5));
    let mut booting = Vec::new();
    for _ in 0..8 {
        booting.push(start(&engine, "serve").await);
    }
    let mut tenths = Vec::new();
    for id in booting {
        let mut tenth = 0;
        while probe(&engine, id).await == Probe::Refused {
            clock.advance(Duration::from_millis(100));
            tenth += 1;
        }
        tenths.push(tenth);
    }
    tenths
}

#[tokio::test]
async fn the_seed_chooses_boot_times() {
    assert_eq!(boots(7).await, boots(7).await);
    assert_ne!(boots(7).await, boots(8).await);
}

#[tokio::test]
async fn faults_are_seen() {
    let (engine, _clock) = simulated(0, Duration::ZERO);
    let (lost, killed, left) = (
        start(&engine, "serve").await,
        start(&engine, "serve").await,
        start(&engine, "hang").await,
    );
    engine.lose(lost);
    engine.kill(killed, 11);
    let exhausted = start(&engine, "exhaust").await;
    assert!(exit_of(&engine, lost).await.unwrap().is_lost);
    assert_eq!(exit_of(&engine, killed).await.unwrap().status(), 139);
    assert!(exit_of(&engine, exhausted).await.unwrap().is_out_of_memory);
    assert_eq!(exit_of(&engine, left).await, None);
    engine.restart_host();
    assert!(exit_of(&engine, left).await.unwrap().is_lost);
    assert_eq!(
        exit_of(&engine, killed).await.unwrap().status(),
        139,
        "it had ended before"
    );

    engine.refuse_starts(1);
    let refused = engine.start(spec("serve")).await;
    assert!(matches!(refused, Err(EngineError::Start { .. })));
    start(&engine, "serve").await;
}
