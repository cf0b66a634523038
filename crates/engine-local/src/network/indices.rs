//! Which of a slot's dyno networks are free, ready or in use.
//!
//! Pure bookkeeping: an index stands for a namespace, two addresses and a range of user ids, and
//! is given to another dyno only after all of that is gone. Read [`Indices`] first.

use std::collections::{BTreeMap, BTreeSet};

use crate::slot::DYNOS_PER_SLOT;

/// What an index that is not free is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Its network is being made or removed.
    Changing,
    /// Its network waits for a dyno.
    Ready,
    /// A dyno has it.
    Taken,
    /// Its network was there when the server started, or could not be removed.
    LeftOver,
}

/// All indices of a slot.
#[derive(Debug, Default)]
pub(super) struct Indices {
    uses: BTreeMap<u32, Use>,
    next: u32,
}

impl Indices {
    /// Takes a free index for a network about to be made. The one freed last comes last, so that
    /// an address is not soon seen again.
    pub(super) fn reserve(&mut self) -> Option<u32> {
        let mut all = (0..DYNOS_PER_SLOT).map(|offset| (self.next + offset) % DYNOS_PER_SLOT);
        let index = all.find(|index| !self.uses.contains_key(index))?;
        self.next = (index + 1) % DYNOS_PER_SLOT;
        self.uses.insert(index, Use::Changing);
        Some(index)
    }

    /// Takes a ready index for a dyno.
    pub(super) fn take_ready(&mut self) -> Option<u32> {
        let (index, use_) = self
            .uses
            .iter_mut()
            .find(|(_, use_)| **use_ == Use::Ready)?;
        *use_ = Use::Taken;
        Some(*index)
    }

    /// Says what an index does from now on.
    pub(super) fn set(&mut self, index: u32, new: Use) {
        self.uses.insert(index, new);
    }

    /// Says that nothing of an index is left.
    pub(super) fn free(&mut self, index: u32) {
        self.uses.remove(&index);
    }

    /// Whether a dyno has it.
    pub(super) fn is_taken(&self, index: u32) -> bool {
        self.uses.get(&index) == Some(&Use::Taken)
    }

    /// All that are ready.
    pub(super) fn all_ready(&self) -> Vec<u32> {
        let ready = self.uses.iter().filter(|(_, use_)| **use_ == Use::Ready);
        ready.map(|(index, _)| *index).collect()
    }

    /// Takes a ready one out of the pool to be removed; not if it was taken meanwhile.
    pub(super) fn condemn_ready(&mut self, index: u32) -> bool {
        self.condemn_if(index, Some(Use::Ready))
    }

    /// Marks one that nothing is known of as about to be removed; not if it is in use meanwhile.
    pub(super) fn condemn_unknown(&mut self, index: u32) -> bool {
        index < DYNOS_PER_SLOT && self.condemn_if(index, None)
    }

    fn condemn_if(&mut self, index: u32, use_: Option<Use>) -> bool {
        let is_so = self.uses.get(&index).copied() == use_;
        if is_so {
            self.uses.insert(index, Use::Changing);
        }
        is_so
    }

    /// Marks all that were taken for dynos other than these as left over.
    pub(super) fn abandon(&mut self, inhabited: &BTreeSet<u32>) {
        for (index, use_) in &mut self.uses {
            if *use_ == Use::Taken && !inhabited.contains(index) {
                *use_ = Use::LeftOver;
            }
        }
    }

    /// How many are ready.
    pub(super) fn ready(&self) -> usize {
        self.uses
            .values()
            .filter(|use_| **use_ == Use::Ready)
            .count()
    }

    /// Marks all left over ones that are not `known` as changing and returns them: they are to be
    /// removed.
    pub(super) fn condemn(&mut self, known: &[u32]) -> Vec<u32> {
        let mut condemned = Vec::new();
        for (index, use_) in &mut self.uses {
            if *use_ == Use::LeftOver && !known.contains(index) {
                *use_ = Use::Changing;
                condemned.push(*index);
            }
        }
        condemned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_index_is_used_again_last() {
        let mut indices = Indices::default();
        for expected in 0..DYNOS_PER_SLOT {
            assert_eq!(indices.reserve(), Some(expected));
        }
        assert_eq!(indices.reserve(), None, "the range is respected");
        indices.free(5);
        indices.free(3);
        assert_eq!(indices.reserve(), Some(3));
        indices.free(3);
        assert_eq!(indices.reserve(), Some(5), "3 was used just now");
        assert_eq!(indices.reserve(), Some(3));
    }

    #[test]
    fn only_ready_networks_are_taken_and_only_once() {
        let mut indices = Indices::default();
        let index = indices.reserve().unwrap();
        assert_eq!(indices.take_ready(), None);
        indices.set(index, Use::Ready);
        assert_eq!(
            (indices.ready(), indices.take_ready(), indices.ready()),
            (1, Some(index), 0)
        );
        assert_eq!(indices.take_ready(), None);
    }

    #[test]
    fn what_nobody_knows_is_condemned() {
        let mut indices = Indices::default();
        for (index, use_) in [
            (1, Use::LeftOver),
            (2, Use::LeftOver),
            (3, Use::Ready),
            (4, Use::Taken),
            (5, Use::Changing),
        ] {
            indices.set(index, use_);
        }
        assert_eq!(indices.condemn(&[2]), [1]);
        assert_eq!(indices.condemn(&[]), [2]);
        assert_ne!(indices.reserve(), Some(1), "it is being removed still");
    }
}
