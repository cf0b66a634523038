//! Whether live apps answer more slowly beside builds than they do without. Pure.
//!
//! What is usual is learnt while nothing is built, of all apps together; nobody has to say how fast
//! an app should be. Read [`Pace`].

/// Requests without which it cannot be told what is usual, or what is now.
const LEAST_USUAL: f64 = 500.0;
const LEAST_NOW: f64 = 100.0;
/// So many requests are remembered as usual; what is older fades.
const MOST_USUAL: f64 = 50_000.0;
/// Of a hundred usual requests so many are no slow ones.
const USUAL_PERCENT: f64 = 99.0;

/// How long requests take: usually, and of late.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// As the router last counted them, by how long they took.
    counted: Vec<u64>,
    /// While nothing was built.
    usual: Vec<f64>,
    /// Beside builds, since it was last told how many are slow.
    now: Vec<f64>,
    /// In percent.
    slow: f64,
}

impl Pace {
    /// Takes what the router has counted, shortest first, since it started. Returns how many of the
    /// latest requests, in percent, took longer than 99 of 100 do while nothing is built: nothing
    /// while nothing is built, or when too few are known.
    pub fn take(&mut self, counts: Vec<u64>, is_building: bool) -> f64 {
        let is_first = self.counted.len() != counts.len();
        let new = difference(&self.counted, &counts);
        self.counted = counts;
        if is_first {
            return self.slow;
        }
        if !is_building {
            add(&mut self.usual, &new);
            fade(&mut self.usual);
            self.now.clear();
            self.slow = 0.0;
            return self.slow;
        }
        add(&mut self.now, &new);
        if total(&self.now) >= LEAST_NOW && total(&self.usual) >= LEAST_USUAL {
            let usual = shortest(&self.usual, USUAL_PERCENT);
            let slow: f64 = self.now.iter().skip(usual + 1).sum();
            self.slow = slow * 100.0 / total(&self.now);
            self.now.clear();
        }
        self.slow
    }
}

/// What came since; all of it, if counting has begun anew.
fn difference(before: &[u64], now: &[u64]) -> Vec<f64> {
    let has_shrunk = before.iter().zip(now).any(|(before, now)| now < before);
    let before = before
        .iter()
        .map(|count| if has_shrunk { 0 } else { *count });
    let before = before.chain(std::iter::repeat(0));
    let new = now.iter().zip(before).map(|(now, before)| now - before);
    // Counts of a few seconds are small.
    new.map(|count| f64::from(u32::try_from(count).unwrap_or(u32::MAX)))
        .collect()
}

fn add(sums: &mut Vec<f64>, more: &[f64]) {
    sums.resize(more.len(), 0.0);
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

fn fade(counts: &mut [f64]) {
    let share = MOST_USUAL / total(counts);
    if share < 1.0 {
        for count in counts {
            *count *= share;
        }
    }
}

fn total(counts: &[f64]) -> f64 {
    counts.iter().sum()
}

/// The first of `counts` up to which there are `percent` of all.
fn shortest(counts: &[f64], percent: f64) -> usize {
    let wanted = total(counts) * percent / 100.0;
    let mut sum = 0.0;
    let found = counts.iter().position(|count| {
        sum += count;
        sum >= wanted
    });
    found.unwrap_or(counts.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts as the router says them, step by step, whether anything is built, and the percentage
    /// of slow requests after each.
    fn check(steps: &[([u64; 4], bool, f64)]) {
        let mut pace = Pace::default();
        for (number, (counts, is_building, expected)) in steps.iter().enumerate() {
            let slow = pace.take(counts.to_vec(), *is_building);
            assert!((slow - expected).abs() < 0.01, "step {number}: {slow}");
        }
    }

    #[test]
    fn what_is_slow_is_known_by_what_is_usual() {
        check(&[
            ([0, 0, 0, 0], false, 0.0),
            ([900, 98, 2, 0], false, 0.0),
            // As usual.
            ([1800, 196, 4, 0], true, 0.2),
            ([1800, 276, 14, 10], true, 20.0),
            // Too few to say something else.
            ([1850, 276, 14, 10], true, 20.0),
            ([1900, 276, 14, 10], true, 0.0),
            ([1900, 276, 14, 110], true, 100.0),
            ([1900, 276, 14, 110], false, 0.0),
        ]);
    }

    #[test]
    fn nothing_is_slow_as_long_as_nothing_is_known() {
        // Who comes in the middle of a build.
        check(&[
            ([0, 0, 0, 900], true, 0.0),
            ([0, 0, 0, 1800], true, 0.0),
            ([400, 0, 0, 1800], false, 0.0),
            ([400, 0, 0, 2000], true, 0.0),
        ]);
    }

    #[test]
    fn a_router_that_was_restarted_counts_anew() {
        check(&[
            ([5000, 0, 0, 0], false, 0.0),
            ([600, 0, 0, 0], false, 0.0),
            ([650, 50, 0, 0], true, 50.0),
        ]);
    }

    #[test]
    fn what_was_usual_long_ago_fades() {
        let mut pace = Pace::default();
        pace.take(vec![0, 0], false);
        pace.take(vec![1_000_000, 0], false);
        pace.take(vec![1_000_000, 50_000], false);
        assert!(pace.take(vec![1_000_000, 51_000], true) < 0.01);
    }
}
