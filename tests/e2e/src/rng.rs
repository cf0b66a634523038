//! Random choices that a seed repeats.

/// `SplitMix64`: small, and good enough to choose victims with.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The same seed gives the same numbers.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// 0 to `limit` - 1; 0 if that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// One of them; `None` of none.
    pub fn choice<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let limit = u64::try_from(from.len()).unwrap_or(u64::MAX);
        let index = usize::try_from(self.below(limit)).unwrap_or(0);
        from.get(index)
    }

    /// A generator of its own for another thread.
    #[must_use]
    pub fn split(&mut self) -> Self {
        Self(self.next())
    }
}
