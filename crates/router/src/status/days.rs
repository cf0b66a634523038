//! For how long something was how, day by day in UTC. What nobody watched is in no number, so a
//! gap can never pass for a good time. Pure.
//!
//! Read [`Days::add`], then [`Cell::shown`].

use std::{collections::BTreeMap, time::Duration};

use api::{
    clock::Time,
    status::{Day, Seconds, Standing},
};
use serde::{Deserialize, Serialize};

/// Days that are shown, today among them.
pub(super) const DAYS: i64 = 90;
/// What lasted for less in a day does not colour it.
pub(super) const NOTICED: Duration = Duration::from_mins(1);
/// A day of which less was not watched counts as watched: a restart of the machine takes no more.
pub(super) const GAP: Duration = Duration::from_mins(5);

const DAY_MS: i64 = 86_400_000;

/// Milliseconds of a day by standing, in the order of [`WATCHED`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Cell([u32; 6]);

/// What can be seen; the rest is unknown.
const WATCHED: [Standing; 6] = [
    Standing::Operational,
    Standing::Asleep,
    Standing::Maintenance,
    Standing::Degraded,
    Standing::NoWord,
    Standing::Down,
];

/// The days of a component, by their number since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Days(BTreeMap<i64, Cell>);

/// The number of the day that a moment is in.
pub(super) fn day_of(time: Time) -> i64 {
    time.as_micros().div_euclid(DAY_MS * 1000)
}

/// `2026-02-19`
fn date_of(day: i64) -> String {
    let start = Time::from_micros(day.saturating_mul(DAY_MS * 1000));
    start.to_rfc3339().get(..10).unwrap_or_default().to_owned()
}

impl Days {
    /// Notes that it was so from one moment to another.
    pub(super) fn add(&mut self, standing: Standing, (from, to): (Time, Time)) {
        let Some(place) = WATCHED.iter().position(|at| *at == standing) else {
            return;
        };
        let end_ms = to.as_micros().div_euclid(1000);
        let mut at_ms = from.as_micros().div_euclid(1000);
        while at_ms < end_ms {
            let day = at_ms.div_euclid(DAY_MS);
            let until_ms = end_ms.min((day + 1) * DAY_MS);
            let cell = self.0.entry(day).or_default();
            if let Some(ms) = cell.0.get_mut(place) {
                *ms = ms.saturating_add(u32::try_from(until_ms - at_ms).unwrap_or(u32::MAX));
            }
            at_ms = until_ms;
        }
    }

    /// Takes what was kept of a day.
    pub(super) fn set(&mut self, day: i64, cell: Cell) {
        self.0.insert(day, cell);
    }

    /// Forgets what is too old to be shown.
    pub(super) fn forget(&mut self, now: Time) {
        self.0.retain(|day, _| is_shown(*day, now));
    }

    /// What is known of a day.
    pub(super) fn cell(&self, day: i64) -> Option<Cell> {
        self.0.get(&day).copied()
    }

    /// All that is known, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, Cell)> {
        self.0.iter().map(|(day, cell)| (*day, *cell))
    }

    /// All days that are shown, the oldest first.
    pub(super) fn shown(&self, now: Time) -> Vec<Day> {
        let today = day_of(now);
        let passed = Duration::from_micros(
            u64::try_from(now.as_micros().rem_euclid(DAY_MS * 1000)).unwrap_or(0),
        );
        let days = today - DAYS + 1..=today;
        days.map(|day| {
            let length = if day == today {
                passed
            } else {
                Duration::from_hours(24)
            };
            let cell = self.cell(day).unwrap_or_default();
            cell.shown(date_of(day), length)
        })
        .collect()
    }
}

/// Whether a day is shown.
pub(super) fn is_shown(day: i64, now: Time) -> bool {
    let today = day_of(now);
    (today - DAYS + 1..=today + 1).contains(&day)
}

impl Cell {
    fn of(&self, standing: Standing) -> Duration {
        let all = WATCHED.iter().zip(self.0);
        let found = all.filter(|(at, _)| **at == standing);
        Duration::from_millis(found.map(|(_, ms)| u64::from(ms)).sum())
    }

    /// As it is shown, if so much of the day is over.
    fn shown(&self, date: String, length: Duration) -> Day {
        let watched = Duration::from_millis(self.0.iter().map(|ms| u64::from(*ms)).sum());
        let gap = length.saturating_sub(watched);
        let lasted = |standing: &Standing| self.of(*standing) >= NOTICED;
        let troubles = [Standing::Down, Standing::NoWord, Standing::Degraded];
        let rest = watched / 2;
        let state = match troubles.into_iter().find(lasted) {
            Some(trouble) => trouble,
            None if watched.is_zero() => Standing::Unknown,
            None if self.of(Standing::Maintenance) > rest => Standing::Maintenance,
            None if self.of(Standing::Asleep) > rest => Standing::Asleep,
            None => Standing::Operational,
        };
        let seconds =
            |standing| u32::try_from(self.of(standing).as_millis().div_ceil(1000)).unwrap_or(0);
        Day {
            date,
            state,
            has_gap: !watched.is_zero() && gap >= GAP,
            seconds: Seconds {
                operational: seconds(Standing::Operational),
                asleep: seconds(Standing::Asleep),
                maintenance: seconds(Standing::Maintenance),
                unknown: u32::try_from(gap.as_secs()).unwrap_or(0),
                degraded: seconds(Standing::Degraded),
                no_word: seconds(Standing::NoWord),
                down: seconds(Standing::Down),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Time = Time::from_micros(1_771_502_400_000_000);
    const HOUR: Duration = Duration::from_hours(1);
    const MINUTE: Duration = Duration::from_mins(1);
    /// As much of the day as is over at noon.
    const HALF: Duration = Duration::from_hours(12);

    #[test]
    fn a_time_over_midnight_belongs_to_both_days() {
        let mut days = Days::default();
        days.add(Standing::Down, (NOON.before(HOUR * 13), NOON));
        let shown = days.shown(NOON);
        let [.., before, yesterday, today] = &shown[..] else {
            panic!("{shown:?}")
        };
        assert_eq!(shown.len(), 90);
        assert_eq!((&*today.date, today.seconds.down), ("2026-02-19", 43_200));
        assert_eq!(
            (&*yesterday.date, yesterday.seconds.down),
            ("2026-02-18", 3600)
        );
        assert!(!today.has_gap && yesterday.has_gap);
        // Nobody watched: not a word of it being fine.
        assert_eq!(before.state, Standing::Unknown);
        assert_eq!(before.seconds.unknown, 86_400);
    }

    fn check(parts: &[(Standing, Duration)], state: Standing, has_gap: bool) {
        let mut days = Days::default();
        let mut at = NOON.before(HOUR * 12);
        for (standing, length) in parts {
            days.add(*standing, (at, at.after(*length)));
            at = at.after(*length);
        }
        let shown = days.shown(NOON).pop().unwrap();
        assert_eq!((shown.state, shown.has_gap), (state, has_gap), "{parts:?}");
    }

    #[test]
    fn a_day_is_as_the_worst_that_lasted() {
        use Standing::{Asleep, Degraded, Down, Maintenance, NoWord, Operational, Unknown};
        check(&[], Unknown, false);
        check(&[(Operational, HOUR * 12)], Operational, false);
        check(&[(Operational, HOUR * 2)], Operational, true);
        check(
            &[(Operational, HALF.saturating_sub(GAP))],
            Operational,
            true,
        );
        check(
            &[(Operational, HALF.saturating_sub(MINUTE))],
            Operational,
            false,
        );
        check(&[(Unknown, HOUR * 12)], Unknown, false);
        check(
            &[(Operational, HALF.saturating_sub(MINUTE)), (Down, MINUTE)],
            Down,
            false,
        );
        check(
            &[
                (Operational, HALF.saturating_sub(MINUTE)),
                (Down, MINUTE / 2),
            ],
            Operational,
            false,
        );
        check(
            &[(Degraded, HOUR), (NoWord, HOUR), (Operational, HOUR * 10)],
            NoWord,
            false,
        );
        check(
            &[(Asleep, HOUR * 7), (Operational, HOUR * 5)],
            Asleep,
            false,
        );
        check(
            &[(Maintenance, HOUR * 7), (Operational, HOUR * 5)],
            Maintenance,
            false,
        );
    }

    #[test]
    fn what_is_too_old_is_forgotten() {
        let mut days = Days::default();
        days.add(Standing::Down, (NOON.before(HOUR), NOON));
        days.forget(NOON.after(HOUR * 24 * 89));
        assert!(days.cell(day_of(NOON)).is_some());
        days.forget(NOON.after(HOUR * 24 * 90));
        assert_eq!(days, Days::default());
    }
}
