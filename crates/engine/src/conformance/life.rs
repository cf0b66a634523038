//! Starting, ending, stopping and removing.

use std::time::Duration;

use api::ids::DynoId;
use futures_util::future::join_all;

use super::{Behaviour, LONG_GRACE, Subject, soon};
use crate::{
    EngineError,
    report::{DynoState, Question},
    spec::Stdio,
};

pub(super) async fn starts_lists_and_removes(subject: &Subject<'_>) {
    let engine = subject.engine;
    let spec = subject.spec(Behaviour::Run, Stdio::Logged);
    let id = spec.id;
    soon(engine.start(spec.clone()))
        .await
        .expect("a dyno starts");

    let report = soon(engine.inspect(id))
        .await
        .expect("a started dyno is known");
    assert_eq!(
        (
            report.id,
            report.app,
            &report.name,
            report.kind,
            report.port
        ),
        (id, spec.app, &spec.name, spec.kind, None)
    );
    assert_eq!(report.labels, spec.labels, "labels come back unchanged");
    assert_eq!(report.state, DynoState::Running);
    let listed = soon(engine.list()).await.expect("dynos can be listed");
    let ours: Vec<_> = listed.iter().filter(|report| report.id == id).collect();
    assert_eq!(ours.len(), 1, "it is listed once");
    assert_eq!(ours[0].labels, spec.labels);

    let refused = soon(engine.remove(id)).await;
    assert!(matches!(refused, Err(EngineError::StillRunning(refused)) if refused == id));
    assert_eq!(
        soon(engine.inspect(id)).await.expect("still known").state,
        DynoState::Running
    );

    let exit = subject.stop(id, LONG_GRACE).await;
    let report = soon(engine.inspect(id))
        .await
        .expect("an ended dyno is known until removed");
    assert_eq!(report.state, DynoState::Ended(exit));
    assert_eq!(report.labels, spec.labels);
    soon(engine.remove(id))
        .await
        .expect("an ended dyno can be removed");
    assert!(matches!(
        soon(engine.inspect(id)).await,
        Err(EngineError::UnknownDyno(_))
    ));
    let listed = soon(engine.list()).await.expect("dynos can be listed");
    assert!(
        !listed.iter().any(|report| report.id == id),
        "a removed dyno is not listed"
    );
    soon(engine.remove(id))
        .await
        .expect("removing it again succeeds");
}

pub(super) async fn hands_an_id_out_once(subject: &Subject<'_>) {
    let spec = subject.spec(Behaviour::ExitWithThree, Stdio::Logged);
    let id = spec.id;
    soon(subject.engine.start(spec.clone()))
        .await
        .expect("a dyno starts");
    let again = soon(subject.engine.start(spec.clone())).await;
    assert!(matches!(again, Err(EngineError::AlreadyExists(refused)) if refused == id));
    subject.wait(id).await;
    let ended = soon(subject.engine.start(spec)).await;
    assert!(
        matches!(ended, Err(EngineError::AlreadyExists(_))),
        "nor when it has ended"
    );
    subject.clear(id).await;
}

pub(super) async fn tells_the_exit_code(subject: &Subject<'_>) {
    let id = subject.start(Behaviour::ExitWithThree, Stdio::Logged).await;
    let exit = subject.wait(id).await;
    assert_eq!((exit.code, exit.signal, exit.status()), (Some(3), None, 3));
    assert!(!exit.is_success() && !exit.is_lost && !exit.is_out_of_memory);
    assert_eq!(subject.wait(id).await, exit, "waiting again gives the same");
    assert_eq!(
        subject.stop(id, LONG_GRACE).await,
        exit,
        "stopping changes nothing"
    );
    let report = soon(subject.engine.inspect(id)).await.expect("it is known");
    assert!(exit.at >= report.started_at, "it ends after its start");
    subject.clear(id).await;
}

pub(super) async fn stops_what_obeys(subject: &Subject<'_>) {
    let id = subject.start(Behaviour::Run, Stdio::Logged).await;
    subject.ready(id).await;
    let exit = subject.stop(id, LONG_GRACE).await;
    assert_eq!(exit.status(), 128 + 15, "SIGTERM was enough");
    assert!(!exit.is_lost);
    assert_eq!(subject.wait(id).await, exit);
    subject.clear(id).await;
}

pub(super) async fn kills_what_does_not(subject: &Subject<'_>) {
    let id = subject
        .start(Behaviour::IgnoreTermination, Stdio::Logged)
        .await;
    subject.ready(id).await;
    let exit = subject.stop(id, Duration::from_millis(200)).await;
    assert_eq!(exit.status(), 128 + 9, "SIGKILL was needed");
    assert!(!exit.is_lost && !exit.is_out_of_memory);
    assert!(exit.was_forced, "its grace ran out");
    subject.clear(id).await;
}

pub(super) async fn refuses_unknown_ids(subject: &Subject<'_>) {
    let (engine, id) = (subject.engine, DynoId::new());
    let zero = Duration::ZERO;
    let is_unknown = |error: Option<EngineError>| matches!(error, Some(EngineError::UnknownDyno(unknown)) if unknown == id);
    assert!(is_unknown(soon(engine.inspect(id)).await.err()), "inspect");
    assert!(is_unknown(soon(engine.wait(id)).await.err()), "wait");
    assert!(is_unknown(soon(engine.stop(id, zero)).await.err()), "stop");
    assert!(is_unknown(soon(engine.attach(id)).await.err()), "attach");
    assert!(
        is_unknown(soon(engine.read_log(id, 0)).await.err()),
        "read_log"
    );
    assert!(
        is_unknown(
            soon(engine.probe(id, &Question::default(), zero))
                .await
                .err()
        ),
        "probe"
    );
    assert!(
        is_unknown(soon(engine.listening(id)).await.err()),
        "listening"
    );
    assert!(is_unknown(soon(engine.freeze(id, 1)).await.err()), "freeze");
    assert!(is_unknown(soon(engine.thaw(id, 1)).await.err()), "thaw");
    soon(engine.remove(id))
        .await
        .expect("removing an unknown dyno succeeds");
}

pub(super) async fn refuses_unknown_stacks(subject: &Subject<'_>) {
    let mut spec = subject.spec(Behaviour::Run, Stdio::Logged);
    spec.stack = subject.fixture.unknown_stack.clone();
    let id = spec.id;
    let refused = soon(subject.engine.start(spec)).await;
    assert!(matches!(refused, Err(EngineError::UnknownStack(_))));
    let known = soon(subject.engine.inspect(id)).await;
    assert!(
        matches!(known, Err(EngineError::UnknownDyno(_))),
        "nothing is left of it"
    );
}

pub(super) async fn starts_many_at_once(subject: &Subject<'_>) {
    const MANY: usize = 5;
    let starts = (0..MANY).map(|_| subject.start(Behaviour::Run, Stdio::Logged));
    let ids = join_all(starts).await;
    let listed = soon(subject.engine.list())
        .await
        .expect("dynos can be listed");
    let ours: Vec<_> = listed
        .iter()
        .filter(|report| ids.contains(&report.id))
        .collect();
    assert_eq!(ours.len(), MANY);
    assert!(ours.iter().all(|report| report.state == DynoState::Running));
    let mut addresses: Vec<_> = ours.iter().filter_map(|report| report.address).collect();
    let found = addresses.len();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), found, "no two dynos share an address");
    join_all(ids.into_iter().map(|id| subject.clear(id))).await;
}
