//! Tables for the planner.

use std::collections::BTreeMap;

use super::*;

const BOOT: Duration = Duration::from_mins(1);

fn kind(text: &str) -> ProcessType {
    text.parse().unwrap()
}

pub(super) fn release(version: u64, types: &[&str]) -> ReleaseView {
    let process_types = types
        .iter()
        .map(|t| (kind(t), format!("run {t}")))
        .collect();
    ReleaseView {
        id: ReleaseId::new(),
        version,
        has_slug: true,
        process_types,
        startup: BTreeMap::new(),
    }
}

pub(super) fn dyno(release: &ReleaseView, name: &str, stage: Stage) -> DynoView {
    let (process_type, number) = name.split_once('.').unwrap();
    DynoView {
        id: DynoId::new(),
        release: release.id,
        process_type: kind(process_type),
        number: number.parse().unwrap(),
        size: crate::sizes::DEFAULT_SIZE.to_owned(),
        is_release_phase: process_type == "release",
        stage,
        is_retired: false,
        is_ready: true,
        since: Time::default(),
        crash_count: 0,
    }
}

pub(super) fn app(current: Option<&ReleaseView>, pending: Option<&ReleaseView>) -> AppState {
    AppState {
        name: "example".parse().unwrap(),
        current: current.cloned(),
        pending: pending.cloned(),
        formation: BTreeMap::new(),
        dynos: Vec::new(),
        boot_timeout: BOOT,
        boots_at_once: 2,
        cycle_every: None,
        sleep: SleepView::awake(api::ids::AppId::new()),
    }
}

pub(super) fn scaled(mut app: AppState, process_type: &str, quantity: u32) -> AppState {
    let size = crate::sizes::DEFAULT_SIZE.to_owned();
    app.formation
        .insert(kind(process_type), FormationView { quantity, size });
    app
}

fn with(mut app: AppState, dynos: &[&DynoView]) -> AppState {
    app.dynos = dynos.iter().map(|dyno| (*dyno).clone()).collect();
    app
}

fn check(app: &AppState, expected: &[Step]) {
    assert_eq!(plan(app, Time::default()).steps, expected);
}

fn recorded(release: &ReleaseView, name: &str, crash_count: u32) -> Step {
    let dyno = dyno(release, name, Stage::Recorded);
    Step::Record {
        release: release.id,
        process_type: dyno.process_type,
        number: dyno.number,
        size: dyno.size,
        crash_count,
    }
}

pub(super) const ENDED: Stage = Stage::Ended {
    status: 1,
    is_out_of_memory: false,
};

#[test]
fn a_release_without_processes_goes_live_at_once() {
    let first = release(1, &[]);
    check(&app(None, Some(&first)), &[Step::Succeed(first.id)]);
}

#[test]
fn the_release_phase_comes_before_any_web_dyno() {
    let new = release(2, &["release", "web"]);
    check(
        &app(None, Some(&new)),
        &[Step::RecordReleasePhase { release: new.id }],
    );
    let phase = dyno(&new, "release.1", Stage::Recorded);
    check(
        &with(app(None, Some(&new)), &[&phase]),
        &[Step::Start(phase.id)],
    );
    let phase = DynoView {
        stage: Stage::Starting,
        ..phase
    };
    check(&with(app(None, Some(&new)), &[&phase]), &[]);
    let done = Stage::Ended {
        status: 0,
        is_out_of_memory: false,
    };
    let phase = DynoView {
        stage: done,
        ..phase
    };
    check(
        &with(app(None, Some(&new)), &[&phase]),
        &[recorded(&new, "web.1", 0)],
    );
    let phase = DynoView {
        stage: ENDED,
        ..phase
    };
    let failure = Failure::ReleasePhase { status: 1 };
    check(
        &with(app(None, Some(&new)), &[&phase]),
        &[Step::Fail {
            release: new.id,
            failure,
        }],
    );
}

#[test]
fn a_new_release_boots_beside_the_old_one_and_takes_over_when_it_answers() {
    let old = release(1, &["web"]);
    let new = release(2, &["web"]);
    let serving = dyno(&old, "web.1", Stage::Up);
    let state = with(app(Some(&old), Some(&new)), &[&serving]);
    check(&state, &[recorded(&new, "web.1", 0)]);
    let candidate = dyno(&new, "web.1", Stage::Starting);
    check(&with(state.clone(), &[&serving, &candidate]), &[]);
    let candidate = DynoView {
        stage: Stage::Up,
        ..candidate
    };
    check(
        &with(state, &[&serving, &candidate]),
        &[Step::Succeed(new.id)],
    );
    check(
        &with(app(Some(&new), None), &[&serving, &candidate]),
        &[Step::Retire(serving.id)],
    );
}

#[test]
fn a_release_that_does_not_boot_fails_and_leaves_the_old_one() {
    let old = release(1, &["web"]);
    let new = release(2, &["web"]);
    let serving = dyno(&old, "web.1", Stage::Up);
    let candidate = dyno(&new, "web.1", ENDED);
    let failure = Failure::Crashed(candidate.id);
    check(
        &with(app(Some(&old), Some(&new)), &[&serving, &candidate]),
        &[Step::Fail {
            release: new.id,
            failure,
        }],
    );
    let slow = dyno(&new, "web.1", Stage::Starting);
    let state = with(app(Some(&old), Some(&new)), &[&serving, &slow]);
    assert_eq!(
        plan(&state, Time::default()).wake_at,
        Some(Time::default().after(BOOT))
    );
    let failure = Failure::BootTimeout(slow.id);
    assert_eq!(
        plan(&state, Time::default().after(BOOT)).steps,
        [Step::Fail {
            release: new.id,
            failure
        }]
    );
    check(
        &with(app(Some(&old), None), &[&serving, &candidate]),
        &[Step::Retire(candidate.id)],
    );
}

#[test]
fn two_dynos_of_a_worker_slot_never_run_at_once() {
    let old = release(1, &["worker"]);
    let new = release(2, &["worker"]);
    let state = scaled(app(Some(&new), None), "worker", 1);
    let running = dyno(&old, "worker.1", Stage::Up);
    check(
        &with(state.clone(), &[&running]),
        &[Step::Retire(running.id)],
    );
    let leaving = DynoView {
        is_retired: true,
        ..running
    };
    check(&with(state.clone(), &[&leaving]), &[Step::Stop(leaving.id)]);
    let gone = DynoView {
        stage: ENDED,
        ..leaving
    };
    check(
        &with(state, &[&gone]),
        &[Step::Forget(gone.id), recorded(&new, "worker.1", 0)],
    );
}

#[test]
fn scaling_adds_and_retires_by_number() {
    let current = release(1, &["web"]);
    let first = dyno(&current, "web.1", Stage::Up);
    let second = dyno(&current, "web.2", Stage::Up);
    let state = scaled(app(Some(&current), None), "web", 2);
    check(
        &with(state.clone(), &[&first]),
        &[recorded(&current, "web.2", 0)],
    );
    let state = scaled(state, "web", 1);
    check(
        &with(state.clone(), &[&first, &second]),
        &[Step::Retire(second.id)],
    );
    check(
        &with(scaled(state, "web", 0), &[&first]),
        &[Step::Retire(first.id)],
    );
}

#[test]
fn a_restarted_web_dyno_is_replaced_before_it_goes() {
    let current = release(1, &["web"]);
    let old = dyno(&current, "web.1", Stage::Up);
    let successor = dyno(&current, "web.1", Stage::Recorded);
    let state = app(Some(&current), None);
    check(
        &with(state.clone(), &[&old, &successor]),
        &[Step::Start(successor.id)],
    );
    let successor = DynoView {
        stage: Stage::Up,
        ..successor
    };
    check(&with(state, &[&old, &successor]), &[Step::Retire(old.id)]);
}

#[test]
fn a_crashed_dyno_is_started_again_after_a_growing_wait() {
    let current = release(1, &["web"]);
    let crashed = DynoView {
        crash_count: 3,
        ..dyno(&current, "web.1", ENDED)
    };
    let state = with(app(Some(&current), None), &[&crashed]);
    let due = Time::default().after(Duration::from_secs(4));
    let first = DynoView {
        crash_count: 1,
        ..dyno(&current, "web.1", ENDED)
    };
    let at_once = recorded(&current, "web.1", 1);
    check(&with(app(Some(&current), None), &[&first]), &[at_once]);
    assert_eq!(
        plan(&state, Time::default()),
        Plan {
            steps: vec![],
            wake_at: Some(due)
        }
    );
    assert_eq!(plan(&state, due).steps, [recorded(&current, "web.1", 3)]);
    let waits: Vec<u64> = (0..=10)
        .map(|crashes| dynos::crash_backoff(crashes).as_secs())
        .collect();
    assert_eq!(waits, [0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
    assert_eq!(dynos::crash_backoff(u32::MAX), Duration::from_mins(5));
    assert_eq!(dynos::next_crash_count(7, Duration::from_secs(90)), 1);
    assert_eq!(dynos::next_crash_count(7, Duration::from_secs(9)), 8);
}

#[test]
fn a_serving_dyno_that_never_answers_is_given_up() {
    let current = release(1, &["web"]);
    let slow = dyno(&current, "web.1", Stage::Starting);
    let state = with(app(Some(&current), None), &[&slow]);
    let due = Time::default().after(BOOT);
    assert_eq!(plan(&state, Time::default()).wake_at, Some(due));
    assert_eq!(plan(&state, due).steps, [Step::GiveUp(slow.id)]);
}

#[test]
fn a_startup_check_has_its_own_time_and_holds_for_any_type() {
    let mut current = release(1, &["web", "worker"]);
    current.startup = [
        (kind("web"), Duration::from_mins(5)),
        (kind("worker"), Duration::from_secs(10)),
    ]
    .into();
    let (web, worker) = (
        dyno(&current, "web.1", Stage::Starting),
        dyno(&current, "worker.1", Stage::Starting),
    );
    let state = scaled(app(Some(&current), None), "worker", 1);
    let state = with(state, &[&web, &worker]);
    let at = |seconds| Time::default().after(Duration::from_secs(seconds));
    assert_eq!(plan(&state, at(0)).wake_at, Some(at(10)));
    assert_eq!(plan(&state, at(61)).steps, [Step::GiveUp(worker.id)]);
    assert_eq!(plan(&state, at(300)).steps.len(), 2);
}

#[test]
fn a_resized_type_is_replaced() {
    let current = release(1, &["web"]);
    let small = dyno(&current, "web.1", Stage::Up);
    let mut state = with(app(Some(&current), None), &[&small]);
    let size = "standard-2x".to_owned();
    state.formation.insert(
        kind("web"),
        FormationView {
            quantity: 1,
            size: size.clone(),
        },
    );
    let Step::Record {
        release,
        process_type,
        number,
        crash_count,
        ..
    } = recorded(&current, "web.1", 0)
    else {
        unreachable!("recorded makes a Record step")
    };
    check(
        &state,
        &[Step::Record {
            release,
            process_type,
            number,
            size,
            crash_count,
        }],
    );
}

#[test]
fn a_few_dynos_boot_at_the_same_time() {
    assert_eq!(boots_at_once(1, 1), 2);
    assert_eq!(boots_at_once(8, 20), 8);
    assert_eq!(boots_at_once(2, 20), 5);
    let current = release(1, &["web"]);
    let state = scaled(app(Some(&current), None), "web", 4);
    let dynos: Vec<DynoView> = (1..=4)
        .map(|number| dyno(&current, &format!("web.{number}"), Stage::Recorded))
        .collect();
    let all: Vec<&DynoView> = dynos.iter().collect();
    check(
        &with(state.clone(), &all),
        &[Step::Start(dynos[0].id), Step::Start(dynos[1].id)],
    );
    let boots = DynoView {
        stage: Stage::Starting,
        ..dynos[3].clone()
    };
    check(
        &with(state.clone(), &[all[0], all[1], all[2], &boots]),
        &[Step::Start(dynos[0].id)],
    );
    let pending = release(2, &["web"]);
    let candidate = dyno(&pending, "web.1", Stage::Recorded);
    let state = AppState {
        pending: Some(pending.clone()),
        boots_at_once: 1,
        ..with(state, &[all[0], &candidate])
    };
    let steps = plan(&state, Time::default()).steps;
    assert!(steps.contains(&Step::Start(candidate.id)), "{steps:?}");
    assert!(!steps.contains(&Step::Start(dynos[0].id)), "{steps:?}");
}

#[test]
fn a_newer_successor_replaces_one_that_does_not_answer_yet() {
    let current = release(1, &["web"]);
    let serving = dyno(&current, "web.1", Stage::Up);
    let first = dyno(&current, "web.1", Stage::Starting);
    let second = dyno(&current, "web.1", Stage::Recorded);
    check(
        &with(app(Some(&current), None), &[&serving, &first, &second]),
        &[Step::Retire(first.id), Step::Start(second.id)],
    );
}

#[test]
fn dynos_are_cycled_one_at_a_time_and_only_in_quiet() {
    let current = release(1, &["web"]);
    let every = Duration::from_hours(24);
    let state = AppState {
        cycle_every: Some(every),
        ..scaled(app(Some(&current), None), "web", 2)
    };
    let (first, second) = (
        dyno(&current, "web.1", Stage::Up),
        dyno(&current, "web.2", Stage::Up),
    );
    let quiet = with(state.clone(), &[&first, &second]);
    let now = Time::default();
    assert_eq!(plan(&quiet, now).steps, []);
    let due = plan(&quiet, now).wake_at.expect("it is looked at again");
    assert!(due >= now.after(every) && due <= now.after(every + Duration::from_mins(216)));
    let late = now.after(every * 2);
    let steps = plan(&quiet, late).steps;
    let [Step::Cycle(cycled)] = steps[..] else {
        panic!("one is cycled, not {steps:?}");
    };
    assert!([first.id, second.id].contains(&cycled));
    let successor = DynoView {
        since: late,
        ..dyno(&current, "web.1", Stage::Starting)
    };
    let busy = with(state.clone(), &[&first, &second, &successor]);
    assert_eq!(plan(&busy, late).steps, []);
    let pending = AppState {
        pending: Some(release(2, &["web"])),
        ..quiet
    };
    let steps = plan(&pending, late).steps;
    assert!(!steps.iter().any(|step| matches!(step, Step::Cycle(_))));
}
