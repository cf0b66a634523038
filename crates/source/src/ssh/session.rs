//! What one SSH client may ask, in russh's words: sign in with a key, open a channel, say which
//! version of git's protocol it speaks, run one of git's commands. All else is refused.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use api::{
    accounts::Account,
    client::{Client, ClientError},
};
use http::StatusCode;
use russh::{
    Channel, ChannelId, Error, Pty,
    keys::{Algorithm, HashAlg, PublicKey},
    server::{
        Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session as Connection,
        VerifiedPublicKey,
    },
};

use super::{SshDoor, command::Command, exchange};
use crate::{front::Front, target};

/// Keys that a client may offer one after the other, as an agent that holds many does; each is
/// looked up.
pub(super) const MAX_OFFERS: usize = 20;
/// Channels in the life of one connection, for those who share it between many commands.
const MAX_CHANNELS: usize = 100;
/// The variable by which git offers a version of its protocol.
const GIT_PROTOCOL: &str = "GIT_PROTOCOL";

/// One connection.
pub(super) struct Session {
    front: Arc<Front>,
    door: Arc<SshDoor>,
    has_begun: Arc<AtomicBool>,
    offers: usize,
    signed_in: Option<SignedIn>,
    channels: HashMap<ChannelId, Waiting>,
    opened: usize,
}

struct SignedIn {
    client: Client,
    email: String,
}

/// A channel on which nothing runs yet.
struct Waiting {
    channel: Channel<Msg>,
    protocol: Option<String>,
}

impl Session {
    pub(super) fn new(front: Arc<Front>, door: Arc<SshDoor>, has_begun: Arc<AtomicBool>) -> Self {
        Self {
            front,
            door,
            has_begun,
            offers: 0,
            signed_in: None,
            channels: HashMap::new(),
            opened: 0,
        }
    }

    /// The API as the key's owner, if it is anybody's.
    async fn holder(&self, key: &PublicKey, algorithm: &Algorithm) -> Option<SignedIn> {
        // SHA-1 signatures can be forged.
        if matches!(algorithm, Algorithm::Rsa { hash: None }) {
            return None;
        }
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let client = Client::anonymous((self.door.transport)(&fingerprint));
        let account: Result<Account, ClientError> = client.account().await;
        match account {
            Ok(account) => Some(SignedIn {
                client,
                email: account.email,
            }),
            Err(error) if error.status() == Some(StatusCode::UNAUTHORIZED) => None,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the platform does not say whose an SSH key is"
                );
                None
            }
        }
    }

    /// Runs a task on a channel that waits; `false` if it does not.
    fn begin(&mut self, id: ChannelId, line: Option<&[u8]>) -> bool {
        let (Some(waiting), Some(signed_in)) = (self.channels.remove(&id), &self.signed_in) else {
            return false;
        };
        self.has_begun.store(true, Ordering::Relaxed);
        let greeting = || {
            format!(
                "Hi {}, your key works. There is no shell here, only git.",
                signed_in.email
            )
        };
        let command = match line {
            None => Err(greeting()),
            Some(line) => Command::parse(line).map_err(|refusal| refusal.to_string()),
        };
        match command {
            Ok(command) => drop(tokio::spawn(exchange::run(
                Arc::clone(&self.front),
                signed_in.client.clone(),
                waiting.channel,
                (command, waiting.protocol),
            ))),
            Err(words) => drop(tokio::spawn(exchange::refuse(waiting.channel, words))),
        }
        true
    }
}

fn answer(connection: &mut Connection, id: ChannelId, is_granted: bool) -> Result<(), Error> {
    if is_granted {
        connection.channel_success(id)
    } else {
        connection.channel_failure(id)
    }
}

impl Handler for Session {
    type Error = Error;

    async fn auth_publickey_offered(
        &mut self,
        _: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Error> {
        self.offers += 1;
        if self.offers > MAX_OFFERS {
            return Err(Error::Disconnect);
        }
        let holder = self.holder(offer.public_key, offer.algorithm).await;
        Ok(holder.map_or_else(Auth::reject, |_| Auth::Accept))
    }

    async fn auth_publickey(&mut self, _: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Error> {
        self.signed_in = self.holder(key.public_key, key.algorithm).await;
        let is_known = self.signed_in.is_some();
        Ok(if is_known {
            Auth::Accept
        } else {
            Auth::reject()
        })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Connection,
    ) -> Result<(), Error> {
        self.opened += 1;
        if self.signed_in.is_none() || self.opened > MAX_CHANNELS {
            return Ok(());
        }
        let waiting = Waiting {
            channel,
            protocol: None,
        };
        self.channels.insert(waiting.channel.id(), waiting);
        reply.accept().await;
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut Connection) -> Result<(), Error> {
        self.channels.remove(&id);
        Ok(())
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &str,
        value: &str,
        connection: &mut Connection,
    ) -> Result<(), Error> {
        let protocol = (name == GIT_PROTOCOL).then(|| target::protocol(value));
        let is_taken = match (protocol.flatten(), self.channels.get_mut(&id)) {
            (Some(protocol), Some(waiting)) => {
                waiting.protocol = Some(protocol);
                true
            }
            _ => false,
        };
        answer(connection, id, is_taken)
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        line: &[u8],
        connection: &mut Connection,
    ) -> Result<(), Error> {
        let has_begun = self.begin(id, Some(line));
        answer(connection, id, has_begun)
    }

    async fn shell_request(
        &mut self,
        id: ChannelId,
        connection: &mut Connection,
    ) -> Result<(), Error> {
        let has_begun = self.begin(id, None);
        answer(connection, id, has_begun)
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        connection: &mut Connection,
    ) -> Result<(), Error> {
        answer(connection, id, false)
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _: &str,
        connection: &mut Connection,
    ) -> Result<(), Error> {
        answer(connection, id, false)
    }

    async fn x11_request(
        &mut self,
        id: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        connection: &mut Connection,
    ) -> Result<(), Error> {
        answer(connection, id, false)
    }
}
