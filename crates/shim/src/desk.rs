//! Files of the dyno's directory that the shim keeps open.

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd, unix::net::UnixListener},
    path::Path,
};

use shim::{
    files,
    spool::{SEGMENT_BYTES, Writer},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Desk {
    /// Locked for as long as this is kept, which tells that the shim lives.
    pub(crate) lock: File,
    /// What the dyno writes.
    pub(crate) spool: Writer,
    /// The control socket.
    pub(crate) listener: UnixListener,
}

impl Desk {
    /// Makes them all.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let lock = File::create(directory.join(files::LOCK))?;
        lock.lock()?;
        let spool = Writer::create(&directory.join(files::LOG), SEGMENT_BYTES)?;
        // The address of a socket is short, the path of a directory may not be.
        let short = File::open(directory)?;
        let address = format!("/proc/self/fd/{}/{}", short.as_raw_fd(), files::CONTROL);
        let listener = UnixListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            lock,
            spool,
            listener,
        })
    }
}
