//! Seeded lives of an app on the whole platform: people deploy, scale, restart, roll back and run
//! commands, the server is killed, and with faults dynos crash and the machine refuses. A failure
//! names its seed; the seed chooses what happens, not how threads interleave.

use std::{collections::BTreeMap, time::Duration};

use api::{
    clock::{Clock, Time},
    names::ProcessType,
};
use engine::{DynoKind, DynoState};
use platform::{Error, dynos::Which, runs::Run};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use store::{App, ReleaseStatus};

use crate::world::{Options, World};

const SEEDS: u64 = 6;
const ROUNDS: u32 = 30;
/// Looks at the world after each disturbance.
const LOOKS: u32 = 4;
/// Quiet rounds by which every life must have settled.
const QUIET_ROUNDS: u32 = 600;

const GOOD: &[&str] = &[
    "serve",
    "sleep 1; serve",
    "print hello; serve",
    "sleep 2; print slow; serve",
];
const BAD: &[&str] = &["exit 1", "sleep 2; exit 1", "hang", "exhaust", "silent"];

struct Life {
    world: World,
    app: App,
    clock: Clock,
    random: StdRng,
    has_faults: bool,
    story: Vec<String>,
}

impl Life {
    fn new(seed: u64, has_faults: bool) -> Self {
        let clock = Clock::simulated(Time::from_micros(1_771_488_000_000_000));
        let world = World::with(Options {
            clock: clock.clone(),
            seed,
            boot: Duration::from_secs(1),
            ..Options::default()
        });
        let app = world.app("example");
        world.release(&app, &[("web", "serve"), ("worker", "hang")]);
        let mut life = Self {
            world,
            app,
            clock,
            random: StdRng::seed_from_u64(seed),
            has_faults,
            story: Vec::new(),
        };
        life.settle();
        life
    }

    fn disturb(&mut self) {
        match self
            .random
            .random_range(0..if self.has_faults { 12 } else { 8 })
        {
            0 | 1 => self.release(),
            2 => self.rollback(),
            3 => {
                let value = self.random.random::<u64>().to_string();
                self.tell("config");
                self.world.set(&self.app, "VALUE", &value);
            }
            4 => self.scale(),
            5 => self.restart_dynos(),
            6 => self.run(),
            7 => {
                self.tell("server killed");
                self.world.restart();
            }
            8 | 9 => self.kill_a_dyno(),
            10 => {
                let count = self.random.random_range(1..4);
                self.tell(&format!("{count} starts refused"));
                self.world.engine.refuse_starts(count);
            }
            _ => {
                self.tell("host restarted");
                self.world.engine.restart_host();
            }
        }
    }

    fn tell(&mut self, text: &str) {
        self.story.push(text.to_owned());
    }

    fn release(&mut self) {
        let is_bad = self.has_faults && self.random.random_ratio(1, 3);
        let web = *(if is_bad { BAD } else { GOOD })
            .choose(&mut self.random)
            .unwrap();
        let mut types = vec![("web", web)];
        if self.random.random() {
            types.push(("worker", "hang"));
        }
        if self.random.random_ratio(1, 3) {
            let fails = self.has_faults && self.random.random();
            types.push((
                "release",
                if fails {
                    "exit 1"
                } else {
                    "print migrating; exit 0"
                },
            ));
        }
        self.tell(&format!("release {types:?}"));
        self.world.release(&self.app, &types);
    }

    fn rollback(&mut self) {
        let releases = self
            .world
            .wait(self.world.platform().releases(self.app.id))
            .unwrap();
        let is_target =
            |r: &&store::Release| r.status == ReleaseStatus::Succeeded && r.slug.is_some();
        let targets: Vec<&store::Release> = releases.iter().filter(is_target).collect();
        let target = format!("v{}", targets.choose(&mut self.random).unwrap().version);
        self.tell(&format!("rollback to {target}"));
        let caller = self.world.caller();
        self.world
            .wait(
                self.world
                    .platform()
                    .rollback(&caller, self.app.id, &target),
            )
            .unwrap();
    }

    fn scale(&mut self) {
        let lowest = u32::from(!self.has_faults);
        let web = self.random.random_range(lowest..4);
        let worker = self.random.random_range(0..3);
        self.tell(&format!("scale web={web} worker={worker}"));
        for (process_type, quantity) in [("web", web), ("worker", worker)] {
            let scaled = self.world.try_scale(&self.app, process_type, quantity);
            // Not every release has workers.
            assert!(matches!(scaled, Ok(()) | Err(Error::NotFound { .. })));
        }
    }

    fn restart_dynos(&mut self) {
        self.tell("restart");
        let caller = self.world.caller();
        let restarted = self
            .world
            .platform()
            .restart_dynos(&caller, self.app.id, &Which::All);
        self.world.wait(restarted).unwrap();
    }

    fn run(&mut self) {
        let run = Run {
            command: "print once; sleep 1; exit 0".to_owned(),
            is_attached: self.random.random(),
            ..Run::default()
        };
        self.tell("run");
        let caller = self.world.caller();
        let started = self.world.platform().run_dyno(&caller, self.app.id, run);
        let started = self.world.wait(started);
        match started {
            Ok((_, secret)) => drop(secret.map(|secret| self.meet(&secret))),
            Err(error) => assert!(self.has_faults, "{error}"),
        }
    }

    /// The owner comes and hangs up.
    fn meet(&self, secret: &str) {
        let met = self.world.wait(self.world.platform().meet(secret));
        assert!(met.is_ok() || self.has_faults, "{:?}", met.err());
    }

    fn kill_a_dyno(&mut self) {
        let running = self.world.running(&self.app);
        let Some((name, id)) = running.choose(&mut self.random) else {
            return;
        };
        if self.random.random() {
            self.story.push(format!("{name} lost"));
            self.world.engine.lose(*id);
        } else {
            self.story.push(format!("{name} killed"));
            self.world.engine.kill(*id, 11);
        }
    }

    /// What must hold at every moment.
    fn check(&self) {
        let mut running: BTreeMap<String, usize> = BTreeMap::new();
        for report in self.world.reports(&self.app) {
            let is_single = report.kind != DynoKind::Formation
                || !report.name.as_str().starts_with(ProcessType::WEB);
            if is_single && report.state == DynoState::Running {
                *running.entry(report.name.to_string()).or_default() += 1;
            }
        }
        assert!(running.values().all(|count| *count == 1), "{running:?} run");
        if !self.has_faults {
            self.world.assert_serves(&self.app);
        }
    }

    /// Time goes by, in small steps while something boots.
    fn pass(&mut self, idle: Duration) {
        let is_booting = self
            .world
            .rows(&self.app)
            .iter()
            .any(|row| row.state == store::DynoState::Starting);
        self.clock.advance(if is_booting {
            Duration::from_millis(500)
        } else {
            idle
        });
        self.world.nudge(&self.app);
    }

    fn settle(&mut self) {
        let mut why = None;
        for _ in 0..QUIET_ROUNDS {
            why = self.world.unsettled(&self.app);
            if why.is_none() {
                return;
            }
            self.pass(Duration::from_secs(30));
            self.world.rest();
        }
        let (rows, log) = (self.world.rows(&self.app), self.world.log(&self.app));
        panic!("never settles: {why:?}\n{rows:#?}\n{log:#?}");
    }

    fn live(&mut self) {
        for _ in 0..ROUNDS {
            self.disturb();
            for _ in 0..LOOKS {
                self.check();
                let pause = self.random.random_range(0..2_000);
                self.pass(Duration::from_millis(pause));
                self.world.rest();
            }
        }
        self.tell("quiet");
        self.world.engine.refuse_starts(0);
        // Without web dynos a release goes live unproven, so the last one may be a bad one.
        self.world
            .release(&self.app, &[("web", "serve"), ("worker", "hang")]);
        self.settle();
        self.check();
    }
}

fn simulate(seed: u64, has_faults: bool) {
    let mut life = Life::new(seed, has_faults);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| life.live()));
    assert!(
        outcome.is_ok(),
        "seed {seed}, faults {has_faults}: {:#?}",
        life.story
    );
}

#[test]
fn an_app_without_faults_always_serves_and_settles() {
    (0..SEEDS).for_each(|seed| simulate(seed, false));
}

#[test]
fn an_app_with_faults_settles_once_they_end() {
    (0..SEEDS).for_each(|seed| simulate(seed, true));
}
