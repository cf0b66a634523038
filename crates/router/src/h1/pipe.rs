//! A request's body between the connection that reads it and a task that sends it on: one piece at
//! a time, so that whoever is slower holds up the other.
//!
//! Both ends are of one thread. Read [`pipe`].

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use super::framing::BodyLength;
use crate::proxy::Spoilt;

/// What both ends share.
#[derive(Debug)]
struct Pipe {
    /// Not taken yet; empty if there is none.
    piece: Bytes,
    end: Option<Result<(), Spoilt>>,
    is_wanted: bool,
    /// Bytes still to be taken, if that is known.
    left: Option<u64>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Where the body goes in.
#[derive(Debug)]
pub(crate) struct Inlet(Rc<RefCell<Pipe>>);

/// Where it comes out.
#[derive(Debug)]
pub(crate) struct Outlet(Rc<RefCell<Pipe>>);

/// Both ends of a pipe for a body of this length.
pub(crate) fn pipe(length: BodyLength) -> (Inlet, Outlet) {
    let left = match length {
        BodyLength::None => Some(0),
        BodyLength::Bytes(bytes) => Some(bytes),
        BodyLength::Chunked | BodyLength::UntilClose => None,
    };
    let pipe = Rc::new(RefCell::new(Pipe {
        piece: Bytes::new(),
        end: (length == BodyLength::None).then_some(Ok(())),
        is_wanted: false,
        left,
        reader: None,
        writer: None,
    }));
    (Inlet(Rc::clone(&pipe)), Outlet(pipe))
}

impl Inlet {
    /// That was all, or there comes no more.
    pub(crate) fn end(&mut self, end: Result<(), Spoilt>) {
        self.0.borrow_mut().end.get_or_insert(end);
        wake(&self.0, |pipe| &mut pipe.reader);
    }

    /// Whether somebody has asked for the body; if not, the task is woken when that happens.
    pub(crate) fn is_wanted(&self, context: &Context<'_>) -> bool {
        let mut pipe = self.0.borrow_mut();
        if !pipe.is_wanted {
            pipe.writer = Some(context.waker().clone());
        }
        pipe.is_wanted
    }
}

impl Pipe {
    fn take(&mut self, context: &Context<'_>) -> Poll<Option<Result<Bytes, Spoilt>>> {
        self.is_wanted = true;
        if !self.piece.is_empty() {
            let piece = std::mem::take(&mut self.piece);
            if let Some(left) = &mut self.left {
                *left = left.saturating_sub(piece.len() as u64);
            }
            return Poll::Ready(Some(Ok(piece)));
        }
        match self.end {
            Some(Ok(())) => Poll::Ready(None),
            Some(Err(spoilt)) => Poll::Ready(Some(Err(spoilt))),
            None => {
                self.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Outlet {
    /// The next piece; `None` at the end.
    pub(crate) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Spoilt>>> {
        let taken = self.0.borrow_mut().take(context);
        // The other side may go on now, or begin at all.
        wake(&self.0, |pipe| &mut pipe.writer);
        taken
    }

    /// Whether nothing more comes out.
    pub(crate) fn is_over(&self) -> bool {
        let pipe = self.0.borrow();
        let is_all = pipe.end == Some(Ok(())) && pipe.piece.is_empty();
        is_all || pipe.left == Some(0)
    }

    /// How much still comes out, if that is known.
    pub(crate) fn bytes_left(&self) -> Option<u64> {
        self.0.borrow().left
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.0.borrow_mut().end.get_or_insert(Ok(()));
        wake(&self.0, |pipe| &mut pipe.writer);
    }
}

impl AsyncWrite for Inlet {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        {
            let mut pipe = self.0.borrow_mut();
            if pipe.end.is_some() {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if !pipe.piece.is_empty() {
                pipe.writer = Some(context.waker().clone());
                return Poll::Pending;
            }
            pipe.piece = Bytes::copy_from_slice(bytes);
        }
        wake(&self.0, |pipe| &mut pipe.reader);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Outside of a borrow: whoever is woken may be a task that is dropped with its end of the pipe.
fn wake(pipe: &RefCell<Pipe>, whom: impl Fn(&mut Pipe) -> &mut Option<Waker>) {
    let waker = whom(&mut pipe.borrow_mut()).take();
    if let Some(waker) = waker {
        waker.wake();
    }
}
