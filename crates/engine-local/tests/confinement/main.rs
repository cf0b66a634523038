//! The confinement of a dyno, looked at from inside: `examples/probe` runs as one and tells what
//! it could do; the table in `expected` says what it must find. The test fails as well when
//! something that a dyno may do does not work.
//!
//! Needs root and the stack.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set its stage up has failed"
)]

mod calls;
// Elsewhere the table has fewer rows.
#[cfg(target_arch = "x86_64")]
mod document;
mod expected;

use std::{
    collections::BTreeMap,
    env, fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::{PermissionsExt, chown, symlink},
            net::{SocketAddr as UnixAddress, UnixListener},
        },
    },
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread,
    time::Duration,
};

use api::ids::{AppId, DynoId};
use engine::{DynoKind, DynoSpec, Engine, ExecSpec, Limits, Probe, Stdio};
use engine_local::{
    LAYER_OWNER, LocalEngine, LocalEngineConfig, network::host_resolvers, stacks::DEFAULT_STACK,
};
use expected::{Expected, HERE, NO_OTHER_USER, SECTIONS};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

const PORT: u16 = 5000;
const DEADLINE: Duration = Duration::from_mins(5);
const POLL: Duration = Duration::from_millis(20);
/// Links in the slug, out of it.
const LINKS: [(&str, &str); 5] = [
    ("to-shadow", "/etc/shadow"),
    ("to-above", "../../../../../../../../etc/shadow"),
    ("to-first-root", "/proc/1/root/etc/shadow"),
    ("to-dynos", "/run/landfall"),
    ("to-disk", "/dev/vda"),
];

/// An engine and a layer with the probe, cleaned up however the test ends.
struct Fixture {
    engine: Arc<LocalEngine>,
    directory: TempDir,
}

impl Fixture {
    async fn open() -> Self {
        let shim = program(&["--package", "shim"], "landfall-shim");
        let directory = tempfile::tempdir().unwrap();
        let config = LocalEngineConfig::new(directory.path().join("data"), cache(), shim);
        fs::create_dir(&config.data).unwrap();
        let engine = LocalEngine::open(config).await.unwrap();
        fs::create_dir(directory.path().join("layer")).unwrap();
        let fixture = Self { engine, directory };
        let probe = program(
            &["--package", "engine-local", "--example", "probe"],
            "examples/probe",
        );
        fixture.add(&probe, "probe", LAYER_OWNER, 0o755);
        fixture.add(&probe, "setuid-root", 0, 0o6755);
        fixture.add(&probe, "setuid-other", LAYER_OWNER + 1, 0o6755);
        chown(fixture.layer(), Some(LAYER_OWNER), Some(LAYER_OWNER)).unwrap();
        fs::write(fixture.canary(), "seen").unwrap();
        for (name, target) in LINKS {
            symlink(target, fixture.layer().join(name)).unwrap();
        }
        symlink(fixture.canary(), fixture.layer().join("to-canary")).unwrap();
        fixture
    }

    /// A file of the host that no dyno may see.
    fn canary(&self) -> PathBuf {
        self.directory.path().join("canary")
    }

    fn layer(&self) -> PathBuf {
        self.directory.path().join("layer")
    }

    /// Puts a program into the layer under this name.
    fn add(&self, program: &Path, name: &str, owner: u32, mode: u32) {
        let file = self.layer().join(name);
        fs::copy(program, &file).unwrap();
        chown(&file, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }

    async fn start(&self, command: Vec<String>) -> DynoId {
        let id = DynoId::new();
        let spec = DynoSpec {
            id,
            app: AppId::new(),
            name: "web.1".parse().unwrap(),
            kind: DynoKind::Formation,
            stack: DEFAULT_STACK.parse().unwrap(),
            layers: vec![self.layer()],
            image: None,
            capture: None,
            binds: Vec::new(),
            command,
            env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
            port: Some(PORT),
            limits: Limits {
                memory_bytes: 256 << 20,
                cpu_weight: 100,
                pids: 64,
                ..Limits::default()
            },
            stdio: Stdio::Logged,
            is_restarted_unattended: false,
            labels: BTreeMap::new(),
        };
        self.engine.start(spec).await.unwrap();
        id
    }

    /// Starts another dyno that serves, and tells its address once it does.
    async fn neighbour(&self) -> SocketAddr {
        let serve = ["python3", "-m", "http.server", "5000"].map(str::to_owned);
        let id = self.start(serve.to_vec()).await;
        let answered = async {
            while self
                .engine
                .probe(id, &engine::Question::default(), POLL)
                .await
                .unwrap()
                == Probe::Refused
            {
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(DEADLINE, answered).await.unwrap();
        let address = self.engine.inspect(id).await.unwrap().address.unwrap();
        SocketAddr::new(address, PORT)
    }

    /// Runs the probe to its end and returns its findings.
    async fn probe(&self, arguments: &[String]) -> BTreeMap<String, String> {
        let program = ["/app/probe".to_owned()];
        let id = self.start([program.as_slice(), arguments].concat()).await;
        let exit = tokio::time::timeout(DEADLINE, self.engine.wait(id))
            .await
            .unwrap()
            .unwrap();
        let mut lines = Vec::new();
        loop {
            let batch = self.engine.read_log(id, lines.len() as u64).await.unwrap();
            lines.extend(batch.records.into_iter().map(|record| record.text));
            if batch.ended {
                break;
            }
        }
        assert!(exit.is_success(), "{exit:?} {lines:#?}");
        lines.iter().map(|line| finding(line)).collect()
    }

    /// The same, as a command inside a dyno that does something else.
    async fn probe_inside(&self, arguments: &[String]) -> BTreeMap<String, String> {
        let id = self
            .start(["sleep", "1000"].map(str::to_owned).to_vec())
            .await;
        let program = ["/app/probe".to_owned()];
        let spec = ExecSpec {
            command: [program.as_slice(), arguments].concat(),
            env: BTreeMap::new(),
            stdio: Stdio::Pipes,
        };
        let mut stream = self.engine.exec(id, spec).await.unwrap();
        let mut text = String::new();
        let read = stream.read_to_string(&mut text);
        tokio::time::timeout(DEADLINE, read).await.unwrap().unwrap();
        text.lines().map(finding).collect()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let engine = Arc::clone(&self.engine);
        // Dropping happens inside the test's runtime, which cannot wait; another one can.
        let cleaning = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(engine.remove_everything()).unwrap();
        });
        let cleaned = cleaning.join();
        if !thread::panicking() {
            cleaned.unwrap();
        }
    }
}

fn cache() -> PathBuf {
    env::var_os("LANDFALL_CACHE").map_or_else(|| "/var/cache/landfall".into(), PathBuf::from)
}

/// A program of this workspace, built now if it is not up to date: nothing else makes it so.
fn program(build: &[&str], place: &str) -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet"])
        .args(build)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.unwrap().success(), "{build:?} does not build");
    let test = env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join(place)
}

fn finding(line: &str) -> (String, String) {
    let finding: BTreeMap<String, String> = serde_json::from_str(line).unwrap();
    (finding["probe"].clone(), finding["outcome"].clone())
}

/// The address that the host has towards the outside.
fn host_address() -> IpAddr {
    // Nothing is sent: this only asks the routing table.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    socket.connect((Ipv4Addr::new(198, 51, 100, 1), 9)).unwrap();
    socket.local_addr().unwrap().ip()
}

/// Compares and lists every difference.
fn differences(
    findings: &BTreeMap<String, String>,
    expected: &[(String, Expected)],
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (probe, expected) in expected {
        match findings.get(probe) {
            Some(outcome) if expected.allows(outcome) => {}
            outcome => wrong.push(format!("{probe}: {outcome:?}, expected {expected:?}")),
        }
    }
    for probe in findings.keys() {
        if !expected.iter().any(|(known, _)| known == probe) {
            wrong.push(format!("{probe}: nothing is expected of it"));
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_is_confined() {
    let fixture = Fixture::open().await;
    let neighbour = fixture.neighbour().await;
    TcpStream::connect(neighbour).expect("the host reaches a dyno");

    let everywhere = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = everywhere.local_addr().unwrap().port();
    let name = format!("landfall-probe-{}", std::process::id());
    let _abstract =
        UnixListener::bind_addr(&UnixAddress::from_abstract_name(name.as_bytes()).unwrap());

    let mut targets = targets(&fixture, neighbour, port);
    targets.push((format!("abstract={name}"), Expected::Is("ECONNREFUSED")));
    targets.extend(
        host_resolvers()
            .iter()
            .map(|server| (format!("connect={server}:53"), Expected::Open)),
    );
    let arguments: Vec<String> = targets.iter().map(|(target, _)| target.clone()).collect();
    let own = fixture.probe(&arguments).await;
    let entered = fixture.probe_inside(&arguments).await;

    let tables = SECTIONS.iter().map(|section| section.findings);
    let table = tables.chain([HERE, &[("end", Expected::Open)]]).flatten();
    targets.extend(table.map(|(probe, expected)| ((*probe).to_owned(), *expected)));
    for (way, mut findings) in [("as its program", own), ("inside it", entered)] {
        let mut wrong = calls::take_differences(&mut findings);
        wrong.extend(differences(&findings, &targets));
        assert!(wrong.is_empty(), "{way}: {wrong:#?}");
    }
}

/// What only this test knows the places of, and what must come of trying to get there. `port` is
/// one that the host listens on everywhere.
fn targets(fixture: &Fixture, neighbour: SocketAddr, port: u16) -> Vec<(String, Expected)> {
    use Expected::{Hidden, Is, Unreachable};
    let (host, gateway) = (host_address(), gateway_of(neighbour, port));
    let data = fixture.directory.path().display();
    let mut targets = vec![
        // Neighbours.
        (format!("connect={neighbour}"), Unreachable),
        (format!("greet={neighbour}"), Unreachable),
        (format!("udp={}:9", neighbour.ip()), Unreachable),
        (format!("ping={}", neighbour.ip()), Unreachable),
        // The host, by every address it has for a dyno.
        (format!("connect={host}:{port}"), Unreachable),
        (format!("udp={host}:9"), Unreachable),
        (format!("ping={host}"), Unreachable),
        (format!("connect={gateway}"), Unreachable),
        (format!("udp={}:9", gateway.ip()), Unreachable),
        (format!("ping={}", gateway.ip()), Unreachable),
        (format!("connect=127.0.0.1:{port}"), Is("ECONNREFUSED")),
        (format!("connect=[::1]:{port}"), Expected::Nobody),
        // Where clouds keep a machine's secrets.
        ("connect=169.254.169.254:80".to_owned(), Unreachable),
        ("udp=169.254.169.254:53".to_owned(), Unreachable),
        ("connect=169.254.170.2:80".to_owned(), Unreachable),
        // There is no such network in a dyno at all.
        ("connect=[fd00:ec2::254]:80".to_owned(), Expected::Nobody),
        // The host's files, and links and marks in the slug.
        (format!("path={}", fixture.canary().display()), Hidden),
        (format!("path={data}"), Hidden),
        (format!("path={data}/data/run/dynos"), Hidden),
        ("path=/app/to-canary".to_owned(), Hidden),
        ("setuid=/app/setuid-root".to_owned(), NO_OTHER_USER),
        ("setuid=/app/setuid-other".to_owned(), NO_OTHER_USER),
    ];
    for (name, _) in LINKS {
        targets.push((format!("read=/app/{name}"), Hidden));
    }
    targets
}

/// The host's end of a dyno's link: the address before the dyno's.
fn gateway_of(dyno: SocketAddr, port: u16) -> SocketAddr {
    let IpAddr::V4(address) = dyno.ip() else {
        unreachable!("dynos have IPv4 addresses")
    };
    SocketAddr::new(Ipv4Addr::from(u32::from(address) - 1).into(), port)
}
