//! A thread's buffers: taken when bytes come, given back when they are gone, so that an idle
//! connection has none.

use std::{
    cell::RefCell,
    io,
    ops::{Deref, DerefMut},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

/// For heads and the first bytes behind them.
pub(crate) const SMALL_BYTES: usize = 8 * 1024;
/// For bodies, and the longest heads: 64 KB and the head before them come in one read.
pub(crate) const LARGE_BYTES: usize = 72 * 1024;
/// Of each kind; what is given back beyond is freed.
const MAX_KEPT: usize = 64;
/// A text that grew longer is not kept.
const MAX_KEPT_TEXT_BYTES: usize = 32 * 1024;

/// What waits to be used again.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    small: RefCell<Vec<Box<[u8]>>>,
    large: RefCell<Vec<Box<[u8]>>>,
    texts: RefCell<Vec<Vec<u8>>>,
}

/// Bytes that came and were not used yet, with room for more.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    home: Rc<Buffers>,
}

/// Bytes that are put together to be sent.
#[derive(Debug)]
pub(crate) struct Text {
    bytes: Vec<u8>,
    home: Rc<Buffers>,
}

impl Buffers {
    pub(crate) fn small(self: &Rc<Self>) -> Buffer {
        self.buffer(&self.small, SMALL_BYTES)
    }

    pub(crate) fn large(self: &Rc<Self>) -> Buffer {
        self.buffer(&self.large, LARGE_BYTES)
    }

    pub(crate) fn text(self: &Rc<Self>) -> Text {
        Text {
            bytes: self.texts.borrow_mut().pop().unwrap_or_default(),
            home: Rc::clone(self),
        }
    }

    fn buffer(self: &Rc<Self>, kept: &RefCell<Vec<Box<[u8]>>>, size: usize) -> Buffer {
        let kept = kept.borrow_mut().pop();
        Buffer {
            bytes: kept.unwrap_or_else(|| vec![0; size].into_boxed_slice()),
            start: 0,
            end: 0,
            home: Rc::clone(self),
        }
    }
}

impl Buffer {
    pub(crate) fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Forgets the first bytes.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.start = (self.start + bytes).min(self.end);
    }

    /// Room behind the bytes; makes room if there is none, by moving them to the front.
    fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Whether so many more bytes fit in.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.bytes.len() - (self.end - self.start) >= bytes
    }

    pub(crate) fn is_small(&self) -> bool {
        self.bytes.len() <= SMALL_BYTES
    }

    /// Appends as much as fits.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> usize {
        let space = self.space();
        let count = space.len().min(bytes.len());
        if let (Some(to), Some(from)) = (space.get_mut(..count), bytes.get(..count)) {
            to.copy_from_slice(from);
        }
        self.end += count;
        count
    }

    /// Reads once; 0 at the end of the stream. There must be room.
    pub(crate) fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Poll<io::Result<usize>> {
        let mut space = ReadBuf::new(self.space());
        ready!(Pin::new(stream).poll_read(context, &mut space))?;
        let count = space.filled().len();
        self.end += count;
        Poll::Ready(Ok(count))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let kept = if self.is_small() {
            &self.home.small
        } else {
            &self.home.large
        };
        let mut kept = kept.borrow_mut();
        if kept.len() < MAX_KEPT {
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

impl Deref for Text {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Text {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        let mut kept = self.home.texts.borrow_mut();
        if kept.len() < MAX_KEPT && self.bytes.capacity() <= MAX_KEPT_TEXT_BYTES {
            self.bytes.clear();
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}
