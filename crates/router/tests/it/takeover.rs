//! Another router takes the place of one that runs, or of one that was killed: no request is lost.

use std::{
    net::SocketAddr,
    os::unix::net::UnixStream as StdUnixStream,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use router::{RouterConfig, Sockets, feed::Wait, wire::AppState};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    task::JoinHandle,
    time::Instant,
};

use crate::support::{
    Bench, Dyno, HOST, body, eventually, file, get, read_head, start, status, within,
};

/// A directory for the router of [`the_routers_process`].
const DIRECTORY: &str = "LANDFALL_TEST_ROUTER";

/// When a request began and ended, and whether it was answered as it should be.
type Sent = (Instant, Instant, bool);

/// Clients on kept connections and clients on new ones, until told to stop.
struct Load {
    clients: Vec<JoinHandle<Vec<Sent>>>,
    is_over: Arc<AtomicBool>,
}

impl Load {
    fn start(address: SocketAddr) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let client = |number| tokio::spawn(client(address, number < 3, Arc::clone(&is_over)));
        Self {
            clients: (0..6).map(client).collect(),
            is_over,
        }
    }

    async fn end(self) -> Vec<Sent> {
        self.is_over.store(true, Ordering::SeqCst);
        let mut all = Vec::new();
        for client in self.clients {
            all.extend(client.await.unwrap());
        }
        all
    }
}

async fn client(address: SocketAddr, keeps: bool, is_over: Arc<AtomicBool>) -> Vec<Sent> {
    let mut sent = Vec::new();
    let mut kept = None;
    while sent.len() < 100 || !is_over.load(Ordering::SeqCst) {
        let began = Instant::now();
        let is_served = if keeps {
            ask_on_kept(address, &mut kept).await.unwrap_or(false)
        } else {
            status(&get(address, "/").await) == "200"
        };
        sent.push((began, Instant::now(), is_served));
    }
    sent
}

/// One request as a careful client does it: a connection of which it was told that it closes is not
/// used again, and one that was closed while it lay idle is replaced.
async fn ask_on_kept(
    address: SocketAddr,
    kept: &mut Option<TcpStream>,
) -> Result<bool, std::io::Error> {
    let mut stream = match kept.take() {
        Some(stream) if is_open(&stream) => stream,
        _ => TcpStream::connect(address).await?,
    };
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"web.1") {
        if within(stream.read_buf(&mut answer)).await? == 0 {
            return Ok(false);
        }
    }
    let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    if !answer.contains("connection: close") {
        *kept = Some(stream);
    }
    Ok(answer.starts_with("http/1.1 200"))
}

fn is_open(stream: &TcpStream) -> bool {
    let read = stream.try_read(&mut [0]);
    read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_routers_take_over_from_one_another() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::named("web.1").await;
    bench.serve(&[&dyno]).await;
    let address = bench.http();
    let load = Load::start(address);
    for round in 0..5 {
        // More threads than before, and fewer: every socket is still accepted from.
        bench.config.threads = std::num::NonZeroUsize::new(1 + round % 3);
        let next = start(bench.config.clone()).await;
        assert_eq!(next.addresses().http, address);
        let mut former = bench.router.replace(next).unwrap();
        within(former.wait_ended()).await.unwrap();
        let table = bench.table(AppState::Serving, &[&dyno]);
        let version = table.version;
        bench.feed.publish(table);
        let applied = async { while bench.feed.wait_applied(version).await != Wait::Done {} };
        within(applied).await;
    }
    let sent = load.end().await;
    assert!(sent.len() >= 600);
    assert_eq!(sent.iter().filter(|(.., is_served)| !is_served).count(), 0);
    // Each left its line, whichever router it went through.
    for _ in 0..sent.len() {
        assert!(bench.line().await.starts_with("at=info method=GET "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_connection_outlives_the_take_over() {
    let mut bench = Bench::new().await;
    let echo = Dyno::raw("web.1", |mut stream| async move {
        read_head(&mut stream).await;
        let head =
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        drop(tokio::io::copy(&mut reader, &mut writer).await);
    })
    .await;
    bench.serve(&[&echo]).await;
    let mut stream = TcpStream::connect(bench.http()).await.unwrap();
    let head =
        format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(status(&read_head(&mut stream).await), "101");
    let next = start(bench.config.clone()).await;
    let mut former = bench.router.replace(next).unwrap();
    for _ in 0..3 {
        stream.write_all(b"ping").await.unwrap();
        let mut bytes = [0; 4];
        within(stream.read_exact(&mut bytes)).await.unwrap();
        assert_eq!(&bytes, b"ping");
    }
    drop(stream);
    within(former.wait_ended()).await.unwrap();
    assert!(bench.line().await.contains("status=101"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_whose_successor_fails_goes_on() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::named("web.1").await;
    bench.serve(&[&dyno]).await;
    // It comes, takes the sockets and dies.
    let path = file(&bench, "run/router.handover");
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"take over\n").await.unwrap();
    stream.readable().await.unwrap();
    let sockets = Sockets::receive(&stream).unwrap();
    assert_eq!(sockets.addresses().unwrap().http, bench.http());
    assert_eq!(
        body(&get(bench.http(), "/").await),
        "web.1",
        "it serves meanwhile"
    );
    drop((stream, sockets));
    let reachable = || std::os::unix::net::UnixStream::connect(&path).is_ok();
    eventually("the router can be reached again", reachable).await;
    let table = bench.table(AppState::Serving, &[&dyno]);
    let version = table.version;
    bench.feed.publish(table);
    let applied = async { while bench.feed.wait_applied(version).await != Wait::Done {} };
    within(applied).await;
    assert_eq!(body(&get(bench.http(), "/").await), "web.1");
    for _ in 0..2 {
        assert!(bench.line().await.starts_with("at=info"), "nothing is lost");
    }
}

/// Not a test but the process that the one below starts and kills; does nothing otherwise.
#[test]
fn the_routers_process() {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is how the child knows that it is one"
    )]
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let parent = std::os::fd::AsFd::as_fd(&std::io::stdin())
        .try_clone_to_owned()
        .unwrap();
    let mut config = RouterConfig::new(directory.as_ref());
    config.sockets = Some(Arc::new(Sockets::receive(&parent).unwrap()));
    config.parent = Some(Arc::new(StdUnixStream::from(parent)));
    router::run(config).unwrap();
}

/// A router in a process of its own, which has said that it is ready.
async fn spawn(directory: &std::path::Path, sockets: &Sockets) -> Child {
    let (ours, theirs) = StdUnixStream::pair().unwrap();
    sockets.send(&ours).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "takeover::the_routers_process", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut ours = UnixStream::from_std(ours).unwrap();
    let mut word = [0; 6];
    within(ours.read_exact(&mut word)).await.unwrap();
    assert_eq!(&word, b"ready\n");
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_in_flight_fails_when_a_router_is_killed() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::named("web.1").await;
    bench.serve(&[&dyno]).await;
    // From here on in processes, whose sockets their parent holds.
    bench.stop().await;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let sockets = Sockets::claim(any, any, std::num::NonZeroUsize::new(2)).unwrap();
    let address = sockets.addresses().unwrap().http;
    let mut child = spawn(bench.directory.path(), &sockets).await;
    let kills = Arc::new(Mutex::new(Vec::new()));
    let load = Load::start(address);
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let before = Instant::now();
        child.kill().unwrap();
        child.wait().unwrap();
        kills.lock().unwrap().push((before, Instant::now()));
        child = spawn(bench.directory.path(), &sockets).await;
    }
    let sent = load.end().await;
    child.kill().unwrap();
    child.wait().unwrap();
    let kills = kills.lock().unwrap();
    let was_hit = |(began, ended): (Instant, Instant)| {
        kills
            .iter()
            .any(|(before, after)| began <= *after && ended >= *before)
    };
    let failed: Vec<_> = sent.iter().filter(|(.., is_served)| !is_served).collect();
    assert!(sent.len() - failed.len() >= 500);
    for (began, ended, _) in &failed {
        assert!(was_hit((*began, *ended)), "it began after the kill");
    }
    assert!(failed.len() <= 6 * kills.len(), "more than were in flight");
}
