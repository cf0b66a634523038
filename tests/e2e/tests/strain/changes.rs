//! Deploys, scalings and restarts that go on while things are killed. A call may fail: whoever
//! makes it tries something else next. What was acknowledged must be true at the end.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{Scope, ScopedJoinHandle},
    time::Duration,
};

use e2e::{App, Rng, wait};
use serde_json::{Value, json};

/// What the apps were acknowledged to have.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    /// The highest value of the config var [`COUNTER`] that a call was answered for.
    pub(crate) counter: u64,
    /// How often each kind of change was acknowledged.
    pub(crate) releases: u32,
    pub(crate) scalings: u32,
    pub(crate) restarts: u32,
    pub(crate) pushes: u32,
}

/// A config var that counts up.
pub(crate) const COUNTER: &str = "TORTURE_COUNTER";
/// Longest pause between two changes, milliseconds.
const LONGEST_PAUSE_MS: u64 = 2_000;
/// Web dynos of the app under load: never below what the killer's rule needs.
const LEAST_DYNOS: u64 = 4;
const MOST_DYNOS: u64 = 6;

/// Changes apps until told to stop.
pub(crate) struct Changes<'scope> {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Acknowledged>>,
    threads: Vec<ScopedJoinHandle<'scope, ()>>,
}

impl<'scope> Changes<'scope> {
    /// Starts to change `guarded`, which is under load, and `loose`, which may go down.
    pub(crate) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        guarded: &'env App<'env>,
        loose: &'env App<'env>,
        rng: &mut Rng,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
        let threads = [(guarded, true), (loose, false)].map(|(app, is_guarded)| {
            let mut changer = Changer {
                app,
                is_guarded,
                rng: rng.split(),
                counter: 0,
                acknowledged: Arc::clone(&acknowledged),
            };
            let stop = Arc::clone(&stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // A call that a kill cut off is not acknowledged, and that is all.
                    drop(changer.change());
                    let pause = changer.rng.below(LONGEST_PAUSE_MS);
                    wait::pause(Duration::from_millis(pause));
                }
            })
        });
        Self {
            stop,
            acknowledged,
            threads: threads.into(),
        }
    }

    /// Ends the changes; what was acknowledged of them.
    pub(crate) fn finish(self) -> Acknowledged {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("no changer panics");
        }
        std::mem::take(&mut self.acknowledged.lock().expect("no changer panics"))
    }
}

struct Changer<'env> {
    app: &'env App<'env>,
    is_guarded: bool,
    rng: Rng,
    counter: u64,
    acknowledged: Arc<Mutex<Acknowledged>>,
}

impl Changer<'_> {
    fn change(&mut self) -> std::io::Result<()> {
        match self.rng.below(10) {
            0..4 => self.release(),
            4..7 => self.scale(),
            7..9 => self.restart(),
            _ => {
                self.push();
                Ok(())
            }
        }
    }

    fn note(&self, what: impl FnOnce(&mut Acknowledged)) {
        what(&mut self.acknowledged.lock().expect("no changer panics"));
    }

    fn release(&mut self) -> std::io::Result<()> {
        self.counter += 1;
        let counter = self.counter;
        self.call(
            "PATCH",
            "config-vars",
            &json!({ COUNTER: counter.to_string() }),
        )?;
        let is_guarded = self.is_guarded;
        self.note(|all| {
            all.releases += 1;
            if is_guarded {
                all.counter = counter;
            }
        });
        Ok(())
    }

    fn scale(&mut self) -> std::io::Result<()> {
        let quantity = if self.is_guarded {
            LEAST_DYNOS + self.rng.below(MOST_DYNOS - LEAST_DYNOS + 1)
        } else {
            self.rng.below(3)
        };
        let mut updates = vec![json!({"type": "web", "quantity": quantity})];
        if !self.is_guarded {
            updates.push(json!({"type": "worker", "quantity": self.rng.below(3)}));
        }
        self.call("PATCH", "formation", &json!({ "updates": updates }))?;
        self.note(|all| all.scalings += 1);
        Ok(())
    }

    fn restart(&mut self) -> std::io::Result<()> {
        let what = if self.rng.below(2) == 0 {
            "dynos".to_owned()
        } else {
            format!("dynos/web.{}", 1 + self.rng.below(LEAST_DYNOS))
        };
        self.call("DELETE", &what, &Value::Null)?;
        self.note(|all| all.restarts += 1);
        Ok(())
    }

    fn push(&mut self) {
        self.app.touch();
        if self.app.push().status == 0 {
            self.note(|all| all.pushes += 1);
        }
    }

    fn call(&self, method: &str, what: &str, body: &Value) -> std::io::Result<Value> {
        let path = format!("/apps/{}/{what}", self.app.name);
        self.app.platform.api(method, &path, body)
    }
}
