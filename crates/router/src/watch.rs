//! Whether the threads of the data plane still go round: each beats, and one that does not is named.
//!
//! It must not know what they do. Read [`Watch::look`].

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A thread's pulse.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// The thread lives.
    pub(crate) fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is known of all pulses.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    watched: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    name: String,
    pulse: Pulse,
    beats: u64,
    /// How many looks found no new beat.
    silent: u32,
}

impl Watch {
    /// Watches another thread.
    pub(crate) fn add(&mut self, name: String) -> Pulse {
        let pulse = Pulse::default();
        self.watched.push(Watched {
            name,
            pulse: pulse.clone(),
            beats: 0,
            silent: 0,
        });
        pulse
    }

    /// The name of a thread that has not beaten over so many looks. Looks are counted, not time: a
    /// process that was stopped for an hour is not stuck.
    pub(crate) fn look(&mut self, limit: u32) -> Option<&str> {
        let mut stuck = None;
        for watched in &mut self.watched {
            let beats = watched.pulse.0.load(Ordering::Relaxed);
            watched.silent = if beats == watched.beats {
                watched.silent + 1
            } else {
                0
            };
            watched.beats = beats;
            if watched.silent >= limit {
                stuck = Some(watched.name.as_str());
            }
        }
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_does_not_beat_is_named() {
        let mut watch = Watch::default();
        let (one, two) = (
            watch.add("lane-0".to_owned()),
            watch.add("lane-1".to_owned()),
        );
        for _ in 0..10 {
            one.beat();
            two.beat();
            assert_eq!(watch.look(3), None);
        }
        for _ in 0..2 {
            one.beat();
            assert_eq!(watch.look(3), None);
        }
        one.beat();
        assert_eq!(watch.look(3), Some("lane-1"));
        two.beat();
        assert_eq!(watch.look(3), None, "it was slow");
    }
}
