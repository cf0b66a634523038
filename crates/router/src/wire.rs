//! What server and router say to each other: newline-delimited JSON over a unix socket.
//!
//! The router listens and greets first; the server answers with the table, entry by entry, then
//! with each change of it. Nothing here decides or performs anything. Read [`RouteTable`] first,
//! then [`ToRouter`].

pub(crate) mod entry;
mod tls;

use std::{net::SocketAddr, path::PathBuf, str::Utf8Error};

use api::{
    clock::Time,
    edge::Edge,
    ids::{AppId, DynoId},
    names::{AppName, DynoName},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt};
use uuid::Uuid;

pub use api::{
    status_notes::PostedNote,
    tls::{AppTls, ClientAuthority, Hsts},
};

pub use self::{
    entry::{Entry, EntryKey},
    tls::{Certificate, Challenge, PrivateKey},
};

/// The version of this protocol, said in [`FromRouter::Hello`] and [`ToRouter::Hello`]. Since 2
/// there is sleep; before, the server said no hello. Since 3 the table comes entry by entry;
/// before, it came whole. Since 4 the server gives its word now and then, and there are notes. Since 5
/// the router says how long requests take.
pub const PROTOCOL: u32 = 5;

/// The longest message either side accepts, in bytes: far above a whole table of 100 000 routes,
/// as protocols before 3 have it.
const MESSAGE_LIMIT_BYTES: usize = 256 * 1024 * 1024;

/// Everything the router needs to answer requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// Rises with every table of one server process; a restarted server may start again at 1.
    pub version: u64,
    /// One entry an app, in any order.
    pub apps: Vec<AppRoutes>,
    /// Certificates of the apps' own domains, in any order.
    #[serde(default)]
    pub certificates: Vec<Certificate>,
    /// What certificate authorities may ask for at present, in any order.
    #[serde(default)]
    pub challenges: Vec<Challenge>,
    /// What the operator says on the status page, in any order.
    #[serde(default)]
    pub notes: Vec<PostedNote>,
}

/// One app: the hosts it answers on and the dynos behind them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRoutes {
    /// Where the access lines go.
    pub app: AppId,
    /// For people who read the table; routing goes by host.
    pub name: AppName,
    /// Host names, lower case, without port; `*.example.com` takes the names one label below that
    /// no app names.
    pub hosts: Vec<String>,
    /// What a request to one of the hosts meets.
    pub state: AppState,
    /// The web dynos that answer requests; used when the app is [`AppState::Serving`].
    pub backends: Vec<Backend>,
    /// What it asks of its clients.
    #[serde(default)]
    pub tls: AppTls,
    /// What it asks of the router beyond routing, if it asks for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extras: Option<Box<AppExtras>>,
}

/// What an app asks of the router beyond routing; most apps ask for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppExtras {
    /// Its edge settings; their `paths` are told in the field below.
    #[serde(skip_serializing_if = "Edge::is_default")]
    pub edge: Edge,
    /// Whether a client comes to the same web dyno again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub has_affinity: bool,
    /// Pages of its own in the place of the router's.
    #[serde(skip_serializing_if = "PageUrls::is_empty")]
    pub pages: PageUrls,
    /// Paths that another app of the table answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathRoute>,
    /// Names of the layers of the release that answers, the lowest first; told of an app whose
    /// static files the router serves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
}

impl AppExtras {
    /// Nothing, if it asks for nothing.
    pub fn or_none(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

/// Pages that an app shows in the place of the router's own: `http://…` or `https://…`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageUrls {
    /// When a request fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// During maintenance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<String>,
}

impl PageUrls {
    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.error.is_none() && self.maintenance.is_none()
    }
}

/// A path that another app answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathRoute {
    /// `/api` is also `/api/1`, but not `/apis`.
    pub prefix: String,
    /// One of the host names of the app that answers.
    pub host: String,
    /// Whether that app sees the path without the prefix.
    pub strip: bool,
}

/// What a request to an app meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppState {
    /// Requests go to the backends.
    Serving,
    /// The maintenance page, H80.
    Maintenance,
    /// No web dyno is wanted: H14.
    NoWebDynos,
    /// The web dynos crashed: H10.
    Crashed,
    /// A web dyno is on its way: requests wait for it, H20 if it takes too long.
    Booting,
    /// The app has no release yet: the welcome page, H81.
    Blank,
    /// Its dynos were stopped for want of requests: the first request sends
    /// [`FromRouter::WakeApp`], and all wait as for a booting app.
    Asleep,
}

/// A web dyno that accepts requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// One run of a dyno; a restarted `web.1` is another backend.
    pub dyno: DynoId,
    /// As access lines name it.
    pub name: DynoName,
    /// Where it listens for HTTP/1.1.
    pub address: SocketAddr,
    /// Set while it sleeps or may fall asleep: before a request reaches it, it must be woken once.
    #[serde(default)]
    pub sleep: Option<SleepTicket>,
}

/// How a dyno that may sleep is woken: write `wake_line` to the unix socket, read one line. Works
/// without the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SleepTicket {
    /// Rises with every sleep of the platform; a dyno woken with it stays awake until a table
    /// names a higher one.
    pub ticket: u64,
    /// Listens for the wake line.
    pub socket: PathBuf,
    /// What to write, its line end included.
    pub wake_line: String,
}

/// Server to router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum ToRouter {
    /// The answer to [`FromRouter::Hello`] if that named protocol 2 or above: from now on the
    /// router speaks of sleep.
    Hello {
        /// See [`PROTOCOL`].
        protocol: u32,
    },
    /// Serve by this table from now on. Only to a router that speaks a protocol before 3.
    Routes(RouteTable),
    /// What follows is a version of the table, up to [`ToRouter::End`].
    Begin {
        /// [`RouteTable::version`]
        version: u64,
        /// The version that it differs from by what follows: the one that this connection brought
        /// last, else the router asks for [`FromRouter::Resync`]. Without it, what follows is all.
        after: Option<u64>,
    },
    /// An entry that is new, or takes the place of the one with its key.
    Set {
        /// If it is malformed, the router keeps what it had under that key.
        entry: Entry,
    },
    /// An entry that is gone.
    Unset {
        /// Its key.
        key: EntryKey,
    },
    /// Serve by this version from now on. Before it nothing of it counts.
    End {
        /// [`RouteTable::version`]
        version: u64,
    },
    /// The server is there. Said every few seconds, only to a router that speaks protocol 4 or above.
    Word,
}

/// Router to server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum FromRouter {
    /// First message on every connection.
    Hello {
        /// See [`PROTOCOL`].
        protocol: u32,
        /// The table it serves by now, 0 when it has none.
        version: u64,
        /// Where it accepts plain HTTP.
        http_addr: SocketAddr,
        /// Where it accepts TLS.
        https_addr: SocketAddr,
        /// The router's process id.
        pid: u32,
    },
    /// Every request from now on goes by this table, also after a restart. Sent after an
    /// [`FromRouter::InFlight`] for each dyno that left the table with requests in flight.
    Applied {
        /// [`RouteTable::version`]
        version: u64,
    },
    /// An entry could not be used; what was told under its key before stays. Since protocol 3.
    Rejected {
        /// `None` if even that could not be read.
        key: Option<EntryKey>,
        /// What is wrong with it.
        error: String,
    },
    /// A change came that does not follow what came before: tell the whole table again. Since
    /// protocol 3.
    Resync,
    /// A dyno outside the table still serves requests.
    InFlight {
        /// The dyno that left the table.
        dyno: DynoId,
        /// Requests and upgraded connections in flight.
        count: u64,
    },
    /// The last request of a dyno outside the table has ended.
    Drained {
        /// The dyno that left the table.
        dyno: DynoId,
    },
    /// No request is in flight on a dyno with a sleep ticket, and none has woken it: it may be
    /// frozen now. A request that comes later wakes it with the ticket.
    Resting {
        /// The dyno.
        dyno: DynoId,
        /// [`SleepTicket::ticket`]
        ticket: u64,
    },
    /// A request woke a dyno; its ticket is used up. Said again on a new connection as long as the
    /// table names the ticket.
    Woken {
        /// The dyno.
        dyno: DynoId,
        /// [`SleepTicket::ticket`]
        ticket: u64,
        /// Why: method, path without query, and request id.
        cause: String,
    },
    /// A request waits for an app that is [`AppState::Asleep`]. Sent once for each time that the
    /// app is told to be asleep, again on a new connection while requests wait, and again when all
    /// that waited are gone and another one comes.
    WakeApp {
        /// The app.
        app: AppId,
        /// As in [`FromRouter::Woken`].
        cause: String,
    },
    /// What apps had to do lately: sent every few seconds for those where it changed, and for all
    /// on a new connection. Apps that had no request since the router started are left out.
    Activity {
        /// In any order.
        apps: Vec<AppActivity>,
    },
    /// How long dynos took for the requests that have ended since the router started, of all apps
    /// together: sent every few seconds when there are more. Since protocol 5.
    ServiceTimes {
        /// How many took up to 250 µs, how many longer than that and up to 500 µs, and so on, each
        /// twice as long as the one before; in the last all that took longer. They shrink when an
        /// app is forgotten.
        counts: Vec<u64>,
    },
}

/// How busy an app is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppActivity {
    /// The app.
    pub app: AppId,
    /// When its last request began or ended, whichever is later, to a tenth of a second.
    pub last_request_at: Time,
    /// Requests and upgraded connections in flight.
    pub in_flight: u64,
}

/// One access line on its way through the spool from router to server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRecord {
    /// Whose line it is.
    pub app: AppId,
    /// When the request ended.
    pub at: Time,
    /// `at=info method=GET …`
    pub line: String,
}

impl AccessRecord {
    const HEAD_BYTES: usize = 24;

    /// Appends the record's bytes: 16 of the app id, 8 of the time (big-endian microseconds), then
    /// the line.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.reserve(Self::HEAD_BYTES + self.line.len());
        Self::encode_head(self.app, self.at, bytes);
        bytes.extend_from_slice(self.line.as_bytes());
    }

    /// What is before the line, for who writes that in place.
    pub(crate) fn encode_head(app: AppId, at: Time, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(app.as_uuid().as_bytes());
        bytes.extend_from_slice(&at.as_micros().to_be_bytes());
    }

    /// The record in `bytes`. Errors when they are too short or the line is not UTF-8.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let (app, rest) = bytes
            .split_first_chunk::<16>()
            .ok_or(WireError::ShortRecord)?;
        let (at, line) = rest
            .split_first_chunk::<8>()
            .ok_or(WireError::ShortRecord)?;
        Ok(Self {
            app: AppId::from(Uuid::from_bytes(*app)),
            at: Time::from_micros(i64::from_be_bytes(*at)),
            line: std::str::from_utf8(line)?.to_owned(),
        })
    }
}

/// Why a message could not be read or written.
#[derive(Debug, Error)]
pub enum WireError {
    /// The socket failed.
    #[error("the connection between server and router failed")]
    Io(#[from] std::io::Error),
    /// Not a message of this protocol.
    #[error("the other side sent something that is not a message")]
    Malformed(#[from] serde_json::Error),
    /// Longer than any honest message.
    #[error("the other side sent a message of more than {MESSAGE_LIMIT_BYTES} bytes")]
    TooLong,
    /// An access record without its head.
    #[error("an access record is too short")]
    ShortRecord,
    /// An access record whose line is not UTF-8.
    #[error("an access record is not UTF-8")]
    RecordText(#[from] Utf8Error),
}

/// Reads messages, one a line.
#[derive(Debug)]
pub struct MessageReader<R> {
    reader: R,
    line: Vec<u8>,
    /// The line has been handed out.
    is_complete: bool,
}

impl<R: AsyncBufRead + Unpin> MessageReader<R> {
    /// Reads from `reader`.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            line: Vec::new(),
            is_complete: false,
        }
    }

    /// The next message; `None` at the end of the stream. Safe to drop: what was read stays.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, WireError> {
        match self.next_line().await? {
            Some(line) => Ok(Some(serde_json::from_slice(line)?)),
            None => Ok(None),
        }
    }

    /// The next message as it came, with its line end. Safe to drop, too.
    pub(crate) async fn next_line(&mut self) -> Result<Option<&[u8]>, WireError> {
        if self.is_complete {
            self.line.clear();
            self.is_complete = false;
        }
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let (taken, is_complete) = match chunk.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end + 1, true),
                None => (chunk.len(), false),
            };
            self.line
                .extend_from_slice(chunk.get(..taken).unwrap_or_default());
            self.reader.consume(taken);
            if self.line.len() > MESSAGE_LIMIT_BYTES {
                return Err(WireError::TooLong);
            }
            if is_complete {
                self.is_complete = true;
                return Ok(Some(&self.line));
            }
        }
    }
}

/// Writes one message and its line end. Not safe to drop: half a message may have gone out.
pub async fn write_message<T: Serialize>(
    writer: &mut (impl AsyncWrite + Unpin),
    message: &T,
) -> Result<(), WireError> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    writer.write_all(&line).await?;
    writer.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_records_survive_the_spool() {
        let record = AccessRecord {
            app: AppId::new(),
            at: Time::from_micros(1_771_488_000_006_329),
            line: "at=info method=GET".to_owned(),
        };
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        assert_eq!(AccessRecord::decode(&bytes).unwrap(), record);
        assert!(matches!(
            AccessRecord::decode(&bytes[..20]),
            Err(WireError::ShortRecord)
        ));
        assert!(AccessRecord::decode(b"0123456789abcdef01234567\xff").is_err());
    }

    #[tokio::test]
    async fn messages_are_lines() {
        let message = FromRouter::Applied { version: 7 };
        let mut bytes = Vec::new();
        write_message(&mut bytes, &message).await.unwrap();
        assert_eq!(bytes, b"{\"message\":\"applied\",\"version\":7}\n");
        bytes.extend_from_slice(b"nonsense\n");
        let mut reader = MessageReader::new(&bytes[..]);
        assert_eq!(reader.next::<FromRouter>().await.unwrap(), Some(message));
        assert!(matches!(
            reader.next::<FromRouter>().await,
            Err(WireError::Malformed(_))
        ));
        assert!(reader.next::<FromRouter>().await.unwrap().is_none());
    }
}
