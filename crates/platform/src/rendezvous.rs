//! Where clients meet what was started for them: a secret stands for a dyno, a command inside one or
//! one of its ports.
//!
//! Knows nothing of the wire; the server calls [`Platform::meet`] for whoever shows a secret. Read
//! [`Attached`] first.

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use api::ids::{AppId, DynoId};
use engine::AttachStream;
use logs::LogSource;
use rand::Rng;
use store::Dyno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    Platform,
    claims::Claim,
    error::{Error, Result},
    inside::Session,
    nudges::Nudges,
};

/// [`crate::Settings::attach_within`] unless told otherwise.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// What is said of a one-off dyno that is stopped because nobody came.
const UNATTENDED: &str = "Error R13 (Attach error) -> Failed to attach to process";
/// How secrets of [`Manner::Raw`] end, so that a client is told in its own terms that one is spent.
const RAW_END: char = 'r';

/// What waits for clients: by secret. Cloning shares it.
#[derive(Clone, Default)]
pub(crate) struct Rendezvous(Arc<Mutex<HashMap<String, Waiting>>>);

/// What waits for a client.
pub(crate) enum Waiting {
    /// An attached one-off dyno.
    Attached {
        dyno: DynoId,
        has_terminal: bool,
        attendance: Attendance,
    },
    /// A command inside a dyno.
    Inside {
        stream: Box<dyn AttachStream>,
        manner: Manner,
        session: Box<Session>,
    },
    /// A port of a dyno, for any number of connections.
    Port {
        dyno: DynoId,
        port: u16,
        session: Arc<Session>,
        /// Whether anybody came since this was last looked at.
        was_used: bool,
    },
}

/// What goes through a stream, and how its input ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// A terminal's, where byte 0x04 ends the input by itself.
    #[default]
    Terminal,
    /// A pipe's, where a last 0x04 has to be made the end of input.
    Pipes,
    /// Any bytes; each direction ends with its half of the connection.
    Raw,
}

impl Manner {
    /// Whether a secret, even a spent one, was made for raw bytes.
    pub fn is_raw_secret(secret: &str) -> bool {
        secret.ends_with(RAW_END)
    }
}

/// Keeps an attached dyno from being forgotten before its owner has read all of it. Dropping it
/// has the app looked at.
#[derive(Debug)]
pub(crate) struct Attendance {
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

/// What a client has met.
pub struct Attached {
    /// Both directions.
    pub stream: Box<dyn AttachStream>,
    /// What goes through it.
    pub manner: Manner,
}

impl Platform {
    /// Meets what a secret stands for. A secret works once, but for those of ports.
    ///
    /// # Errors
    /// `NotFound` for a secret that is unknown or spent, `Engine` when nothing listens on a port.
    pub async fn meet(&self, secret: &str) -> Result<Attached> {
        let missing = || Error::NotFound {
            resource: "rendezvous",
            name: "secret".to_owned(),
        };
        match self.rendezvous.take(secret).ok_or_else(missing)? {
            Waiting::Attached {
                dyno,
                has_terminal,
                attendance,
            } => match self.engine.attach(dyno).await {
                Ok(stream) => Ok(Attached {
                    stream: attended(stream, attendance),
                    manner: terminal_or_pipes(has_terminal),
                }),
                Err(error) => {
                    // Nobody can come any more.
                    self.dismiss(dyno, attendance);
                    Err(error.into())
                }
            },
            Waiting::Inside {
                stream,
                manner,
                session,
            } => Ok(Attached {
                stream: attended(stream, session),
                manner,
            }),
            Waiting::Port {
                dyno,
                port,
                session,
                ..
            } => Ok(Attached {
                stream: attended(self.engine.connect(dyno, port).await?, session),
                manner: Manner::Raw,
            }),
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
        self.expect_visitor(Waiting::Attached {
            dyno: dyno.id,
            has_terminal,
            attendance: Attendance {
                claim,
                nudges: self.nudges.clone(),
                app: dyno.app,
            },
        })
    }

    /// The secret to meet something with, for a while.
    pub(crate) fn expect_visitor(&self, waiting: Waiting) -> String {
        let secret = self.rendezvous.add(waiting);
        let (platform, unclaimed) = (self.clone(), secret.clone());
        tokio::spawn(async move {
            tokio::time::sleep(platform.settings.attach_within).await;
            match platform.rendezvous.take(&unclaimed) {
                None => {}
                Some(Waiting::Attached {
                    dyno, attendance, ..
                }) => {
                    platform.tell_unattended(dyno, attendance.app).await;
                    platform.dismiss(dyno, attendance);
                }
                // Dropped, a command is hung up.
                Some(Waiting::Inside { .. } | Waiting::Port { .. }) => {
                    tracing::info!("nobody came to a session inside a dyno");
                }
            }
        });
        secret
    }

    /// The secret to connect to a port with, until nobody has for a while.
    pub(crate) fn expect_connections(&self, dyno: &Dyno, port: u16, session: Session) -> String {
        let secret = self.rendezvous.add(Waiting::Port {
            dyno: dyno.id,
            port,
            session: Arc::new(session),
            was_used: false,
        });
        let (platform, idle) = (self.clone(), secret.clone());
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(platform.settings.attach_within).await;
                if !platform.rendezvous.keep_if_used(&idle) {
                    return;
                }
            }
        });
        secret
    }

    /// Heroku's R13.
    async fn tell_unattended(&self, dyno: DynoId, app: AppId) {
        tracing::info!(%dyno, "nobody came to attach");
        match self.store.dyno(dyno).await {
            Ok(row) => {
                self.say(app, LogSource::Heroku, row.name.as_str(), UNATTENDED)
                    .await;
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, %dyno, "it has ended by itself");
            }
        }
    }

    fn dismiss(&self, dyno: DynoId, attendance: Attendance) {
        let platform = self.clone();
        tokio::spawn(async move {
            platform.stop_run(dyno).await;
            drop(attendance);
        });
    }
}

fn terminal_or_pipes(has_terminal: bool) -> Manner {
    if has_terminal {
        Manner::Terminal
    } else {
        Manner::Pipes
    }
}

impl Waiting {
    fn is_raw(&self) -> bool {
        match self {
            Self::Attached { .. } => false,
            Self::Inside { manner, .. } => *manner == Manner::Raw,
            Self::Port { .. } => true,
        }
    }
}

impl Rendezvous {
    fn add(&self, waiting: Waiting) -> String {
        let mut random = rand::rng();
        // 156 random bits and what they are for: the server takes 43 bytes for a secret.
        let secret = format!(
            "rz-{:032x}{:07x}{}",
            random.random::<u128>(),
            random.random::<u32>() >> 4,
            if waiting.is_raw() { RAW_END } else { '0' },
        );
        self.lock().insert(secret.clone(), waiting);
        secret
    }

    /// What the secret stands for; a port stays there for others.
    fn take(&self, secret: &str) -> Option<Waiting> {
        let mut all = self.lock();
        if let Some(Waiting::Port {
            dyno,
            port,
            session,
            was_used,
        }) = all.get_mut(secret)
        {
            *was_used = true;
            return Some(Waiting::Port {
                dyno: *dyno,
                port: *port,
                session: Arc::clone(session),
                was_used: true,
            });
        }
        all.remove(secret)
    }

    /// Removes a port that nobody uses or has used since the last look. Returns whether it is kept.
    fn keep_if_used(&self, secret: &str) -> bool {
        let mut all = self.lock();
        let Some(Waiting::Port {
            session, was_used, ..
        }) = all.get_mut(secret)
        else {
            return false;
        };
        let is_kept = std::mem::take(was_used) || Arc::strong_count(session) > 1;
        let removed = if is_kept { None } else { all.remove(secret) };
        drop(all);
        removed.is_none()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream, and what is held for as long as somebody has it.
struct Attended<T> {
    stream: Box<dyn AttachStream>,
    _held: T,
}

fn attended<T: Send + Unpin + 'static>(
    stream: Box<dyn AttachStream>,
    held: T,
) -> Box<dyn AttachStream> {
    Box::new(Attended {
        stream,
        _held: held,
    })
}

impl<T: Unpin> AsyncRead for Attended<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<T: Unpin> AsyncWrite for Attended<T> {
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
