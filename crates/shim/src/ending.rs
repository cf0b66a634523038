//! Why a dyno is to end, and when that is forced. Pure: it is told what time it is.

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    reason: Option<Reason>,
    kill_at_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Asked { has_grace: bool },
    GraceOver,
    OverDisk,
}

impl Ending {
    /// It is asked to end, and killed after the grace.
    pub(crate) fn ask(&mut self, now_ms: i64, grace_ms: u64) {
        let at = now_ms.saturating_add(i64::try_from(grace_ms).unwrap_or(i64::MAX));
        // A second stop may shorten the wait, not lengthen it.
        let is_sooner = self.kill_at_ms.is_none_or(|earlier| at < earlier);
        if is_sooner && !self.is_forced() && !self.is_over_disk() {
            self.kill_at_ms = Some(at);
            self.reason = Some(Reason::Asked {
                has_grace: grace_ms > 0,
            });
        }
    }

    /// It is killed now, for what it has written.
    pub(crate) fn force_over_disk(&mut self, now_ms: i64) {
        self.reason = Some(Reason::OverDisk);
        self.kill_at_ms = Some(now_ms);
    }

    /// When it is killed.
    pub(crate) fn kill_at_ms(&self) -> Option<i64> {
        self.kill_at_ms
    }

    /// Whether it is to be killed now; once.
    pub(crate) fn is_due(&mut self, now_ms: i64) -> bool {
        let is_due = self.kill_at_ms.is_some_and(|at| at <= now_ms);
        if is_due {
            self.kill_at_ms = None;
            if self.reason == Some(Reason::Asked { has_grace: true }) {
                self.reason = Some(Reason::GraceOver);
            }
        }
        is_due
    }

    /// Whether anybody wants it to end.
    pub(crate) fn is_wanted(&self) -> bool {
        self.reason.is_some()
    }

    /// Whether a grace has run out.
    pub(crate) fn is_forced(&self) -> bool {
        self.reason == Some(Reason::GraceOver)
    }

    /// Whether it has written too much.
    pub(crate) fn is_over_disk(&self) -> bool {
        self.reason == Some(Reason::OverDisk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stops (when, grace), then whether it is due at each moment, and forced at the end.
    fn check(stops: &[(i64, u64)], moments: &[(i64, bool)], is_forced: bool) {
        let mut ending = Ending::default();
        assert!(!ending.is_wanted() && !ending.is_due(i64::MAX));
        for (now, grace) in stops {
            ending.ask(*now, *grace);
        }
        for (now, is_due) in moments {
            assert_eq!(ending.is_due(*now), *is_due, "{stops:?} at {now}");
        }
        assert!(ending.is_wanted() && !ending.is_over_disk());
        assert_eq!(ending.is_forced(), is_forced, "{stops:?}");
    }

    #[test]
    fn a_grace_runs_out_once() {
        check(&[(0, 100)], &[(99, false), (100, true), (101, false)], true);
        check(&[(0, 100), (10, 200)], &[(100, true), (300, false)], true);
        check(&[(0, 100), (10, 20)], &[(29, false), (30, true)], true);
    }

    #[test]
    fn what_has_no_grace_is_not_forced() {
        check(&[(5, 0)], &[(5, true), (6, false)], false);
        check(&[(0, 100), (10, 0)], &[(10, true), (200, false)], false);
        check(&[(0, u64::MAX)], &[(i64::MAX - 1, false)], false);
    }

    #[test]
    fn writing_too_much_ends_at_once() {
        let mut ending = Ending::default();
        ending.ask(0, 100);
        ending.force_over_disk(7);
        assert!(ending.is_due(7) && !ending.is_due(100));
        ending.ask(8, 5);
        assert_eq!(ending.kill_at_ms(), None);
        assert!(ending.is_over_disk() && !ending.is_forced());
    }
}
