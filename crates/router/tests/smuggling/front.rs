//! The router under test, and clients that send bytes.

use std::{io::ErrorKind, net::SocketAddr, num::NonZeroUsize, time::Duration};

use api::ids::{AppId, DynoId};
use router::{
    Feed, Router, RouterConfig,
    feed::Wait,
    wire::{AppRoutes, RouteTable},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    case::HOST,
    judge::{self, Heard},
};

/// What takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(10);

/// A router with one app.
pub(crate) struct Front {
    address: SocketAddr,
    /// Kept open over all cases: what it is told must be its own, whatever others send.
    bystander: TcpStream,
    _feed: Feed,
    _router: Router,
    _directory: TempDir,
}

impl Front {
    /// In front of a dyno; by the way that requests of this kind of app go.
    pub(crate) async fn before(dyno: SocketAddr, way: Way) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = RouterConfig::new(directory.path());
        config.http = SocketAddr::from(([127, 0, 0, 1], 0));
        config.https = config.http;
        config.threads = NonZeroUsize::new(1);
        std::fs::create_dir_all(config.certificate.parent().unwrap()).unwrap();
        let certified = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).unwrap();
        std::fs::write(&config.certificate, certified.cert.pem()).unwrap();
        std::fs::write(&config.key, certified.signing_key.serialize_pem()).unwrap();
        let socket = config.socket.clone();
        let start = tokio::task::spawn_blocking(|| Router::start(config));
        let router = start.await.unwrap().unwrap();
        let feed = Feed::connect(socket);
        within(feed.wait_addresses()).await;
        feed.publish(RouteTable {
            version: 1,
            apps: vec![app(dyno, way)],
            ..RouteTable::default()
        });
        assert_eq!(within(feed.wait_applied(1)).await, Wait::Done);
        let address = router.addresses().http;
        Self {
            address,
            bystander: TcpStream::connect(address).await.unwrap(),
            _feed: feed,
            _router: router,
            _directory: directory,
        }
    }

    /// Sends bytes on a connection of their own and gives what comes until it ends; `None` if it
    /// hangs. `methods` are those of the requests in the bytes.
    pub(crate) async fn send(&self, bytes: &[u8], methods: &[&str]) -> Option<Heard> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let mut heard = Vec::new();
        // The router need not read on once it has refused.
        let both = async {
            let (_, read) = tokio::join!(writer.write_all(bytes), reader.read_to_end(&mut heard));
            read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
        };
        let is_reset = tokio::time::timeout(DEADLINE, both).await.ok()?;
        Some(judge::answers(&heard, methods, is_reset))
    }

    /// Another client's request, on its own connection; what was answered.
    pub(crate) async fn bystander(&mut self, target: &str) -> String {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        self.bystander.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        loop {
            let heard = judge::answers(&bytes, &["GET"], false);
            if let Some(answer) = heard.answers.first() {
                return String::from_utf8_lossy(&answer.body).into_owned();
            }
            let count = within(self.bystander.read_buf(&mut bytes)).await.unwrap();
            assert_ne!(count, 0, "the bystander was thrown out");
        }
    }
}

/// How requests of HTTP/1.x go through the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As those of most apps.
    Plain,
    /// As those of apps that ask for more than carrying bytes.
    Bridge,
}

fn app(dyno: SocketAddr, way: Way) -> AppRoutes {
    let extras = serde_json::json!({"edge": {"compress": way == Way::Bridge}});
    // From JSON, so that what the protocol can do beyond this is left at its defaults.
    serde_json::from_value(serde_json::json!({
        "app": AppId::new(),
        "name": "example",
        "hosts": [HOST],
        "state": "serving",
        "backends": [{"dyno": DynoId::new(), "name": "web.1", "address": dyno}],
        "extras": extras,
    }))
    .unwrap()
}

/// Fails the test rather than letting it hang.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("it takes too long")
}

/// Polls until `is_so`.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let poll = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(DEADLINE, poll)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}
