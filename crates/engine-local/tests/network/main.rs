//! Two dynos' networks for real: who reaches whom, and that nothing is left behind.
//!
//! Needs root and `nft`; each test works in a slot of its own, so they run beside each other and
//! beside platforms of this machine.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set its stage up has failed"
)]

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    path::Path,
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use engine_local::{
    network::{DynoNetwork, Network, NetworkConfig, host_resolvers},
    slot::Slot,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

/// How long a connection that is expected to fail may take to.
const PATIENCE: Duration = Duration::from_secs(3);

/// A slot that is cleaned up however the test ends.
struct Fixture {
    network: Network,
    slot: Slot,
    _directory: TempDir,
}

impl Fixture {
    async fn open(pool_size: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let slot = Slot::claim(directory.path()).unwrap();
        let config = NetworkConfig {
            pool_size,
            ..NetworkConfig::default()
        };
        let network = Network::open(slot.clone(), config).await.unwrap();
        Self {
            network,
            slot,
            _directory: directory,
        }
    }

    fn left_on_host(&self) -> Vec<String> {
        let mut left = Vec::new();
        for directory in ["/sys/class/net", "/run/landfall/netns"] {
            for entry in fs::read_dir(directory).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                if name.starts_with(&self.slot.interface_prefix()) {
                    left.push(format!("{directory}/{name}"));
                }
            }
        }
        left
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let (network, slot) = (self.network.clone(), self.slot.clone());
        // Dropping happens inside the test's runtime, which cannot wait; another one can.
        let cleaning = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let reopened = runtime
                .block_on(async { network.remove_everything().await.map_err(io::Error::other) });
            slot.free().map_err(io::Error::other)?;
            reopened
        });
        let cleaned = cleaning.join();
        if !thread::panicking() {
            cleaned.unwrap().unwrap();
        }
    }
}

/// Runs something with a dyno's view of the network.
fn inside<T: Send + 'static>(dyno: &DynoNetwork, what: impl FnOnce() -> T + Send + 'static) -> T {
    let netns = File::open(&dyno.netns).unwrap();
    let entered = thread::spawn(move || {
        move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        what()
    });
    entered.join().unwrap()
}

/// Connects and says how that went.
fn connect(to: impl Into<IpAddr>, port: u16) -> Result<(), ErrorKind> {
    let to = SocketAddr::new(to.into(), port);
    TcpStream::connect_timeout(&to, PATIENCE)
        .map(drop)
        .map_err(|error| error.kind())
}

fn is_blocked(outcome: Result<(), ErrorKind>) -> bool {
    // Not `ConnectionRefused`: that would be the other side's answer.
    matches!(
        outcome,
        Err(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::TimedOut)
    )
}

/// A listener inside a dyno that accepts for as long as the returned sender lives.
fn listen(dyno: &DynoNetwork) -> (u16, mpsc::Sender<()>) {
    let listener = inside(dyno, || {
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap()
    });
    let port = listener.local_addr().unwrap().port();
    let (alive, ended) = mpsc::channel::<()>();
    thread::spawn(move || {
        // The kernel accepts into the backlog; nothing needs to be done but to stay.
        let _listener = listener;
        ended.recv().unwrap_or_default();
    });
    (port, alive)
}

fn nft(arguments: &[&str]) -> String {
    let output = Command::new("nft").args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn host_address() -> Ipv4Addr {
    // Nothing is sent: this only asks the routing table.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    socket.connect((Ipv4Addr::new(198, 51, 100, 1), 9)).unwrap();
    match socket.local_addr().unwrap().ip() {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => unreachable!("it was bound to IPv4"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_reaches_the_outside_and_nothing_else() {
    let fixture = Fixture::open(2).await;
    let one = fixture.network.take().await.unwrap();
    let two = fixture.network.take().await.unwrap();
    let (port, _alive) = listen(&two);
    assert_eq!(
        connect(two.dyno_address, port),
        Ok(()),
        "the host reaches a dyno"
    );

    let address = two.dyno_address;
    assert_eq!(
        inside(&two, move || connect(address, port)),
        Ok(()),
        "a dyno reaches itself"
    );
    assert_eq!(
        inside(&two, move || connect(Ipv4Addr::LOCALHOST, port)),
        Ok(())
    );
    assert!(
        is_blocked(inside(&one, move || connect(address, port))),
        "another dyno does not"
    );
    for resolver in host_resolvers() {
        assert_eq!(
            inside(&one, move || connect(resolver, 53)),
            Ok(()),
            "the way out, to {resolver}"
        );
        assert!(
            is_blocked(inside(&one, move || connect(resolver, 54))),
            "{resolver}: only names"
        );
    }

    let everywhere = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = everywhere.local_addr().unwrap().port();
    for address in [host_address(), one.host_address, two.host_address] {
        assert_eq!(
            connect(address, port),
            Ok(()),
            "the host itself reaches {address}"
        );
        assert!(
            is_blocked(inside(&one, move || connect(address, port))),
            "a dyno: {address}"
        );
    }
    for private in [
        [169, 254, 169, 254],
        [10, 0, 0, 1],
        [172, 16, 0, 1],
        [192, 168, 0, 1],
    ] {
        assert!(
            is_blocked(inside(&one, move || connect(private, 80))),
            "{private:?}"
        );
    }
    let v6 = inside(&one, || {
        UdpSocket::bind("[::]:0").and_then(|s| s.connect("[2001:db8::1]:9"))
    });
    assert!(v6.is_err(), "no IPv6 inside");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_cannot_speak_for_another() {
    let fixture = Fixture::open(1).await;
    let dyno = fixture.network.take().await.unwrap();
    let Some(resolver) = host_resolvers().first().copied() else {
        return;
    };
    let table = Counter::new(&fixture.slot, &dyno.interface);
    let send = |from: Ipv4Addr| {
        inside(&dyno, move || {
            let socket = UdpSocket::bind((from, 0)).unwrap();
            socket.send_to(b"?", (resolver, 53)).unwrap();
        });
    };
    send(dyno.dyno_address);
    assert_eq!(table.packets(), 1, "its own address passes");
    let netns = format!("--net={}", dyno.netns.display());
    for foreign in ["10.208.0.77", "203.0.113.7"] {
        let address = format!("{foreign}/32");
        let added = Command::new("nsenter")
            .args([
                netns.as_str(),
                "ip",
                "address",
                "add",
                &address,
                "dev",
                "eth0",
            ])
            .status();
        assert!(added.unwrap().success());
        send(foreign.parse().unwrap());
        assert_eq!(table.packets(), 1, "{foreign} does not");
    }
    send(dyno.dyno_address);
    assert_eq!(table.packets(), 2, "its own address still passes");
}

/// Counts a dyno's packets to port 53 behind the check of their source address.
struct Counter(String);

impl Counter {
    fn new(slot: &Slot, interface: &str) -> Self {
        let table = format!("{}_counter", slot.nft_table());
        nft(&["add", "table", "inet", &table]);
        nft(&[
            "add",
            "chain",
            "inet",
            &table,
            "seen",
            "{ type filter hook prerouting priority -290; }",
        ]);
        let rule = format!("iifname {interface} udp dport 53 counter");
        nft(&["add", "rule", "inet", &table, "seen", &rule]);
        Self(table)
    }

    fn packets(&self) -> u64 {
        let listing = nft(&["list", "table", "inet", &self.0]);
        let (_, after) = listing.split_once("counter packets ").unwrap();
        after.split(' ').next().unwrap().parse().unwrap()
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        drop(
            Command::new("nft")
                .args(["delete", "table", "inet", &self.0])
                .status(),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_firewall_is_raised_again() {
    let fixture = Fixture::open(1).await;
    let (one, two) = (
        fixture.network.take().await.unwrap(),
        fixture.network.take().await.unwrap(),
    );
    let (port, _alive) = listen(&two);
    let address = two.dyno_address;
    let reaches = || inside(&one, move || connect(address, port));
    let table = fixture.slot.nft_table();
    let whole = nft(&["--stateless", "list", "table", "inet", &table]);

    nft(&["flush", "table", "inet", &table]);
    assert_eq!(reaches(), Ok(()), "the rules were what kept them apart");
    fixture.network.assert().await.unwrap();
    assert!(is_blocked(reaches()));
    nft(&["delete", "table", "inet", &table]);
    fixture.network.assert().await.unwrap();
    assert!(is_blocked(reaches()));
    assert_eq!(
        nft(&["--stateless", "list", "table", "inet", &table]),
        whole
    );
    fixture.network.assert().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_are_handed_out_once_and_leave_nothing() {
    let fixture = Fixture::open(3).await;
    let network = &fixture.network;
    let mut taken = Vec::new();
    for _ in 0..6 {
        taken.push(network.take().await.unwrap());
    }
    let mut indices: Vec<u32> = taken.iter().map(|dyno| dyno.index).collect();
    indices.sort_unstable();
    indices.dedup();
    assert_eq!(indices.len(), 6, "each is handed out once");
    network.release(taken[0].index).await.unwrap();
    assert!(!Path::new(&taken[0].netns).exists());
    assert_ne!(
        network.take().await.unwrap().index,
        taken[0].index,
        "nor soon again"
    );

    // Another process of this slot, as after a restart of the server.
    let config = NetworkConfig {
        pool_size: 1,
        ..NetworkConfig::default()
    };
    let next = Network::open(fixture.slot.clone(), config).await.unwrap();
    assert_eq!(next.adopt(taken[1].index), taken[1]);
    next.sweep(&[taken[2].index]).await.unwrap();
    assert!(taken[1].netns.exists() && taken[2].netns.exists());
    assert!(!taken[3].netns.exists(), "nobody knows it");
    let (port, alive) = listen(&taken[1]);
    assert_eq!(connect(taken[1].dyno_address, port), Ok(()));

    drop(alive);
    next.remove_everything().await.unwrap();
    network.remove_everything().await.unwrap();
    assert_eq!(fixture.left_on_host(), Vec::<String>::new());
    assert!(next.take().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn taking_a_ready_network_is_quick() {
    let fixture = Fixture::open(4).await;
    let mut times = Vec::new();
    for _ in 0..12 {
        let before = tokio::time::Instant::now();
        let dyno = fixture.network.take().await.unwrap();
        times.push(before.elapsed());
        fixture.network.release(dyno.index).await.unwrap();
    }
    // Figures for the reader; how quick it must be is for the benchmarks to say.
    println!("take: {times:?}");
}
