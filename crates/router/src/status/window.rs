//! What came lately, out of counts that only rise. Pure.

use std::{collections::VecDeque, time::Duration};

use api::clock::Time;

use super::judge::{Counts, WINDOW};

/// Counts of this long are kept together.
const PIECE: Duration = Duration::from_secs(5);

/// The counts of [`WINDOW`].
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    /// As they stood when they were last looked at.
    total: Option<Counts>,
    /// By when each piece began.
    pieces: VecDeque<(Time, Counts)>,
}

impl Window {
    /// Takes the counts as they stand. The first time nothing is known of what they were before.
    pub(super) fn take(&mut self, total: Counts, now: Time) {
        let new = total.after(self.total.replace(total).unwrap_or(total));
        match self.pieces.back_mut() {
            Some((began, counts)) if now.since(*began) < PIECE => *counts = counts.and(new),
            _ => self.pieces.push_back((now, new)),
        }
        let is_old = |(began, _): &(Time, Counts)| now.since(*began) > WINDOW;
        while self.pieces.front().is_some_and(is_old) {
            self.pieces.pop_front();
        }
    }

    /// What came within [`WINDOW`].
    pub(super) fn sum(&self) -> Counts {
        let pieces = self.pieces.iter().map(|(_, counts)| *counts);
        pieces.fold(Counts::default(), Counts::and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_leave_with_their_time() {
        let mut window = Window::default();
        let mut check = |seconds: u64, total: u64, expected: u64| {
            let total = Counts {
                requests: total,
                ..Counts::default()
            };
            window.take(total, Time::default().after(Duration::from_secs(seconds)));
            assert_eq!(window.sum().requests, expected, "after {seconds} s");
        };
        check(0, 1_000, 0);
        check(1, 1_010, 10);
        check(2, 1_020, 20);
        check(60, 1_050, 50);
        check(120, 1_050, 50);
        check(121, 1_050, 30);
        check(181, 1_050, 0);
        // A counter that begins anew takes nothing away.
        check(182, 7, 0);
        check(183, 9, 2);
    }
}
