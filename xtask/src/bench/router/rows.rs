//! The rows of the table: what is asked, how, and what issue 4 demands.

use super::proxies::Proxy;

/// One kind of load.
pub(super) struct Row {
    /// On the command line and in figures.
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// Arguments of the load but for addresses.
    load: &'static [&'static str],
    is_tls: bool,
    /// Most that a request may cost, as a share of nginx's.
    pub(super) most: f64,
    /// Whether the latencies are to be compared, too.
    pub(super) is_paced: bool,
}

/// Warming and measuring, for each sample.
const TIMES: [&str; 2] = ["warm=300", "measure=1200"];

const PLAIN: Row = Row {
    name: "",
    about: "",
    load: &[],
    is_tls: false,
    most: 1.0,
    is_paced: false,
};

/// All of them.
pub(super) const ROWS: &[Row] = &[
    Row {
        name: "1k",
        about: "1 KB over 32 kept connections",
        load: &["how=kept", "connections=32", "path=/1k"],
        most: 0.7,
        ..PLAIN
    },
    Row {
        name: "5krps",
        about: "1 KB, 5,000 a second, 64 kept connections",
        load: &["how=paced", "connections=64", "rate=5000", "path=/1k"],
        most: 0.9,
        is_paced: true,
        ..PLAIN
    },
    Row {
        name: "64k",
        about: "64 KB over 32 kept connections",
        load: &["how=kept", "connections=32", "path=/64k"],
        most: 0.9,
        ..PLAIN
    },
    Row {
        name: "tls",
        about: "1 KB over 32 kept connections, TLS 1.3",
        load: &["how=kept", "connections=32", "path=/1k"],
        is_tls: true,
        ..PLAIN
    },
    Row {
        name: "h2",
        about: "1 KB over 4 HTTP/2 connections, 8 streams each, TLS 1.3",
        load: &["how=h2", "connections=4", "path=/1k"],
        is_tls: true,
        ..PLAIN
    },
    Row {
        name: "newconn",
        about: "1 KB, a new connection each, 32 at a time",
        load: &["how=new", "connections=32", "path=/1k"],
        most: 1.1,
        ..PLAIN
    },
    Row {
        name: "newtls",
        about: "1 KB, a new TLS 1.3 connection each, whole handshake, 32 at a time",
        load: &["how=new", "connections=32", "path=/1k"],
        is_tls: true,
        most: 1.1,
        ..PLAIN
    },
    Row {
        name: "ws",
        about: "echoes of 125-byte messages over 32 WebSockets",
        load: &["how=socket", "connections=32", "path=/socket"],
        ..PLAIN
    },
    Row {
        name: "post64k",
        about: "POST of 64 KB over 32 kept connections",
        load: &["how=kept", "connections=32", "path=/sink", "upload=65536"],
        ..PLAIN
    },
];

impl Row {
    /// The load's arguments for a proxy.
    pub(super) fn load(&self, proxy: &Proxy) -> Vec<String> {
        let mut arguments = vec!["load".to_owned()];
        arguments.extend(self.load.iter().chain(&TIMES).map(|&word| word.to_owned()));
        arguments.push(format!("tls={}", self.is_tls));
        arguments.push(format!("address={}", proxy.address(self.is_tls)));
        arguments.push(format!("watch={}", proxy.pid()));
        arguments
    }
}
