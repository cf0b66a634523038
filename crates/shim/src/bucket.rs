//! How many log lines are kept: a token bucket, told what time it is.

/// How many seconds' worth may come at once.
const BURST_SECONDS: i64 = 10;
/// What one line costs.
const LINE: i64 = 1_000_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Lines a second, which is millionths of a line a microsecond.
    rate: i64,
    /// Millionths of lines that may come now.
    left: i64,
    at_micros: i64,
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(lines_per_second: u32, now_micros: i64) -> Self {
        let rate = i64::from(lines_per_second);
        Self {
            rate,
            left: rate * LINE * BURST_SECONDS,
            at_micros: now_micros,
        }
    }

    /// Takes one line out. Returns whether there was one.
    pub(crate) fn take(&mut self, now_micros: i64) -> bool {
        let passed = (now_micros - self.at_micros).clamp(0, BURST_SECONDS * 1_000_000);
        self.at_micros = self.at_micros.max(now_micros);
        self.left = (self.left + passed * self.rate).min(self.rate * LINE * BURST_SECONDS);
        let has_one = self.left >= LINE;
        if has_one {
            self.left -= LINE;
        }
        has_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many lines are kept that come at each moment (seconds × 1000).
    fn check(rate: u32, moments: &[(i64, usize)], expected: &[usize]) {
        let mut bucket = Bucket::new(rate, 0);
        let kept: Vec<usize> = moments
            .iter()
            .map(|(millis, lines)| (0..*lines).filter(|_| bucket.take(millis * 1000)).count())
            .collect();
        assert_eq!(kept, expected, "{rate} {moments:?}");
    }

    #[test]
    fn ten_seconds_worth_may_come_at_once() {
        check(100, &[(0, 5000), (0, 10)], &[1000, 0]);
        check(100, &[(0, 1000), (10, 5), (1010, 500)], &[1000, 1, 100]);
        check(100, &[(0, 1000), (1_000_000, 5000)], &[1000, 1000]);
        check(1, &[(0, 10), (999, 1), (1000, 1)], &[10, 0, 1]);
        check(0, &[(0, 1), (99_000, 1)], &[0, 0]);
    }

    #[test]
    fn a_clock_that_steps_back_gives_nothing_twice() {
        check(10, &[(5_000, 200), (1_000, 5), (5_000, 5)], &[100, 0, 0]);
        check(u32::MAX, &[(0, 1000), (i64::from(u32::MAX), 1)], &[1000, 1]);
    }
}
