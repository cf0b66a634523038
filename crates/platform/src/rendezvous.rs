//! Where attached one-off dynos wait for their owners: a secret stands for a dyno, once.
//!
//! Knows nothing of the wire; the server calls [`Platform::meet`] for whoever shows a secret. Read
//! [`Attached`] first.

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use api::ids::{AppId, DynoId};
use engine::AttachStream;
use rand::Rng;
use store::Dyno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    Platform,
    claims::Claim,
    error::{Error, Result},
    nudges::Nudges,
};

/// An attached dyno whose owner has not come by then is stopped.
const PATIENCE: Duration = Duration::from_mins(1);

/// Attached runs that wait for their owner: secret → dyno. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rendezvous(Arc<Mutex<HashMap<String, Waiting>>>);

#[derive(Debug)]
struct Waiting {
    dyno: DynoId,
    has_terminal: bool,
    attendance: Attendance,
}

/// Keeps an attached dyno from being forgotten before its owner has read all of it. Dropping it
/// has the app looked at.
#[derive(Debug)]
struct Attendance {
    claim: Option<Claim>,
    nudges: Nudges,
    app: AppId,
}

impl Drop for Attendance {
    fn drop(&mut self) {
        self.claim = None;
        self.nudges.nudge(self.app);
    }
}

/// An attached one-off dyno and how it was started.
pub struct Attached {
    /// Both directions.
    pub stream: Box<dyn AttachStream>,
    /// With a terminal, byte 0x04 ends the input by itself.
    pub has_terminal: bool,
}

impl Platform {
    /// Meets an attached dyno. A secret works once.
    ///
    /// # Errors
    /// `NotFound` for a secret that is unknown or spent.
    pub async fn meet(&self, secret: &str) -> Result<Attached> {
        let missing = || Error::NotFound {
            resource: "rendezvous",
            name: "secret".to_owned(),
        };
        let waiting = self.rendezvous.take(secret).ok_or_else(missing)?;
        match self.engine.attach(waiting.dyno).await {
            Ok(stream) => Ok(Attached {
                stream: Box::new(Attended {
                    stream,
                    _attendance: waiting.attendance,
                }),
                has_terminal: waiting.has_terminal,
            }),
            Err(error) => {
                // Nobody can come any more.
                self.dismiss(waiting);
                Err(error.into())
            }
        }
    }

    /// The secret to meet a dyno with. Without anybody who shows it, the dyno is stopped after a
    /// while; until its owner has left, it is not forgotten.
    pub(crate) fn expect_owner(
        &self,
        dyno: &Dyno,
        has_terminal: bool,
        claim: Option<Claim>,
    ) -> String {
        let secret = self.rendezvous.add(Waiting {
            dyno: dyno.id,
            has_terminal,
            attendance: Attendance {
                claim,
                nudges: self.nudges.clone(),
                app: dyno.app,
            },
        });
        let (platform, unclaimed) = (self.clone(), secret.clone());
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            if let Some(waiting) = platform.rendezvous.take(&unclaimed) {
                tracing::info!(dyno = %waiting.dyno, "nobody came to attach");
                platform.dismiss(waiting);
            }
        });
        secret
    }

    fn dismiss(&self, waiting: Waiting) {
        let platform = self.clone();
        tokio::spawn(async move {
            platform.stop_run(waiting.dyno).await;
            drop(waiting);
        });
    }
}

impl Rendezvous {
    fn add(&self, waiting: Waiting) -> String {
        let mut random = rand::rng();
        // 160 random bits: what the server takes for a secret is 43 bytes long.
        let secret = format!(
            "rz-{:032x}{:08x}",
            random.random::<u128>(),
            random.random::<u32>()
        );
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(secret.clone(), waiting);
        secret
    }

    fn take(&self, secret: &str) -> Option<Waiting> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(secret)
    }
}

/// The stream of a dyno whose owner has come.
struct Attended {
    stream: Box<dyn AttachStream>,
    _attendance: Attendance,
}

impl AsyncRead for Attended {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Attended {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
