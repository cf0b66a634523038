//! git over SSH: who may connect, and for how long. Keys open it, and nothing but git is behind it:
//! no shell, no forwarding, no files.
//!
//! It must not know whose a key is: it asks the API with it, as with a token over HTTP. Read
//! [`serve`], then `session.rs` for what a client may ask and `exchange.rs` for how git answers.

mod command;
mod exchange;
mod places;
mod session;

use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use api::client::Transport;
use russh::{
    Disconnect, MethodKind, MethodSet, Preferred,
    keys::{
        Algorithm, PrivateKey,
        ssh_key::private::{Ed25519Keypair, KeypairData},
    },
    server::Config,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use self::{
    places::{Place, Places},
    session::Session,
};
use crate::front::Front;

/// From the connection to the first git command: whoever types a passphrase has the time.
const LOGIN_TIME: Duration = Duration::from_mins(2);
/// A connection on which nothing goes either way for so long is closed. git itself says something
/// every five seconds while a build runs; before that it may count objects for a while.
const IDLE_TIME: Duration = Duration::from_mins(5);
/// Refusals of one connection, its first question which ways there are among them: somewhat more than
/// the keys that may be offered, which `session.rs` counts.
const MAX_FAILURES: usize = session::MAX_OFFERS + 4;
/// Bytes under way to git, unacknowledged.
const WINDOW_BYTES: u32 = 2 << 20;
/// Messages of a channel that wait for git to take them: as many as fill the window.
const WAITING_MESSAGES: usize = 64;
/// Pause after the system refused a connection (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Carries what is asked with an SSH key, named by its `SHA256:…` fingerprint, which the client has
/// proved to hold.
pub type KeyTransport = dyn Fn(&str) -> Arc<dyn Transport> + Send + Sync;

/// What the SSH door is made of.
#[derive(Clone)]
pub struct SshDoor {
    host_key: PrivateKey,
    transport: Arc<KeyTransport>,
}

impl SshDoor {
    /// A door that shows the Ed25519 key with this seed.
    pub fn new(host_key_seed: &[u8; 32], transport: Arc<KeyTransport>) -> Self {
        let pair = Ed25519Keypair::from_seed(host_key_seed);
        let host_key = PrivateKey::new(KeypairData::Ed25519(pair), "landfall")
            .expect("a pair without encryption is a key");
        Self {
            host_key,
            transport,
        }
    }

    /// The public half of the host key, as it stands in `known_hosts` behind the host's name.
    pub fn host_key(&self) -> String {
        let mut key = self.host_key.public_key().clone();
        key.set_comment("");
        key.to_openssh().unwrap_or_default().trim_end().to_owned()
    }

    fn config(&self) -> Config {
        let strong = |key: &&Algorithm| !matches!(key, Algorithm::Rsa { hash: None });
        Config {
            methods: MethodSet::from(&[MethodKind::PublicKey][..]),
            // Whether a key is known is no secret to whoever holds it, and keys cannot be guessed.
            auth_rejection_time: Duration::from_millis(50),
            auth_rejection_time_initial: Some(Duration::ZERO),
            keys: vec![self.host_key.clone()],
            window_size: WINDOW_BYTES,
            channel_buffer_size: WAITING_MESSAGES,
            preferred: Preferred {
                key: Preferred::DEFAULT
                    .key
                    .iter()
                    .filter(strong)
                    .cloned()
                    .collect::<Vec<_>>()
                    .into(),
                // Packs are compressed already.
                compression: Cow::Borrowed(&[russh::compression::NONE]),
                ..Preferred::DEFAULT
            },
            max_auth_attempts: MAX_FAILURES,
            inactivity_timeout: Some(IDLE_TIME),
            keepalive_interval: Some(Duration::from_secs(30)),
            nodelay: true,
            ..Config::default()
        }
    }
}

impl std::fmt::Debug for SshDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SshDoor").finish_non_exhaustive()
    }
}

/// Takes connections for ever.
pub(crate) async fn serve(front: Arc<Front>, listener: TcpListener, door: SshDoor) -> ! {
    let config = Arc::new(door.config());
    let door = Arc::new(door);
    let places = Places::default();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let Some(place) = places.take(peer.ip()) else {
                    tracing::info!(%peer, "too many SSH connections");
                    continue;
                };
                let has_begun = Arc::new(AtomicBool::new(false));
                let session = Session::new(
                    Arc::clone(&front),
                    Arc::clone(&door),
                    Arc::clone(&has_begun),
                );
                tokio::spawn(connection(
                    Arc::clone(&config),
                    (stream, peer, place),
                    session,
                    has_begun,
                ));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an SSH connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    config: Arc<Config>,
    (stream, peer, _place): (TcpStream, SocketAddr, Place),
    session: Session,
    has_begun: Arc<AtomicBool>,
) {
    let greeting = russh::server::run_stream(config, stream, session);
    let mut running = match timeout(LOGIN_TIME, greeting).await {
        Ok(Ok(running)) => running,
        Ok(Err(error)) => return tracing::debug!(%peer, %error, "no SSH client"),
        Err(_) => return tracing::debug!(%peer, "a silent SSH client"),
    };
    let handle = running.handle();
    let late = async {
        sleep(LOGIN_TIME).await;
        if has_begun.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        ended = &mut running => ended,
        () = late => {
            let reason = Disconnect::ByApplication;
            let words = "nothing was asked for in time".to_owned();
            drop(handle.disconnect(reason, words, String::new()).await);
            running.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "an SSH connection ended");
    }
}
