//! Compressing a body piece by piece, at levels that are fast, in windows that are small; and how many
//! may at once.

use std::{
    cell::{Cell, RefCell},
    io::{self, Write},
    rc::Rc,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

use super::Coding;

/// Responses that one thread compresses at once; more go as they are.
const MAX_AT_ONCE: usize = 64;
const GZIP_LEVEL: u32 = 4;
const BROTLI_QUALITY: u32 = 4;
const ZSTD_LEVEL: i32 = 3;
/// 256 kB: more gains little on pages.
const WINDOW_BITS: u32 = 18;
const BROTLI_BUFFER_BYTES: usize = 4096;

/// How many more responses a thread may compress.
#[derive(Debug, Default)]
pub(crate) struct Seats(Rc<Cell<usize>>);

/// One of them; it is free again when this is dropped.
#[derive(Debug)]
struct Seat(Rc<Cell<usize>>);

/// Compresses one body.
pub(crate) struct Encoder {
    machine: Machine,
    /// What came out and was not taken yet.
    out: Sink,
    /// Something went in that may not have come out.
    holds: bool,
    _seat: Seat,
}

enum Machine {
    Gzip(GzEncoder<Sink>),
    Brotli(Box<brotli::CompressorWriter<Sink>>),
    Zstd(zstd::stream::write::Encoder<'static, Sink>),
    Ended,
    /// There was no memory for it.
    Failed(io::Error),
}

#[derive(Clone, Default)]
struct Sink(Rc<RefCell<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seats {
    /// Whether there is one left.
    pub(crate) fn has_room(&self) -> bool {
        self.0.get() < MAX_AT_ONCE
    }

    fn take(&self) -> Seat {
        self.0.set(self.0.get() + 1);
        Seat(Rc::clone(&self.0))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Encoder {
    pub(crate) fn new(coding: Coding, seats: &Seats) -> Self {
        let out = Sink::default();
        let machine = match coding {
            Coding::Gzip => {
                Machine::Gzip(GzEncoder::new(out.clone(), Compression::new(GZIP_LEVEL)))
            }
            Coding::Brotli => Machine::Brotli(Box::new(brotli::CompressorWriter::new(
                out.clone(),
                BROTLI_BUFFER_BYTES,
                BROTLI_QUALITY,
                WINDOW_BITS,
            ))),
            Coding::Zstd => {
                let encoder = zstd::stream::write::Encoder::new(out.clone(), ZSTD_LEVEL);
                let windowed = encoder.and_then(|mut encoder| {
                    encoder.window_log(WINDOW_BITS)?;
                    Ok(encoder)
                });
                windowed.map_or_else(Machine::Failed, Machine::Zstd)
            }
        };
        Self {
            machine,
            out,
            holds: false,
            _seat: seats.take(),
        }
    }

    /// Puts a piece in. Returns what came out, which may be nothing.
    pub(crate) fn push(&mut self, piece: &[u8]) -> io::Result<Bytes> {
        self.holds = true;
        match &mut self.machine {
            Machine::Gzip(encoder) => encoder.write_all(piece)?,
            Machine::Brotli(encoder) => encoder.write_all(piece)?,
            Machine::Zstd(encoder) => encoder.write_all(piece)?,
            Machine::Ended => {}
            Machine::Failed(error) => return Err(error.kind().into()),
        }
        Ok(self.taken())
    }

    /// Returns what is still inside, so that the client can read all that came so far.
    pub(crate) fn flush(&mut self) -> io::Result<Bytes> {
        if std::mem::take(&mut self.holds) {
            match &mut self.machine {
                Machine::Gzip(encoder) => encoder.flush()?,
                Machine::Brotli(encoder) => encoder.flush()?,
                Machine::Zstd(encoder) => encoder.flush()?,
                Machine::Ended | Machine::Failed(_) => {}
            }
        }
        Ok(self.taken())
    }

    /// Returns the last bytes. Nothing goes in any more.
    pub(crate) fn finish(&mut self) -> io::Result<Bytes> {
        self.holds = false;
        match std::mem::replace(&mut self.machine, Machine::Ended) {
            Machine::Gzip(encoder) => drop(encoder.finish()?),
            Machine::Brotli(encoder) => drop(encoder.into_inner()),
            Machine::Zstd(encoder) => drop(encoder.finish()?),
            Machine::Ended => {}
            Machine::Failed(error) => return Err(error),
        }
        Ok(self.taken())
    }

    fn taken(&mut self) -> Bytes {
        std::mem::take(&mut *self.out.0.borrow_mut()).into()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn plain(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain),
            Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut plain),
            Coding::Zstd => zstd::stream::read::Decoder::new(bytes)
                .unwrap()
                .read_to_end(&mut plain),
        }
        .unwrap();
        plain
    }

    #[test]
    fn what_goes_in_comes_out_and_seats_are_free_again() {
        let seats = Seats::default();
        let text = "a line that repeats\n".repeat(5000);
        for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            let mut encoder = Encoder::new(coding, &seats);
            let mut packed = Vec::new();
            for piece in text.as_bytes().chunks(7001) {
                packed.extend(encoder.push(piece).unwrap());
                let flushed = encoder.flush().unwrap();
                assert!(!flushed.is_empty(), "{coding:?}");
                packed.extend(flushed);
                assert!(encoder.flush().unwrap().is_empty());
            }
            packed.extend(encoder.finish().unwrap());
            assert!(
                packed.len() < text.len() / 10,
                "{coding:?} {}",
                packed.len()
            );
            assert_eq!(plain(coding, &packed), text.as_bytes(), "{coding:?}");
            assert_eq!(seats.0.get(), 1);
        }
        let taken: Vec<_> = (0..MAX_AT_ONCE).map(|_| seats.take()).collect();
        assert!(!seats.has_room());
        drop(taken);
        assert!(seats.has_room() && seats.0.get() == 0);
    }
}
