//! A seeded simulation of the planner: lives of an app, and rolls of many dynos.

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    tests::{ENDED, app, dyno, release, scaled},
    *,
};

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
                    is_ready: true,
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
            Step::Retire(id) => self.find(id).is_retired = true,
            Step::GiveUp(id) => {
                self.find(id).crash_count += 1;
                self.set(id, ENDED);
            }
            Step::Cycle(id) => {
                let dyno = self.find(id).clone();
                self.app.dynos.push(DynoView {
                    id: DynoId::new(),
                    stage: Stage::Recorded,
                    since: now,
                    crash_count: 0,
                    ..dyno
                });
            }
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

    /// The dynos that boot now.
    fn starting(&self) -> Vec<DynoId> {
        let starting = self.app.dynos.iter();
        let starting = starting.filter(|dyno| dyno.stage == Stage::Starting);
        starting.map(|dyno| dyno.id).collect()
    }

    /// Something happens: a dyno gets ready or crashes, a deploy, a scaling.
    fn disturb(&mut self, may_crash: bool) {
        for id in self.starting() {
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

    /// Some of the dynos that boot answer.
    fn boot_some(&mut self) {
        let starting = |dyno: &&DynoView| dyno.stage == Stage::Starting;
        let ids: Vec<DynoId> = self
            .app
            .dynos
            .iter()
            .filter(starting)
            .map(|dyno| dyno.id)
            .collect();
        for id in ids {
            if self.random.random_ratio(1, 3) {
                self.set(id, Stage::Up);
            }
        }
    }

    /// Whether a dyno of this web slot takes requests.
    fn answers(&self, number: u32) -> bool {
        self.app
            .dynos
            .iter()
            .any(|dyno| dyno.number == number && !dyno.is_retired && dyno.stage == Stage::Up)
    }

    /// Dynos that boot, of all types.
    fn booting(&self) -> usize {
        let boots = |dyno: &&DynoView| {
            !dyno.is_release_phase && !dyno.is_retired && dyno.stage == Stage::Starting
        };
        self.app.dynos.iter().filter(boots).count()
    }

    fn assert_few_boot(&self) {
        let booting = self.booting();
        assert!(
            booting <= self.app.boots_at_once,
            "{booting} dynos boot at the same time"
        );
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

/// A seeded roll of twenty dynos: a restart by hand, or a release. All twenty slots answer at every
/// moment, and few dynos boot.
fn roll(seed: u64, is_release: bool) {
    const DYNOS: u32 = 20;
    let first = release(1, &["web"]);
    let mut state = scaled(app(Some(&first), None), "web", DYNOS);
    state.boots_at_once = boots_at_once(2, 20);
    let mut world = World {
        app: state,
        now: Time::default(),
        version: 1,
        random: StdRng::seed_from_u64(seed),
    };
    for number in 1..=DYNOS {
        let serving = dyno(&first, &format!("web.{number}"), Stage::Up);
        world.app.dynos.push(serving.clone());
        if !is_release {
            let id = DynoId::new();
            let stage = Stage::Recorded;
            world.app.dynos.push(DynoView {
                id,
                stage,
                ..serving
            });
        }
    }
    let old: Vec<DynoId> = world.app.dynos.iter().map(|dyno| dyno.id).collect();
    if is_release {
        world.app.pending = Some(release(2, &["web"]));
    }
    for _ in 0..200 {
        for step in plan(&world.app, world.now).steps {
            world.perform(step.clone());
            world.assert_few_boot();
            let answering = (1..=DYNOS).filter(|number| world.answers(*number)).count();
            assert_eq!(answering, 20, "seed {seed}: {step:?}");
        }
        if world.is_settled() {
            let is_new = |dyno: &DynoView| !old.contains(&dyno.id) || !is_release;
            assert!(world.app.dynos.iter().all(is_new));
            return;
        }
        world.boot_some();
        world.now = world.now.after(Duration::from_secs(1));
    }
    panic!("seed {seed}: never settled: {:#?}", world.app);
}

#[test]
fn twenty_dynos_roll_without_a_gap_or_a_storm() {
    for seed in 0..64 {
        roll(seed, false);
        roll(seed, true);
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
            for id in world.starting() {
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
            world.assert_few_boot();
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
