//! The highest sequence number kept of each numbered stream (dyno or spool) of one app: what
//! makes intake exactly once. Bounded: the streams silent for longest are forgotten first.

use std::collections::HashMap;

use api::ids::DynoId;

use crate::line::uuid_bytes::{id_bytes, id_from_bytes};

/// Streams remembered per app.
const MAX_STREAMS: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Cursors {
    streams: HashMap<DynoId, Position>,
    /// Counts calls of `advance`; orders streams by when they last spoke.
    turn: u64,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    sequence: u64,
    turn: u64,
}

impl Cursors {
    /// Highest number kept of `stream`; 0 if none.
    pub(crate) fn highest(&self, stream: DynoId) -> u64 {
        self.streams
            .get(&stream)
            .map_or(0, |position| position.sequence)
    }

    /// Notes that `sequence` is kept; false if it already was.
    pub(crate) fn advance(&mut self, stream: DynoId, sequence: u64) -> bool {
        self.turn += 1;
        let turn = self.turn;
        let position = self
            .streams
            .entry(stream)
            .or_insert(Position { sequence: 0, turn });
        if sequence <= position.sequence {
            return false;
        }
        *position = Position { sequence, turn };
        true
    }

    /// 24 bytes per stream, the most recent speakers, oldest of them first.
    pub(crate) fn encode(&mut self, buffer: &mut Vec<u8>) {
        let mut streams: Vec<_> = self.streams.iter().map(|(id, at)| (*id, *at)).collect();
        streams.sort_unstable_by_key(|(_, position)| position.turn);
        let surplus = streams.len().saturating_sub(MAX_STREAMS);
        for (forgotten, _) in streams.drain(..surplus) {
            self.streams.remove(&forgotten);
        }
        for (stream, position) in streams {
            buffer.extend_from_slice(&id_bytes(stream));
            buffer.extend_from_slice(&position.sequence.to_le_bytes());
        }
    }

    pub(crate) fn decode(mut payload: &[u8]) -> Self {
        let mut cursors = Self::default();
        while let Some((stream, rest)) = payload.split_first_chunk::<16>()
            && let Some((sequence, rest)) = rest.split_first_chunk::<8>()
        {
            cursors.advance(id_from_bytes(*stream), u64::from_le_bytes(*sequence));
            payload = rest;
        }
        cursors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_streams_silent_for_longest_are_forgotten_first() {
        let quiet = DynoId::new();
        let busy = DynoId::new();
        let mut cursors = Cursors::default();
        assert!(cursors.advance(quiet, 3) && cursors.advance(busy, 5));
        for _ in 1..MAX_STREAMS {
            cursors.advance(DynoId::new(), 1);
        }
        assert!(cursors.advance(busy, 6) && !cursors.advance(busy, 6));
        let mut bytes = Vec::new();
        cursors.encode(&mut bytes);
        let read = Cursors::decode(&bytes);
        assert_eq!((read.highest(quiet), read.highest(busy)), (0, 6));
    }
}
