//! Tables for the planner of sleep.

use api::names::ProcessType;

use super::*;
use crate::plan::{FormationView, ReleaseView};

const IDLE: Duration = Duration::from_mins(30);
const STOP_AFTER: Duration = Duration::from_hours(4);

fn kind(text: &str) -> ProcessType {
    text.parse().unwrap()
}

pub(super) fn at(seconds: u64) -> Time {
    Time::default().after(Duration::from_secs(seconds))
}

fn release() -> ReleaseView {
    let types = ["web", "worker"].map(|name| (kind(name), format!("run {name}")));
    ReleaseView {
        startup: BTreeMap::new(),
        id: api::ids::ReleaseId::new(),
        version: 4,
        has_slug: true,
        process_types: types.into(),
    }
}

fn dyno(release: &ReleaseView, process_type: &str, number: u32) -> DynoView {
    DynoView {
        is_ready: true,
        id: DynoId::new(),
        release: release.id,
        process_type: kind(process_type),
        number,
        size: crate::sizes::DEFAULT_SIZE.to_owned(),
        is_release_phase: false,
        stage: Stage::Up,
        is_retired: false,
        since: Time::default(),
        crash_count: 0,
    }
}

fn one(quantity: u32) -> FormationView {
    FormationView {
        quantity,
        size: crate::sizes::DEFAULT_SIZE.to_owned(),
    }
}

fn seen(is_frozen: bool) -> DynoSleep {
    DynoSleep {
        is_frozen,
        ticket: 0,
        waker: Some("waker".into()),
        is_idle: is_frozen,
    }
}

/// Two web dynos and a worker that run, without a request so far.
pub(super) fn app(state: SleepState, ticket: u64) -> AppState {
    let release = release();
    let dynos = [("web", 1), ("web", 2), ("worker", 1)]
        .map(|(process_type, number)| dyno(&release, process_type, number));
    let mut sleep = SleepView::awake(AppId::new());
    sleep.row.state = state;
    sleep.row.ticket = ticket;
    sleep.idle = Some(IDLE);
    sleep.stop_after = Some(STOP_AFTER);
    sleep.heard.is_router_connected = true;
    sleep.heard.ticket = ticket;
    let is_frozen = state == SleepState::Frozen;
    sleep.dynos = dynos
        .iter()
        .map(|dyno| (dyno.id, seen(is_frozen)))
        .collect();
    AppState {
        name: "example".parse().unwrap(),
        current: Some(release),
        pending: None,
        formation: [(kind("web"), one(2)), (kind("worker"), one(1))].into(),
        dynos: dynos.into(),
        boot_timeout: Duration::from_mins(1),
        boots_at_once: 2,
        cycle_every: None,
        sleep,
    }
}

fn check(app: &AppState, now: Time, expected: impl Into<Option<SleepStep>>) {
    assert_eq!(next(app, now).0, expected.into());
}

fn wake(cause: &str) -> SleepStep {
    let cause = cause.to_owned();
    SleepStep::Wake { cause }
}

fn scale(app: &mut AppState, process_type: &str, quantity: u32) {
    app.formation.insert(kind(process_type), one(quantity));
}

fn rested(app: &mut AppState, count: usize) {
    let web: Vec<DynoId> = answering(app)
        .iter()
        .map(|dyno| dyno.id)
        .take(count)
        .collect();
    let ticket = app.sleep.row.ticket;
    app.sleep.heard.resting = web.into_iter().map(|id| (id, ticket)).collect();
}

#[test]
fn an_app_rests_when_it_has_had_no_request_for_long_enough() {
    let mut idle = app(SleepState::Awake, 7);
    let due = at(1800);
    assert_eq!(next(&idle, at(1799)), (None, Some(due)));
    let rest = SleepStep::Rest {
        ticket: 1_800_000_000,
        cause: "no request for 30 minutes".to_owned(),
    };
    check(&idle, due, Some(rest));
    idle.sleep.heard.last_request_at = Some(at(60));
    assert_eq!(next(&idle, due), (None, Some(at(1860))));
    idle.sleep.row.ticket = u64::MAX / 4;
    let Some(SleepStep::Rest { ticket, .. }) = next(&idle, at(1860)).0 else {
        panic!("it rests");
    };
    assert_eq!(
        ticket,
        u64::MAX / 4 + 1,
        "tickets rise, whatever the clock says"
    );
}

#[test]
fn an_app_that_is_used_or_changes_does_not_rest() {
    let late = at(100_000);
    let stays = |change: fn(&mut AppState)| {
        let mut app = app(SleepState::Awake, 7);
        change(&mut app);
        check(&app, late, None);
    };
    stays(|app| app.sleep.idle = None);
    stays(|app| app.sleep.heard.in_flight = 1);
    stays(|app| app.sleep.heard.is_router_connected = false);
    stays(|app| app.sleep.is_visited = true);
    stays(|app| app.pending = Some(release()));
    stays(|app| app.dynos[1].stage = Stage::Starting);
    stays(|app| app.dynos[2].is_retired = true);
    stays(|app| scale(app, "web", 0));
    stays(|app| {
        scale(app, "worker", 2);
    });
    stays(|app| app.current = None);
    stays(|app| {
        let workers_only = |kind: &ProcessType, _: &mut String| !kind.is_web();
        app.current
            .as_mut()
            .unwrap()
            .process_types
            .retain(workers_only);
        app.dynos.retain(|dyno| !dyno.process_type.is_web());
    });
    stays(|app| {
        let dyno = app.dynos[0].id;
        app.sleep.dynos.get_mut(&dyno).unwrap().waker = None;
    });
}

#[test]
fn dynos_are_frozen_when_every_web_dyno_rests_and_not_before() {
    let mut resting = app(SleepState::Resting, 7);
    check(&resting, at(1), None);
    rested(&mut resting, 1);
    check(&resting, at(1), None);
    rested(&mut resting, 2);
    check(&resting, at(1), Some(SleepStep::Freeze));
    for ticket in resting.sleep.heard.resting.values_mut() {
        *ticket = 6;
    }
    check(&resting, at(1), None);
}

#[test]
fn whoever_comes_while_an_app_rests_keeps_it_awake() {
    let mut resting = app(SleepState::Resting, 7);
    rested(&mut resting, 2);
    resting.sleep.heard.woken = Some((6, "woken by GET /old".to_owned()));
    check(&resting, at(1), Some(SleepStep::Freeze));
    resting.sleep.heard.woken = Some((7, "woken by GET /".to_owned()));
    check(&resting, at(1), wake("woken by GET /"));
    let mut deployed = app(SleepState::Resting, 7);
    deployed.pending = Some(release());
    check(&deployed, at(1), wake("a release is on its way"));
    let mut visited = app(SleepState::Resting, 7);
    visited.sleep.is_visited = true;
    check(&visited, at(1), wake("a one-off dyno or a session is open"));
}

#[test]
fn a_word_that_was_lost_is_asked_for_with_a_new_ticket() {
    let is_again = |app: &AppState, now| matches!(next(app, now).0, Some(SleepStep::Rest { .. }));
    let mut restarted = app(SleepState::Resting, 7);
    restarted.sleep.heard.ticket = 0;
    assert!(is_again(&restarted, at(1)));
    restarted.sleep.heard.is_router_connected = false;
    check(&restarted, at(1), None);
    let mut silent = app(SleepState::Resting, 7);
    rested(&mut silent, 1);
    check(&silent, at(59), None);
    assert!(is_again(&silent, at(60)));
    silent.sleep.heard.in_flight = 1;
    check(&silent, at(600), None);
    silent.sleep.heard.in_flight = 0;
    silent.sleep.heard.last_request_at = Some(at(30));
    check(&silent, at(600), wake(UNTOLD));
}

#[test]
fn a_frozen_app_wakes_for_every_reason_there_is() {
    let now = at(10);
    check(&app(SleepState::Frozen, 7), now, None);
    let wakes = |cause: &str, change: fn(&mut AppState)| {
        let mut app = app(SleepState::Frozen, 7);
        change(&mut app);
        check(&app, now, wake(cause));
    };
    wakes("woken by GET /", |app| {
        app.sleep.heard.woken = Some((7, "woken by GET /".to_owned()));
    });
    wakes("woken by me", |app| {
        app.sleep.heard.wish = Some((1, "woken by me".to_owned()));
    });
    wakes(UNTOLD, |app| {
        let dyno = app.dynos[0].id;
        app.sleep.dynos.insert(dyno, seen(false));
    });
    wakes("a release is on its way", |app| {
        app.pending = Some(release());
    });
    wakes("a dyno starts or stops", |app| {
        let successor = dyno(app.current.as_ref().unwrap(), "web", 1);
        app.dynos.push(DynoView {
            stage: Stage::Recorded,
            ..successor
        });
    });
    wakes("its formation was changed", |app| {
        scale(app, "web", 1);
    });
    wakes("it has no web dynos", |app| {
        scale(app, "web", 0);
    });
}

#[test]
fn an_open_one_off_dyno_does_not_wake_an_app() {
    let mut frozen = app(SleepState::Frozen, 7);
    frozen.sleep.is_visited = true;
    check(&frozen, at(10), None);
}

#[test]
fn a_frozen_app_is_stopped_after_hours_or_when_its_dynos_are_gone() {
    let stop = |cause: &str| {
        let cause = cause.to_owned();
        Some(SleepStep::Stop { cause })
    };
    let mut frozen = app(SleepState::Frozen, 7);
    let due = at(4 * 3600);
    assert_eq!(next(&frozen, at(10)), (None, Some(due)));
    check(&frozen, due, stop("asleep for 4 hours"));
    frozen.dynos[0].stage = Stage::Ended {
        status: 137,
        is_out_of_memory: false,
    };
    check(&frozen, at(10), stop("its dynos ended while it was asleep"));
    frozen.sleep.stop_after = None;
    check(&frozen, at(10), wake("a dyno starts or stops"));
    check(&app(SleepState::Stopped, 7), at(1_000_000), None);
}

#[test]
fn a_stopped_app_wants_no_dynos_until_it_wakes() {
    let mut stopped = app(SleepState::Stopped, 7);
    let retired = |step: &crate::plan::Step| matches!(step, crate::plan::Step::Retire(_));
    let plan = crate::plan::plan(&stopped, at(10));
    assert!(
        plan.steps.len() == 3 && plan.steps.iter().all(retired),
        "{plan:?}"
    );
    stopped.dynos.clear();
    assert_eq!(crate::plan::plan(&stopped, at(10)).steps, []);
    assert_eq!(stopped.slots().len(), 3);
    let wakes = |cause: &str, change: fn(&mut AppState)| {
        let mut app = app(SleepState::Stopped, 7);
        app.sleep.row.since = at(100);
        app.dynos.clear();
        change(&mut app);
        check(&app, at(200), wake(cause));
    };
    wakes("woken by GET /", |app| {
        app.sleep.heard.wish = Some((1, "woken by GET /".to_owned()));
    });
    wakes(UNTOLD, |app| {
        app.sleep.heard.last_request_at = Some(at(101));
    });
    wakes(UNTOLD, |app| app.sleep.heard.in_flight = 1);
    wakes("release v4", |app| {
        app.pending = Some(release());
    });
    wakes("a dyno was started", |app| {
        let successor = dyno(app.current.as_ref().unwrap(), "web", 1);
        app.dynos.push(DynoView {
            stage: Stage::Recorded,
            ..successor
        });
    });
    stopped.sleep.heard.last_request_at = Some(Time::default());
    check(&stopped, at(200), None);
}

#[test]
fn an_app_that_is_awake_has_no_frozen_dynos_and_learns_what_woke_it() {
    let mut awake = app(SleepState::Awake, 7);
    let dyno = awake.dynos[2].id;
    awake.sleep.dynos.insert(dyno, seen(true));
    check(&awake, at(1), Some(SleepStep::Thaw));
    let mut awake = app(SleepState::Awake, 7);
    awake.sleep.heard.woken = Some((7, "woken by GET /".to_owned()));
    awake.sleep.row.wake_cause = Some("woken by me".to_owned());
    check(&awake, at(1), None);
    awake.sleep.row.wake_cause = Some(UNTOLD.to_owned());
    let cause = "woken by GET /".to_owned();
    check(&awake, at(1), Some(SleepStep::Explain { cause }));
}

#[test]
fn routes_carry_tickets_while_an_app_may_be_frozen() {
    let tickets = |state| {
        let app = app(state, 7);
        let ticket = |dyno: &DynoView| app.sleep.ticket(dyno.id).map(|(ticket, _)| ticket);
        app.dynos.iter().filter_map(ticket).collect::<Vec<_>>()
    };
    assert!(tickets(SleepState::Awake).is_empty());
    assert_eq!(tickets(SleepState::Resting), [7, 7, 7]);
    assert_eq!(tickets(SleepState::Frozen), [7, 7, 7]);
    assert!(tickets(SleepState::Stopped).is_empty());
}

#[test]
fn an_app_that_sleeps_is_not_cycled() {
    let cycled = |state| {
        let mut app = app(state, 7);
        app.cycle_every = Some(Duration::from_hours(24));
        !crate::plan::plan(&app, at(1_000_000)).steps.is_empty()
    };
    assert!(cycled(SleepState::Awake));
    assert!(!cycled(SleepState::Resting));
    assert!(!cycled(SleepState::Frozen));
}

#[test]
fn times_in_words() {
    let check = |seconds, expected| assert_eq!(words(Duration::from_secs(seconds)), expected);
    check(1, "1 second");
    check(90, "1 minute");
    check(1800, "30 minutes");
    check(14_400, "4 hours");
}
