//! A file on its way to a client: in pieces, so that it is never in memory as a whole. What the
//! kernel has in memory is read at once; for the rest a thread waits that serves no requests.

use std::{
    io::{self, IoSliceMut},
    os::fd::OwnedFd,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use rustix::io::{ReadWriteFlags, pread, preadv2};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{
    codes::Code,
    exchange::Exchange,
    proxy::{Head, Packing, ReplyError},
};

const PIECE_BYTES: u64 = 64 * 1024;

/// Part of a file, or all of it.
pub(crate) struct FileBody {
    file: Arc<OwnedFd>,
    at: u64,
    left: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    packing: Option<Packing>,
    exchange: Option<Exchange<Rc<Head>>>,
}

impl FileBody {
    /// So many bytes of a file, from the first one on.
    pub(super) fn new(
        file: OwnedFd,
        (first, bytes): (u64, u64),
        packing: Option<Packing>,
        exchange: Exchange<Rc<Head>>,
    ) -> Self {
        Self {
            file: Arc::new(file),
            at: first,
            left: bytes,
            reading: None,
            packing,
            exchange: Some(exchange),
        }
    }

    /// It cannot be brought to its end.
    pub(crate) fn fail(&mut self, code: Code) {
        if let Some(exchange) = self.exchange.take() {
            exchange.fail(code);
        }
    }

    fn finish(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.finish();
        }
    }

    /// The next frame; `None` at the end.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Frame<Bytes>>>> {
        while let Some(packing) = &mut self.packing {
            match packing.take()? {
                Some(frame) => return Poll::Ready(Ok(Some(frame))),
                None if packing.is_over() => return Poll::Ready(Ok(None)),
                None if self.left == 0 => packing.end(None),
                None => {
                    let piece = ready!(self.poll_piece(context))?;
                    if let Some(packing) = &mut self.packing {
                        packing.put(piece);
                    }
                }
            }
        }
        if self.left == 0 {
            return Poll::Ready(Ok(None));
        }
        let piece = ready!(self.poll_piece(context))?;
        Poll::Ready(Ok(Some(Frame::data(piece))))
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let (at, bytes) = (self.at, self.left.min(PIECE_BYTES));
        let known = match self.reading {
            Some(_) => None,
            None => read_at_once(&self.file, at, bytes),
        };
        let piece = if let Some(piece) = known {
            piece
        } else {
            let file = &self.file;
            let reading = self.reading.get_or_insert_with(|| {
                let file = Arc::clone(file);
                spawn_blocking(move || read(&file, at, bytes))
            });
            let read = ready!(Pin::new(reading).poll(context));
            self.reading = None;
            read.unwrap_or_else(|error| Err(error.into()))?
        };
        if piece.is_empty() {
            // Layers never change, so this one was damaged.
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.at += piece.len() as u64;
        self.left -= piece.len() as u64;
        Poll::Ready(Ok(piece))
    }
}

/// `None` if it has to be fetched from a disk. Also where the file system cannot tell; what is really
/// wrong, the other thread finds out.
fn read_at_once(file: &OwnedFd, at: u64, bytes: u64) -> Option<Bytes> {
    let mut piece = room(bytes);
    let mut slices = [IoSliceMut::new(&mut piece)];
    let count = preadv2(file, &mut slices, at, ReadWriteFlags::NOWAIT).ok()?;
    piece.truncate(count);
    Some(piece.into())
}

fn read(file: &OwnedFd, at: u64, bytes: u64) -> io::Result<Bytes> {
    let mut piece = room(bytes);
    let count = pread(file, &mut piece[..], at)?;
    piece.truncate(count);
    Ok(piece.into())
}

fn room(bytes: u64) -> Vec<u8> {
    vec![0; usize::try_from(bytes).unwrap_or(0)]
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = ReplyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        match ready!(self.poll_next(context)) {
            Ok(Some(frame)) => {
                if let (Some(piece), Some(exchange)) = (frame.data_ref(), &mut self.exchange) {
                    exchange.count(piece.len() as u64);
                }
                if self.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Ok(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Err(error) => {
                self.fail(Code::H99);
                Poll::Ready(Some(Err(ReplyError::File(error))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.packing {
            Some(packing) => packing.is_over(),
            None => self.left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.packing {
            Some(_) => SizeHint::new(),
            None => SizeHint::with_exact(self.left),
        }
    }
}

impl Drop for FileBody {
    /// An empty file is never read.
    fn drop(&mut self) {
        if self.is_end_stream() {
            self.finish();
        }
    }
}
