//! Tables and a seeded simulation for the planner.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

const BOOT: Duration = Duration::from_mins(1);

fn kind(text: &str) -> ProcessType {
    text.parse().unwrap()
}

fn release(version: u64, types: &[&str]) -> ReleaseView {
    let process_types = types
        .iter()
        .map(|t| (kind(t), format!("run {t}")))
        .collect();
    ReleaseView {
        id: ReleaseId::new(),
        version,
        has_slug: true,
        process_types,
    }
}

fn dyno(release: &ReleaseView, name: &str, stage: Stage) -> DynoView {
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
        since: Time::default(),
        crash_count: 0,
    }
}

fn app(current: Option<&ReleaseView>, pending: Option<&ReleaseView>) -> AppState {
    AppState {
        name: "example".parse().unwrap(),
        current: current.cloned(),
        pending: pending.cloned(),
        formation: BTreeMap::new(),
        dynos: Vec::new(),
        boot_timeout: BOOT,
    }
}

fn scaled(mut app: AppState, process_type: &str, quantity: u32) -> AppState {
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

const ENDED: Stage = Stage::Ended {
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
    assert_eq!(
        plan(&state, Time::default()),
        Plan {
            steps: vec![],
            wake_at: Some(due)
        }
    );
    assert_eq!(plan(&state, due).steps, [recorded(&current, "web.1", 3)]);
    assert_eq!(dynos::crash_backoff(30), Duration::from_mins(5));
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

/// A world that does what the planner says, with crashes, slow boots, deploys and scalings.
struct World {
    app: AppState,
    now: Time,
    version: u64,
    random: StdRng,
}

impl World {
    fn perform(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Record {
                release,
                process_type,
                number,
                size,
                crash_count,
            } => {
                self.app.dynos.push(DynoView {
                    id: DynoId::new(),
                    release,
                    process_type,
                    number,
                    size,
                    is_release_phase: false,
                    stage: Stage::Recorded,
                    is_retired: false,
                    since: now,
                    crash_count,
                });
            }
            Step::RecordReleasePhase { release } => {
                let pending = self.app.pending.clone().unwrap();
                assert_eq!(pending.id, release);
                self.app
                    .dynos
                    .push(dyno(&pending, "release.1", Stage::Recorded));
            }
            Step::Start(id) => self.set(id, Stage::Starting),
            Step::Retire(id) | Step::GiveUp(id) => self.find(id).is_retired = true,
            Step::Stop(id) => {
                assert!(self.find(id).is_retired || self.find(id).is_release_phase);
                self.set(
                    id,
                    Stage::Ended {
                        status: 143,
                        is_out_of_memory: false,
                    },
                );
            }
            Step::Forget(id) => self.app.dynos.retain(|dyno| dyno.id != id),
            Step::Succeed(id) => {
                let pending = self.app.pending.take().unwrap();
                assert_eq!(pending.id, id);
                self.app.current = Some(pending);
            }
            Step::Fail { release, .. } => {
                assert_eq!(self.app.pending.take().unwrap().id, release);
            }
        }
    }

    fn find(&mut self, id: DynoId) -> &mut DynoView {
        self.app
            .dynos
            .iter_mut()
            .find(|dyno| dyno.id == id)
            .expect("the dyno is on record")
    }

    fn set(&mut self, id: DynoId, stage: Stage) {
        let now = self.now;
        let dyno = self.find(id);
        dyno.stage = stage;
        dyno.since = now;
    }

    /// Something happens: a dyno gets ready or crashes, a deploy, a scaling.
    fn disturb(&mut self, may_crash: bool) {
        let starting: Vec<DynoId> = self
            .app
            .dynos
            .iter()
            .filter(|d| d.stage == Stage::Starting)
            .map(|d| d.id)
            .collect();
        for id in starting {
            let crashes = may_crash && self.random.random_ratio(1, 8);
            let is_phase = self.find(id).is_release_phase;
            let done = Stage::Ended {
                status: 0,
                is_out_of_memory: false,
            };
            let stage = if crashes {
                ENDED
            } else if is_phase {
                done
            } else {
                Stage::Up
            };
            if self.random.random_ratio(2, 3) {
                self.set(id, stage);
            }
        }
        if self.app.pending.is_none() && self.random.random_ratio(1, 6) {
            self.version += 1;
            let types: &[&str] = if self.random.random() {
                &["web", "worker"]
            } else {
                &["release", "web"]
            };
            self.app.pending = Some(release(self.version, types));
        }
        if self.random.random_ratio(1, 6) {
            let quantity = self.random.random_range(1..4);
            self.app = scaled(self.app.clone(), "web", quantity);
        }
        if self.random.random_ratio(1, 6) {
            let quantity = self.random.random_range(0..3);
            self.app = scaled(self.app.clone(), "worker", quantity);
        }
    }

    /// Whether a dyno of the serving release, or of an older one, answers.
    fn serves(&self) -> bool {
        let Some(current) = &self.app.current else {
            return false;
        };
        self.app.dynos.iter().any(|dyno| {
            dyno.process_type.is_web()
                && !dyno.is_retired
                && dyno.stage == Stage::Up
                && dyno.release <= current.id
        })
    }

    fn assert_workers_are_single(&self) {
        for dyno in &self.app.dynos {
            let twins = self.app.dynos.iter().filter(|other| {
                !other.process_type.is_web()
                    && !other.is_release_phase
                    && other.process_type == dyno.process_type
                    && other.number == dyno.number
                    && matches!(other.stage, Stage::Starting | Stage::Up)
            });
            assert!(
                twins.count() <= 1,
                "two dynos of {}.{} run",
                dyno.process_type,
                dyno.number
            );
        }
    }

    fn is_settled(&self) -> bool {
        let Some(current) = &self.app.current else {
            return false;
        };
        self.app.pending.is_none()
            && self
                .app
                .dynos
                .iter()
                .all(|d| d.stage == Stage::Up && d.release == current.id)
            && current.process_types.keys().all(|process_type| {
                let wanted = self.app.quantity(process_type);
                let present = self
                    .app
                    .dynos
                    .iter()
                    .filter(|d| d.process_type == *process_type)
                    .count();
                usize::try_from(wanted).unwrap() == present
            })
    }
}

/// One seeded life of an app. Without crashes, once it serves it never stops serving; in any case
/// it settles, and no worker slot ever runs twice. `LANDFALL_SIM_SEEDS` is read by xtask only.
fn simulate(seed: u64, may_crash: bool) {
    let mut world = World {
        app: app(None, Some(&release(1, &["web"]))),
        now: Time::default(),
        version: 1,
        random: StdRng::seed_from_u64(seed),
    };
    let mut has_served = false;
    for round in 0..200 {
        let quiet = round >= 160;
        if quiet {
            let starting: Vec<DynoId> = world
                .app
                .dynos
                .iter()
                .filter(|d| d.stage == Stage::Starting)
                .map(|d| d.id)
                .collect();
            for id in starting {
                let is_phase = world.find(id).is_release_phase;
                let done = Stage::Ended {
                    status: 0,
                    is_out_of_memory: false,
                };
                world.set(id, if is_phase { done } else { Stage::Up });
            }
        } else {
            world.disturb(may_crash);
        }
        let plan = plan(&world.app, world.now);
        for step in plan.steps {
            let before = world.app.clone();
            world.perform(step.clone());
            world.assert_workers_are_single();
            has_served |= world.serves();
            assert!(
                may_crash || !has_served || world.serves(),
                "seed {seed}: stopped serving by {step:?} in {before:#?}"
            );
        }
        let pause = if quiet {
            Duration::from_secs(400)
        } else {
            Duration::from_secs(1)
        };
        world.now = world.now.after(pause);
        if quiet && world.is_settled() {
            return;
        }
    }
    panic!("seed {seed}: never settled: {:#?}", world.app);
}

#[test]
fn simulated_apps_keep_serving_and_settle() {
    for seed in 0..256 {
        simulate(seed, false);
        simulate(seed, true);
    }
}
