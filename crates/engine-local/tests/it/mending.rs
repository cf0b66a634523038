//! What somebody takes off the host comes back, and what is nobody's goes.
//!
//! Only what carries the test's own slot is touched: other platforms share the directories.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use api::ids::DynoId;
use engine::{DynoSpec, DynoState, Engine, Probe};
use engine_local::{LocalEngine, slot::Slot};
use rustix::{
    mount::{UnmountFlags, unmount},
    process::{Pid, Signal, kill_process},
};
use shim::files::{self, State};

use crate::support::{Platform, config, shell, sibling, soon, until};

const PORT: u16 = 5000;

/// A dyno that answers HTTP on its port.
fn web() -> DynoSpec {
    let mut spec = shell("cd /tmp && exec python3 -m http.server $PORT");
    spec.port = Some(PORT);
    spec
}

struct Host {
    slot: Slot,
}

impl Host {
    fn of(platform: &Platform) -> Self {
        let slot = Slot::claim(platform.data.path()).unwrap();
        Self { slot }
    }

    fn registration(&self) -> PathBuf {
        format!("/run/landfall/slots/{:03}", self.slot.number).into()
    }

    fn interfaces(&self) -> Vec<String> {
        self.names("/sys/class/net")
    }

    fn namespaces(&self) -> Vec<PathBuf> {
        let names = self.names("/run/landfall/netns");
        names.into_iter().map(namespace).collect()
    }

    /// The slot's group in the hierarchy that a dyno's group is in.
    fn group_beside(&self, group: &Path) -> PathBuf {
        let own = self.slot.cgroup_name();
        let mut above = group.ancestors().map(|above| above.join(&own));
        above.find(|own| own.is_dir()).unwrap()
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.retain(|name| name.starts_with(&self.slot.interface_prefix()));
        names
    }

    /// The dyno's end of the link is one above the host's.
    fn interface_of(&self, address: IpAddr) -> String {
        let IpAddr::V4(address) = address else {
            panic!("{address}")
        };
        let first = u32::from(self.slot.first_address());
        let index = (u32::from(address) - first) / 2;
        format!("{}{index}", self.slot.interface_prefix())
    }
}

fn namespace(interface: String) -> PathBuf {
    Path::new("/run/landfall/netns").join(interface)
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

fn has_table(slot: &Slot) -> bool {
    let listed = Command::new("nft")
        .args(["list", "tables"])
        .output()
        .unwrap();
    String::from_utf8(listed.stdout)
        .unwrap()
        .contains(&slot.nft_table())
}

async fn answers(platform: &Platform, id: DynoId) -> bool {
    let question = engine::Question::default();
    let probe = platform.engine.probe(id, &question, Duration::from_secs(2));
    // A network between may have answers of its own for addresses that lead nowhere.
    soon(probe).await.unwrap() == Probe::Answered { status: Some(200) }
}

async fn serves(platform: &Platform, id: DynoId) {
    while !answers(platform, id).await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn mend(platform: &Platform) -> Vec<String> {
    let mut done = soon(platform.engine.mend()).await.unwrap();
    // Of another test that runs beside this one.
    done.retain(|what| !what.starts_with("freed slot"));
    done
}

/// Mends until there is nothing to do, which must be the case soon: the pool refills meanwhile.
async fn settle(platform: &Platform) {
    while !mend(platform).await.is_empty() {}
}

fn state(platform: &Platform, id: DynoId) -> State {
    let path = platform.dyno_directory(id).join(files::STATE);
    files::read_json(&path).unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_host_is_left_alone() {
    let platform = Platform::open().await;
    let web = platform.start(web()).await;
    let ended = platform.start(shell("exit 0")).await;
    platform.wait(ended).await;
    soon(serves(&platform, web)).await;
    assert_eq!(mend(&platform).await, [""; 0]);
    assert!(answers(&platform, web).await);
    platform.engine.remove(ended).await.unwrap();
    assert_eq!(mend(&platform).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_firewall_and_a_link_come_back() {
    let platform = Platform::open().await;
    let host = Host::of(&platform);
    let id = platform.start(web()).await;
    soon(serves(&platform, id)).await;
    let address = platform.engine.inspect(id).await.unwrap().address.unwrap();
    let link = host.interface_of(address);
    run("nft", &["delete", "table", "inet", &host.slot.nft_table()]);
    run("ip", &["link", "delete", &link]);
    assert!(!answers(&platform, id).await);
    let done = mend(&platform).await;
    let expected = [
        format!(
            "loaded the firewall's table {} again",
            host.slot.nft_table()
        ),
        format!("made the link {link} again"),
    ];
    assert_eq!(done, expected);
    assert!(has_table(&host.slot) && answers(&platform, id).await);
    for breakage in [
        vec!["link", "set", &link, "down"],
        vec!["address", "flush", "dev", &link],
    ] {
        run("ip", &breakage);
        assert!(!answers(&platform, id).await, "{breakage:?}");
        assert_eq!(mend(&platform).await, expected[1..], "{breakage:?}");
        assert!(answers(&platform, id).await, "{breakage:?}");
    }
    // The way out is there as before.
    let gateway = Command::new("nsenter")
        .arg(format!("--net={}", namespace(link).display()))
        .args(["ip", "route"])
        .output()
        .unwrap();
    let routes = String::from_utf8(gateway.stdout).unwrap();
    assert!(routes.starts_with("default via 10."), "{routes}");
    settle(&platform).await;
}

/// As when `/run` is emptied while dynos run.
fn wipe(host: &Host) {
    wipe_namespaces(host);
    fs::remove_file(host.registration()).unwrap();
}

fn wipe_namespaces(host: &Host) {
    for file in host.namespaces() {
        unmount(&file, UnmountFlags::DETACH).unwrap();
        fs::remove_file(file).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_run_directory_comes_back() {
    let mut platform = Platform::open().await;
    let host = Host::of(&platform);
    let id = platform.start(web()).await;
    soon(serves(&platform, id)).await;
    wipe(&host);
    let done = mend(&platform).await;
    assert!(
        done.iter().any(|what| what == "registered the slot again"),
        "{done:?}"
    );
    assert!(
        done.iter()
            .any(|what| what.starts_with("kept the namespace")),
        "{done:?}"
    );
    assert_eq!(Slot::claim(platform.data.path()).unwrap(), host.slot);
    assert!(answers(&platform, id).await);
    let next = platform.start(web()).await;
    soon(serves(&platform, next)).await;
    // While no server looks, it costs no more.
    platform.engine = open_elsewhere().await.0;
    wipe(&host);
    platform.reopen().await;
    mend(&platform).await;
    assert_eq!(Slot::claim(platform.data.path()).unwrap(), host.slot);
    for id in [id, next] {
        assert!(answers(&platform, id).await);
        let link = host.interface_of(platform.engine.inspect(id).await.unwrap().address.unwrap());
        assert!(namespace(link).exists());
    }
    settle(&platform).await;
}

/// An engine that has nothing to do with the platform.
async fn open_elsewhere() -> (std::sync::Arc<LocalEngine>, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    let engine = LocalEngine::open(config(data.path())).await.unwrap();
    engine.remove_everything().await.unwrap();
    (engine, data)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_the_host_dynos_are_lost_and_start_anew() {
    let mut platform = Platform::open().await;
    let host = Host::of(&platform);
    let id = platform.start(web()).await;
    soon(serves(&platform, id)).await;
    let state = state(&platform, id);
    platform.engine = open_elsewhere().await.0;
    kill_process(Pid::from_raw(state.shim).unwrap(), Signal::KILL).unwrap();
    let process = format!("/proc/{}", state.process);
    until("its processes end", || !Path::new(&process).exists()).await;
    wipe_namespaces(&host);
    for link in host.interfaces() {
        // With its namespace it may have gone by itself.
        drop(Command::new("ip").args(["link", "delete", &link]).output());
    }
    run("nft", &["delete", "table", "inet", &host.slot.nft_table()]);
    for group in &state.cgroup.directories {
        until("the group is removed", || fs::remove_dir(group).is_ok()).await;
        let of_slot = host.group_beside(group);
        let shims = of_slot.join("shims");
        until("the shims' group is removed", || {
            fs::remove_dir(&shims).is_ok()
        })
        .await;
        fs::remove_dir(of_slot).unwrap();
    }
    // Last: from now on, another test may have the number.
    fs::remove_file(host.registration()).unwrap();
    platform.reopen().await;
    assert!(platform.wait(id).await.is_lost);
    mend(&platform).await;
    platform.engine.remove(id).await.unwrap();
    let again = platform.start(web()).await;
    soon(serves(&platform, again)).await;
    settle(&platform).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_dyno_whose_shim_is_killed() {
    let platform = Platform::open().await;
    let host = Host::of(&platform);
    let id = platform.start(web()).await;
    soon(serves(&platform, id)).await;
    let address = platform.engine.inspect(id).await.unwrap().address.unwrap();
    let state = state(&platform, id);
    kill_process(Pid::from_raw(state.shim).unwrap(), Signal::KILL).unwrap();
    assert!(platform.wait(id).await.is_lost);
    mend(&platform).await;
    platform.engine.remove(id).await.unwrap();
    assert_eq!(mend(&platform).await, [""; 0]);
    let gone = |path: &Path| !path.exists();
    assert!(state.cgroup.directories.iter().all(|group| gone(group)));
    assert!(gone(&platform.dyno_directory(id)));
    assert!(gone(&namespace(host.interface_of(address))));
    assert!(!host.interfaces().contains(&host.interface_of(address)));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&id.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_planted_goes() {
    let platform = Platform::open().await;
    let host = Host::of(&platform);
    let id = platform.start(shell("exec sleep 1000")).await;
    let groups = state(&platform, id).cgroup.directories;
    let beside = |name: &str| -> Vec<PathBuf> {
        groups
            .iter()
            .map(|group| sibling(group, id, name))
            .collect()
    };
    let stray = beside(&DynoId::new().to_string());
    for group in &stray {
        fs::create_dir(group).unwrap();
    }
    let dynos = platform.data.path().join("run/dynos");
    let half = dynos.join(DynoId::new().to_string());
    let removed = dynos.join(format!(".removed-{}", DynoId::new()));
    let other = dynos.join("notes.txt");
    fs::create_dir(&half).unwrap();
    fs::create_dir_all(removed.join("upper/deep")).unwrap();
    fs::write(&other, "not a dyno").unwrap();
    let link = format!("{}2000", host.slot.interface_prefix());
    run(
        "ip",
        &[
            "link", "add", &link, "type", "veth", "peer", "name", "lftest0",
        ],
    );
    let file = namespace(format!("{}2001", host.slot.interface_prefix()));
    fs::write(&file, "").unwrap();
    let done = mend(&platform).await;
    assert_eq!(done.len(), 5, "{done:?}");
    for gone in stray.iter().chain([&half, &removed, &file]) {
        assert!(!gone.exists(), "{}", gone.display());
    }
    assert!(other.exists() && !host.interfaces().contains(&link));
    let report = platform.engine.inspect(id).await.unwrap();
    assert_eq!(report.state, DynoState::Running);
    settle(&platform).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_network_of_the_pool_is_dropped() {
    let platform = Platform::open().await;
    let host = Host::of(&platform);
    until("the pool is filled", || host.interfaces().len() == 1).await;
    let ready = host.interfaces().remove(0);
    until("it is up", || {
        let state = fs::read_to_string(format!("/sys/class/net/{ready}/operstate"));
        state.is_ok_and(|state| state.trim() == "up")
    })
    .await;
    run("ip", &["link", "delete", &ready]);
    let id = platform.start(web()).await;
    soon(serves(&platform, id)).await;
    mend(&platform).await;
    assert!(!namespace(ready).exists());
    settle(&platform).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_platform_left_whose_directory_is_gone_goes() {
    let platform = Platform::open().await;
    let data = tempfile::tempdir().unwrap();
    let slot = Slot::claim(data.path()).unwrap();
    let link = format!("{}5", slot.interface_prefix());
    let peer = format!("lfpeer-{}", slot.number);
    run(
        "ip",
        &["link", "add", &link, "type", "veth", "peer", "name", &peer],
    );
    run("nft", &["add", "table", "inet", &slot.nft_table()]);
    let group = Path::new("/sys/fs/cgroup/pids")
        .join(slot.cgroup_name())
        .join("left");
    let has_group = fs::create_dir_all(&group).is_ok();
    mend(&platform).await;
    assert!(has_table(&slot), "its platform may come back");
    data.close().unwrap();
    // Another platform of this machine may be quicker.
    mend(&platform).await;
    assert!(!has_table(&slot) && !Path::new("/sys/class/net").join(&link).exists());
    assert!(!has_group || !group.exists());
}
