//! What the router is told when it starts. Read [`RouterConfig`].

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use api::clock::Clock;

use crate::{handover::Sockets, traces::Traces};

/// Dynos tried for one request before it fails, as at Heroku.
pub(crate) const MAX_TRIES: usize = 10;
/// How often a request is repeated whose dyno died before it answered: enough for a bad moment, few
/// enough that a request which kills its dyno does not kill them all.
pub(crate) const MAX_REPEATS: usize = 2;
/// Idle connections kept to one dyno by each thread.
pub(crate) const MAX_IDLE_PER_BACKEND: usize = 128;
/// Requests that wait for one booting app, or one that is asleep; H11 beyond.
pub(crate) const MAX_WAITING_PER_APP: usize = 2_000;
/// Request line and headers together.
pub(crate) const MAX_HEAD_BYTES: usize = 64 * 1024;
/// A request's target alone.
pub(crate) const MAX_TARGET_BYTES: usize = 32 * 1024;
/// Headers of one message.
pub(crate) const MAX_FIELDS: usize = 128;
/// Requests and upgraded connections in flight on one dyno; H22 beyond. Far above what a process
/// can work on at once, and low enough that one app cannot take all of the router's files.
const MAX_IN_FLIGHT_PER_DYNO: usize = 10_000;
/// Connections the kernel holds ready for each listening socket.
pub(crate) const ACCEPT_BACKLOG: i32 = 4096;

/// Files, addresses and limits of one router process.
#[derive(Clone, Debug)]
pub struct RouterConfig {
    /// The unix socket the server connects to; made with mode 0600, replaced if it is there.
    pub socket: PathBuf,
    /// The last known routes.
    pub routes: PathBuf,
    /// The directory of the access lines' spool.
    pub spool: PathBuf,
    /// The directory of the layers of slugs, of which static files are served; nothing is written
    /// there.
    pub layers: PathBuf,
    /// The certificate chain shown to TLS clients, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Where to accept plain HTTP; port 0 takes a free one.
    pub http: SocketAddr,
    /// Where to accept TLS; port 0 takes a free one.
    pub https: SocketAddr,
    /// Where metrics are read; port 0 takes a free one.
    pub metrics: Option<SocketAddr>,
    /// Where spans of sampled requests go.
    pub traces: Option<Traces>,
    /// Threads that route requests; one a core if `None`.
    pub threads: Option<NonZeroUsize>,
    /// The status page.
    pub status: StatusConfig,
    /// How long each step may take.
    pub timeouts: Timeouts,
    /// Requests and upgraded connections in flight on one dyno, as this router sees it; H22 beyond.
    pub max_in_flight_per_dyno: usize,
    /// For `X-Request-Start` and the times of access lines.
    pub clock: Clock,
    /// Sockets to accept from in place of ones of its own on `http` and `https`.
    pub sockets: Option<Arc<Sockets>>,
    /// Gives memory that lies unused back to the kernel; called now and then, by a thread that
    /// serves no requests.
    pub give_back: Option<fn()>,
    /// Who started it: told a line, `ready`, when it accepts requests.
    pub parent: Option<Arc<UnixStream>>,
}

impl RouterConfig {
    /// The files as they lie in a platform's directory `data`; ports 8080 and 8443 of the loopback
    /// address.
    pub fn new(data: &Path) -> Self {
        Self {
            socket: data.join("run/router.sock"),
            routes: data.join("router/routes.json"),
            spool: data.join("router/spool"),
            layers: data.join("layers"),
            certificate: data.join("ca/server.pem"),
            key: data.join("ca/server.key"),
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            https: SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)),
            metrics: None,
            traces: None,
            threads: None,
            status: StatusConfig {
                hosts: vec!["status.localhost".to_owned()],
                url: "http://status.localhost:8080/".to_owned(),
                history: data.join("router/status.log"),
            },
            timeouts: Timeouts::default(),
            max_in_flight_per_dyno: MAX_IN_FLIGHT_PER_DYNO,
            clock: Clock::system(),
            sockets: None,
            give_back: None,
            parent: None,
        }
    }
}

/// Where the status page is.
#[derive(Clone, Debug)]
pub struct StatusConfig {
    /// Its host names, lower case; no app can have them. The first is what it is called.
    pub hosts: Vec<String>,
    /// Its URL, with a slash at the end, for those who read its feed elsewhere.
    pub url: String,
    /// The file of its history.
    pub history: PathBuf,
}

/// How long each step of a request may take. The defaults are Heroku's where Heroku has one.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a client to finish its TLS handshake.
    pub handshake: Duration,
    /// For a client to send a request head.
    pub header_read: Duration,
    /// For a client to begin its next request on a kept connection.
    pub keep_alive: Duration,
    /// For a dyno to accept a connection: H19.
    pub connect: Duration,
    /// From the end of the request to the first byte of the response: H12.
    pub first_byte: Duration,
    /// Between two pieces of a request's body (H28) or of a response (H15).
    pub rolling: Duration,
    /// For a booting app to answer: H20.
    pub boot: Duration,
    /// For a dyno that may be asleep to say that it is awake: H19.
    pub wake: Duration,
    /// For which a dyno that refused a connection is avoided.
    pub quarantine: Duration,
    /// After which an unused connection to a dyno is closed. Below the keep-alive of common app
    /// servers (5 s in Node and uvicorn), so that it is us who close.
    pub upstream_idle: Duration,
    /// The same for a request that may not be repeated: it takes only a fresher connection.
    pub upstream_idle_unrepeatable: Duration,
    /// For requests in flight on a dyno that left the table; then they are cut.
    pub drain: Duration,
    /// For all requests in flight when the router is asked to stop.
    pub stop: Duration,
    /// The same when another router has taken over: long enough for upgraded connections
    /// and streams.
    pub leave: Duration,
    /// Seconds without a sign of life after which a thread of the data plane is given up, and the
    /// process with it.
    pub stuck_seconds: u32,
    /// Between two reports of what the apps had to do.
    pub activity: Duration,
    /// Between two looks around for the status page.
    pub look: Duration,
    /// For which the server may be away before the status page tells of it.
    pub word: Duration,
    /// After which the counters of an app or a dyno that is gone are forgotten: long enough for
    /// everybody who reads them to see the last of them.
    pub forget: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            header_read: Duration::from_secs(30),
            keep_alive: Duration::from_secs(90),
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(30),
            rolling: Duration::from_secs(55),
            boot: Duration::from_mins(1),
            wake: Duration::from_secs(10),
            quarantine: Duration::from_secs(5),
            upstream_idle: Duration::from_secs(4),
            upstream_idle_unrepeatable: Duration::from_secs(1),
            drain: Duration::from_secs(30),
            stop: Duration::from_secs(30),
            leave: Duration::from_hours(1),
            stuck_seconds: 15,
            activity: Duration::from_secs(2),
            look: Duration::from_secs(2),
            word: Duration::from_secs(15),
            forget: Duration::from_mins(5),
        }
    }
}
