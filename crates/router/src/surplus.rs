//! When memory that lies unused goes back to the kernel.
//!
//! The C library keeps what a crowd of connections or a table that was replaced has left behind, for
//! the next one. It gives it back when told to, which holds up whoever wants memory meanwhile: so it
//! is told when a crowd has come or gone, and not before all is quiet again. Pure.

/// So many connections or messages leave something worth giving back.
const LARGE: u64 = 1000;
/// Between two looks no more than these are quiet.
const QUIET: u64 = 100;

/// What has gone on since the router's start; the numbers only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Connections that were accepted, and those that have ended.
    pub(crate) connections: u64,
    /// What the server said: an entry each.
    pub(crate) messages: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Surplus {
    last: Seen,
    /// What went on since memory was last given back.
    owed: u64,
}

impl Surplus {
    /// Whether now is the time. To be asked again and again.
    pub(crate) fn is_due(&mut self, seen: Seen) -> bool {
        let connections = seen.connections.saturating_sub(self.last.connections);
        let moved = connections + seen.messages.saturating_sub(self.last.messages);
        self.last = seen;
        self.owed += moved;
        let is_due = self.owed >= LARGE && moved <= QUIET;
        if is_due {
            self.owed = 0;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each look finds so many more connections and messages.
    fn check(looks: &[(u64, u64)], expected: &[bool]) {
        let (mut surplus, mut seen) = (Surplus::default(), Seen::default());
        let due: Vec<bool> = looks
            .iter()
            .map(|(connections, messages)| {
                seen.connections += connections;
                seen.messages += messages;
                surplus.is_due(seen)
            })
            .collect();
        assert_eq!(due, expected, "{looks:?}");
    }

    #[test]
    fn memory_goes_back_when_a_crowd_is_over() {
        check(
            &[(5000, 0), (2, 0), (2, 0), (5000, 0), (0, 0)],
            &[false, true, false, false, true],
        );
        check(&[(0, 100_000), (0, 0), (0, 0)], &[false, true, false]);
    }

    #[test]
    fn not_in_the_midst_of_it_and_not_for_a_few() {
        check(&[(5000, 0), (500, 0), (500, 0)], &[false; 3]);
        check(&[(90, 0), (90, 0), (90, 0)], &[false; 3]);
        // The twelfth look makes it a thousand.
        let expected: Vec<bool> = (1..=13).map(|look| look == 12).collect();
        check(&[(90, 0); 13], &expected);
    }
}
