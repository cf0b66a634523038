//! Handing over to a router that takes this one's place: routes, access log, sockets, in an order
//! that lets either of the two go on alone if the other fails.
//!
//! Read [`Control::give`]; the other end is [`crate::handover::Former`].

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Interest},
    net::UnixStream,
    time::timeout,
};

use super::Control;
use crate::{
    handover::{READY, Sockets, TAKE_OVER},
    run::Stop,
};

/// For the other router to say what it wants.
const WORD_TIMEOUT: Duration = Duration::from_secs(2);
/// For it to start.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// The listening sockets while they may be handed over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given(Arc<Mutex<Option<Arc<Sockets>>>>);

impl Given {
    pub(crate) fn new(sockets: Arc<Sockets>) -> Self {
        Self(Arc::new(Mutex::new(Some(sockets))))
    }

    /// Lets go of them, so that they close with the threads that accept from them.
    pub(crate) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn sockets(&self) -> Option<Arc<Sockets>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Control {
    /// Hands over to who connected. The caller has let go of the server and its socket, so that
    /// nothing changes meanwhile. Errors when it came to nothing: then this router goes on.
    pub(super) async fn give(&self, stream: UnixStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        hear(&mut stream, TAKE_OVER, WORD_TIMEOUT).await?;
        let sockets = self.given.sockets().ok_or(io::ErrorKind::NotConnected)?;
        tracing::info!("another router takes over");
        self.spool.release().await;
        let history = self.watcher.hold().await;
        let handed = async {
            let raw = stream.get_ref();
            raw.async_io(Interest::WRITABLE, || sockets.send(raw))
                .await?;
            hear(&mut stream, READY, START_TIMEOUT).await?;
            let stream = stream.into_inner().into_std()?;
            stream.set_nonblocking(false)?;
            stream.set_write_timeout(Some(WORD_TIMEOUT))?;
            Ok(stream)
        };
        match handed.await {
            Ok(stream) => {
                self.spool.forward(stream);
                history.give();
                self.given.close();
                self.stop.send_replace(Stop::Leaving);
                Ok(())
            }
            Err(error) => {
                self.spool.resume();
                Err(error)
            }
        }
    }
}

async fn hear(stream: &mut BufReader<UnixStream>, word: &str, limit: Duration) -> io::Result<()> {
    let mut line = String::new();
    timeout(limit, stream.read_line(&mut line)).await??;
    if line == word {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "the other router says {line:?}, not {word:?}"
    )))
}
