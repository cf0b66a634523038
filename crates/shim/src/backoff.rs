//! How long to wait before a crashed dyno is started again. Pure: it is told how long it was up.

/// The first pause.
const FIRST_MS: i64 = 1_000;
/// No pause is longer.
const LONGEST_MS: i64 = 5 * 60 * 1_000;
/// A program that was up so long has worked: what came before is forgotten.
const LONG_ENOUGH_MS: i64 = 60 * 1_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    /// Crashes in a row.
    crashes: u32,
}

impl Backoff {
    /// The pause after a crash of a program that was up for so long.
    pub(crate) fn pause_ms(&mut self, up_ms: i64) -> i64 {
        if up_ms >= LONG_ENOUGH_MS {
            self.crashes = 0;
        }
        let pause = FIRST_MS << self.crashes.min(16);
        self.crashes = self.crashes.saturating_add(1);
        pause.min(LONGEST_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ups_ms: &[i64], expected_s: &[i64]) {
        let mut backoff = Backoff::default();
        let pauses: Vec<i64> = ups_ms
            .iter()
            .map(|up| backoff.pause_ms(*up) / 1000)
            .collect();
        assert_eq!(pauses, expected_s, "{ups_ms:?}");
    }

    #[test]
    fn pauses_double_until_it_has_worked() {
        check(&[0; 11], &[1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        check(&[0, 59_999, 60_000, 0], &[1, 2, 1, 2]);
        check(&[900_000, 900_000], &[1, 1]);
        let mut backoff = Backoff { crashes: u32::MAX };
        assert_eq!(backoff.pause_ms(0), LONGEST_MS);
    }
}
