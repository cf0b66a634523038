//! What the tests share: a router with a feed, dynos that answer as told, a raw client.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use api::ids::{AppId, DynoId};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use logs::spool::{Entry, Reader};
use router::{
    Feed, Router, RouterConfig, Stop, Timeouts,
    feed::Wait,
    wire::{AccessRecord, AppRoutes, AppState, AppTls, Backend, RouteTable},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::{AbortHandle, JoinSet},
    time::timeout,
};

pub(crate) const HOST: &str = "example.localhost";
const DEADLINE: Duration = Duration::from_secs(20);

/// A platform's directory, a router on it and the server's end of its feed.
pub(crate) struct Bench {
    pub(crate) directory: TempDir,
    pub(crate) config: RouterConfig,
    pub(crate) router: Option<Router>,
    pub(crate) feed: Feed,
    pub(crate) app: AppId,
    pub(crate) certificate: String,
    version: u64,
    lines: Reader,
    pending: VecDeque<String>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A router whose timeouts were changed.
    pub(crate) async fn with(adapt: impl FnOnce(&mut Timeouts)) -> Self {
        Self::configured(|config| adapt(&mut config.timeouts)).await
    }

    /// A router whose configuration was changed.
    pub(crate) async fn configured(adapt: impl FnOnce(&mut RouterConfig)) -> Self {
        raise_file_limit();
        let directory = tempfile::tempdir().unwrap();
        let mut config = RouterConfig::new(directory.path());
        config.http = SocketAddr::from(([127, 0, 0, 1], 0));
        config.https = config.http;
        config.threads = NonZeroUsize::new(2);
        config.timeouts.stop = Duration::from_secs(5);
        adapt(&mut config);
        std::fs::create_dir_all(config.certificate.parent().unwrap()).unwrap();
        let names = vec![HOST.to_owned()];
        let certified = rcgen::generate_simple_self_signed(names).unwrap();
        std::fs::write(&config.certificate, certified.cert.pem()).unwrap();
        std::fs::write(&config.key, certified.signing_key.serialize_pem()).unwrap();
        let router = start(config.clone()).await;
        let feed = Feed::connect(config.socket.clone());
        within(feed.wait_addresses()).await;
        let lines = Reader::open(&config.spool).unwrap();
        Self {
            directory,
            config,
            router: Some(router),
            feed,
            app: AppId::new(),
            certificate: certified.cert.pem(),
            version: 0,
            lines,
            pending: VecDeque::new(),
        }
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.router.as_ref().unwrap().addresses().http
    }

    pub(crate) fn https(&self) -> SocketAddr {
        self.router.as_ref().unwrap().addresses().https
    }

    pub(crate) fn table(&mut self, state: AppState, dynos: &[&Dyno]) -> RouteTable {
        self.version += 1;
        let backends = dynos.iter().map(|dyno| dyno.backend()).collect();
        let app = AppRoutes {
            app: self.app,
            name: "example".parse().unwrap(),
            hosts: vec![HOST.to_owned()],
            state,
            backends,
            tls: AppTls::default(),
            extras: None,
        };
        RouteTable {
            version: self.version,
            apps: vec![app],
            ..RouteTable::default()
        }
    }

    /// Publishes and waits until it is served by.
    pub(crate) async fn route(&mut self, state: AppState, dynos: &[&Dyno]) {
        let table = self.table(state, dynos);
        self.feed.publish(table);
        assert_eq!(
            within(self.feed.wait_applied(self.version)).await,
            Wait::Done
        );
    }

    pub(crate) async fn serve(&mut self, dynos: &[&Dyno]) {
        self.route(AppState::Serving, dynos).await;
    }

    /// Ends the router and starts another one on the same directory and free ports.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.router = Some(start(self.config.clone()).await);
    }

    pub(crate) async fn stop(&mut self) {
        let mut router = self.router.take().unwrap();
        router.stop(Stop::Gracefully);
        within(router.wait_ended()).await.unwrap();
    }

    /// The next access line, without what differs from run to run.
    pub(crate) async fn line(&mut self) -> String {
        let app = self.app;
        while self.pending.is_empty() {
            for entry in within(self.lines.read_some(100)).await.unwrap() {
                let Entry::Record { bytes, .. } = entry else {
                    panic!("lines were lost")
                };
                let record = AccessRecord::decode(&bytes).unwrap();
                assert_eq!(record.app, app);
                self.pending.push_back(record.line);
            }
        }
        mask(&self.pending.pop_front().unwrap())
    }
}

/// Both ends of some thousand connections are in this process.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, most).unwrap();
}

/// Starting blocks until the router accepts requests.
pub(crate) async fn start(config: RouterConfig) -> Router {
    tokio::task::spawn_blocking(|| Router::start(config))
        .await
        .unwrap()
        .unwrap()
}

/// Replaces ids and times.
pub(crate) fn mask(line: &str) -> String {
    let mask_field = |field: &str| match field.split_once('=') {
        Some(("request_id", _)) => "request_id=ID".to_owned(),
        Some((name @ ("connect" | "service"), value)) if !value.is_empty() => format!("{name}=Nms"),
        _ => field.to_owned(),
    };
    line.split(' ')
        .map(mask_field)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Fails the test rather than letting it hang.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("it takes too long")
}

/// Polls until `is_so`.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let poll = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(DEADLINE, poll)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

pub(crate) type DynoBody = BoxBody<Bytes, std::io::Error>;

pub(crate) fn text(text: impl Into<Bytes>) -> DynoBody {
    Full::new(text.into())
        .map_err(|never| match never {})
        .boxed()
}

/// A web dyno: a listening socket and what answers on it. Dropping it kills it.
pub(crate) struct Dyno {
    pub(crate) id: DynoId,
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<Mutex<u32>>,
    task: AbortHandle,
}

impl Drop for Dyno {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Dyno {
    pub(crate) fn backend(&self) -> Backend {
        Backend {
            dyno: self.id,
            name: self.name.parse().unwrap(),
            address: self.address,
            sleep: None,
        }
    }

    /// One that hands every connection to `serve`.
    pub(crate) async fn raw<F>(name: &str, serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                *counted.lock().unwrap() += 1;
                open.spawn(serve(stream));
            }
        });
        let id = DynoId::new();
        Self {
            id,
            name: name.to_owned(),
            address,
            connections,
            task: task.abort_handle(),
        }
    }

    /// One that sends these bytes for whatever it is asked, then closes. With nothing to send it
    /// closes as soon as it was asked.
    pub(crate) async fn saying(name: &str, answer: &'static str) -> Self {
        Self::raw(name, move |mut stream| async move {
            read_head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await
    }

    /// One on hyper.
    pub(crate) async fn answering<F>(
        name: &str,
        answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<DynoBody>> + Send + 'static,
    {
        Self::raw(name, move |stream| answer_all(stream, answer.clone())).await
    }

    /// One that answers with its name.
    pub(crate) async fn named(name: &'static str) -> Self {
        Self::answering(name, move |_| async move { Response::new(text(name)) }).await
    }

    /// An address where nobody listens.
    pub(crate) async fn absent(name: &str) -> Self {
        let dyno = Self::raw(name, |_| async {}).await;
        dyno.task.abort();
        let gone = || std::net::TcpListener::bind(dyno.address).is_ok();
        eventually("the port is free", gone).await;
        dyno
    }

    /// A socket whose queue is full, as long as what comes with it is kept: the kernel ignores who
    /// else comes. `patience` is how long is waited for a sign that it does.
    pub(crate) async fn deaf(
        name: &str,
        patience: Duration,
    ) -> (Self, (TcpListener, Vec<TcpStream>)) {
        let mut dyno = Self::absent(name).await;
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listener = socket.listen(0).unwrap();
        dyno.address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = timeout(patience, TcpStream::connect(dyno.address)).await {
            queued.push(stream.unwrap());
        }
        (dyno, (listener, queued))
    }
}

/// Serves one connection until it ends.
async fn answer_all<F>(stream: TcpStream, answer: impl Fn(Request<Incoming>) -> F)
where
    F: Future<Output = Response<DynoBody>>,
{
    let service = service_fn(move |request| {
        let reply = answer(request);
        async move { Ok::<_, Infallible>(reply.await) }
    });
    drop(
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

/// Reads to the end of a head; what follows it is returned with it.
pub(crate) async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
            break;
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Reads one response that has a length.
pub(crate) async fn read_response(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut response = read_head(stream).await;
    let length = response.split_once("content-length: ").expect("a length").1;
    let length: usize = length.lines().next().unwrap().parse().unwrap();
    while body(&response).len() < length {
        let mut bytes = Vec::new();
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "{response}");
        response.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    response
}

/// Sends bytes on a connection of its own and returns all that comes back until it is closed.
pub(crate) async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    // A reset after the answer is an end, too.
    drop(within(stream.read_to_end(&mut bytes)).await);
    String::from_utf8(bytes).unwrap()
}

/// A plain GET on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> String {
    exchange(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"),
    )
    .await
}

pub(crate) fn body(response: &str) -> &str {
    response.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

pub(crate) fn status(response: &str) -> &str {
    response.split(' ').nth(1).unwrap_or_default()
}

/// A file in the platform's directory.
pub(crate) fn file(bench: &Bench, path: &str) -> PathBuf {
    bench.directory.path().join(path)
}
