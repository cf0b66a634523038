//! The connection to the router: kept, told the table and its changes, listened to.
//!
//! Read [`keep_connected`], then [`Sender::run`].

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use serde::Serialize;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt, BufReader},
    net::UnixStream,
    sync::watch,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    Addresses, FIRST_BACK_OFF, HELLO_TIMEOUT, LAST_BACK_OFF, PROTOCOL_WITH_ENTRIES,
    PROTOCOL_WITH_SLEEP, PROTOCOL_WITH_WORD, Told, View, WORD_INTERVAL, locked,
    model::{Batch, Model},
};
use crate::wire::{
    AppState, Entry, EntryKey, FromRouter, MessageReader, PROTOCOL, RouteTable, ToRouter,
    WireError, write_message,
};

/// Entries are written in pieces of about this size.
const PIECE_BYTES: usize = 128 * 1024;

pub(super) async fn keep_connected(
    socket: PathBuf,
    model: Arc<Mutex<Model>>,
    mut newest: watch::Receiver<u64>,
    told: Told,
) {
    let mut back_off = FIRST_BACK_OFF;
    while newest.has_changed().is_ok() {
        match follow(&socket, &model, &mut newest, &told).await {
            Ok(()) => tracing::info!("the router closed its connection"),
            Err(error) => tracing::debug!(%error, socket = %socket.display(), "no router"),
        }
        if told.view.borrow().connected.is_ok() {
            back_off = FIRST_BACK_OFF;
            told.view
                .send_modify(|view| view.connected = Err(Instant::now()));
        }
        sleep(back_off).await;
        back_off = (back_off * 2).min(LAST_BACK_OFF);
    }
}

/// One connection, from greeting to its end.
async fn follow(
    socket: &Path,
    model: &Mutex<Model>,
    newest: &mut watch::Receiver<u64>,
    told: &Told,
) -> Result<(), WireError> {
    let (reader, writer) = UnixStream::connect(socket).await?.into_split();
    let mut messages = MessageReader::new(BufReader::new(reader));
    let hello = timeout(HELLO_TIMEOUT, messages.next())
        .await
        .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
    let Some(FromRouter::Hello {
        protocol,
        http_addr,
        https_addr,
        pid,
        ..
    }) = hello
    else {
        return Ok(());
    };
    tracing::info!(pid, protocol, %http_addr, %https_addr, "the router is connected");
    let connections = told.view.borrow().connections + 1;
    let addresses = Addresses {
        http: http_addr,
        https: https_addr,
    };
    told.view
        .send_replace(View::connected(connections, addresses));
    let heard = async {
        while let Some(message) = messages.next().await? {
            told.hear(message);
        }
        Ok(())
    };
    let mut sender = Sender {
        writer,
        protocol,
        model,
        view: &told.view,
    };
    tokio::select! {
        heard = heard => heard,
        sent = sender.run(newest) => sent,
    }
}

/// What tells a connected router the table.
struct Sender<'a, W> {
    writer: W,
    /// What the router speaks.
    protocol: u32,
    model: &'a Mutex<Model>,
    view: &'a watch::Sender<View>,
}

impl<W: AsyncWrite + Unpin> Sender<'_, W> {
    /// Tells the newest version whenever the router has taken the one before: the whole table first,
    /// later what has changed.
    async fn run(&mut self, newest: &mut watch::Receiver<u64>) -> Result<(), WireError> {
        self.greet().await?;
        let mut words = interval(WORD_INTERVAL);
        words.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = None;
        loop {
            newest.borrow_and_update();
            let told = if self.protocol >= PROTOCOL_WITH_ENTRIES {
                self.tell_entries(last).await?
            } else {
                self.tell_whole().await?
            };
            if let Some(version) = told {
                if !self.is_taken(version).await {
                    tracing::warn!(version, "the router asks for the whole table");
                    sleep(FIRST_BACK_OFF).await;
                    last = None;
                    continue;
                }
                last = Some(version);
            }
            if !self.wait_newer(newest, &mut words).await? {
                return Ok(());
            }
        }
    }

    /// Waits for a newer version, and gives the server's word meanwhile. Returns false when there
    /// will be none.
    async fn wait_newer(
        &mut self,
        newest: &mut watch::Receiver<u64>,
        words: &mut Interval,
    ) -> Result<bool, WireError> {
        loop {
            tokio::select! {
                changed = newest.changed() => return Ok(changed.is_ok()),
                _ = words.tick(), if self.protocol >= PROTOCOL_WITH_WORD => {}
            }
            write_message(&mut self.writer, &ToRouter::Word).await?;
        }
    }

    async fn greet(&mut self) -> Result<(), WireError> {
        if self.protocol < PROTOCOL_WITH_SLEEP {
            let protocol = self.protocol;
            tracing::warn!(
                protocol,
                "the router is of an old release: no app can sleep"
            );
            return Ok(());
        }
        let hello = ToRouter::Hello { protocol: PROTOCOL };
        write_message(&mut self.writer, &hello).await
    }

    /// Waits until the router serves by a version that it was told. Returns false if it asks for
    /// all of it instead.
    async fn is_taken(&mut self, version: u64) -> bool {
        let mut answers = self.view.subscribe();
        let answered = answers
            .wait_for(|view| view.is_lost || view.applied == Some(version))
            .await;
        let is_lost = answered.is_ok_and(|view| view.is_lost);
        if is_lost {
            self.view.send_modify(|view| view.is_lost = false);
        }
        !is_lost
    }

    async fn tell_entries(&mut self, last: Option<u64>) -> Result<Option<u64>, WireError> {
        let batch = {
            let mut model = locked(self.model);
            match last {
                None => model.take_all(),
                Some(after) => model.take_changes(after),
            }
        };
        let Some(batch) = batch else { return Ok(None) };
        let version = batch.version;
        self.view.send_modify(|view| view.sent = Some(version));
        self.write(batch).await?;
        Ok(Some(version))
    }

    async fn write(&mut self, batch: Batch) -> Result<(), WireError> {
        let Batch {
            version,
            after,
            set,
            unset,
        } = batch;
        let mut bytes = Vec::new();
        let knows_notes = self.protocol >= PROTOCOL_WITH_WORD;
        let is_known = |entry: &&Arc<Entry>| knows_notes || !matches!(***entry, Entry::Note(_));
        let is_known_key = |key: &&EntryKey| knows_notes || !matches!(key, EntryKey::Note(_));
        let sets = set.iter().filter(is_known);
        let sets = sets.map(|entry| Message::Set { entry });
        let unsets = unset.iter().filter(is_known_key);
        let unsets = unsets.map(|key| Message::Unset { key });
        let messages = std::iter::once(Message::Begin { version, after })
            .chain(unsets)
            .chain(sets)
            .chain(std::iter::once(Message::End { version }));
        for message in messages {
            serde_json::to_writer(&mut bytes, &message)?;
            bytes.push(b'\n');
            if bytes.len() >= PIECE_BYTES {
                self.writer.write_all(&bytes).await?;
                bytes.clear();
            }
        }
        self.writer.write_all(&bytes).await?;
        Ok(self.writer.flush().await?)
    }

    async fn tell_whole(&mut self) -> Result<Option<u64>, WireError> {
        let Some(mut table) = locked(self.model).table() else {
            return Ok(None);
        };
        let version = table.version;
        self.view.send_modify(|view| view.sent = Some(version));
        if self.protocol < PROTOCOL_WITH_SLEEP {
            forget_sleep(&mut table);
        }
        write_message(&mut self.writer, &ToRouter::Routes(table)).await?;
        Ok(Some(version))
    }
}

/// [`ToRouter`] without copies of the entries.
#[derive(Serialize)]
#[serde(tag = "message", rename_all = "snake_case")]
enum Message<'a> {
    Begin { version: u64, after: Option<u64> },
    Set { entry: &'a Entry },
    Unset { key: &'a EntryKey },
    End { version: u64 },
}

/// Says it in the words of protocol 1.
fn forget_sleep(table: &mut RouteTable) {
    for app in &mut table.apps {
        if app.state == AppState::Asleep {
            app.state = AppState::Booting;
        }
        for backend in &mut app.backends {
            backend.sleep = None;
        }
    }
}
