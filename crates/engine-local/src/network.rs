//! Dynos' networks: a namespace and a point-to-point link for each, behind one firewall table.
//!
//! Making a namespace and its link takes longer than all the rest of a dyno's start, so some are
//! kept ready. A used one is removed, never handed on. This module must not know what runs inside.
//! Read [`Network`] first; [`ruleset`] says who may talk to whom.
//!
//! The host forwards packets for its dynos, so `net.ipv4.ip_forward` is switched on. Firewalls of
//! the operator see the same packets: one that drops what it does not know (Docker sets the
//! forward policy to drop) must let the interfaces `lf*` out.

mod firewall;
mod indices;
mod link;
mod repair;
mod ruleset;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    net::Ipv4Addr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use engine::EngineError;
use tokio::sync::{Notify, RwLock, oneshot};

pub(crate) use self::repair::{Survey, remove_deserted};
pub use self::ruleset::{Subnet, SubnetError};
use self::{
    firewall::Firewall,
    indices::{Indices, Use},
    link::LinkPlan,
};
use crate::slot::Slot;

/// Where the files are that keep namespaces alive; emptied by a restart of the host.
const NAMESPACES: &str = "/run/landfall/netns";
/// How many networks are kept ready unless said otherwise.
const POOL_SIZE: usize = 4;
/// How long the pool rests after the host refused to make a network.
const REFILL_PAUSE: Duration = Duration::from_secs(1);

/// What a slot's network lets through, and how much of it is kept ready.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// How many networks are kept ready.
    pub pool_size: usize,
    /// Name servers that dynos may ask, whatever their address.
    pub resolvers: Vec<Ipv4Addr>,
    /// Private networks that dynos may reach, by the operator's choice.
    pub allowed: Vec<Subnet>,
    /// TCP ports of the host that serve the public, such as the router's: dynos may reach them as
    /// anyone may.
    pub public_ports: Vec<u16>,
}

impl Default for NetworkConfig {
    /// The host's own name servers; no private network and no port of the host.
    fn default() -> Self {
        Self {
            pool_size: POOL_SIZE,
            resolvers: host_resolvers(),
            allowed: Vec::new(),
            public_ports: Vec::new(),
        }
    }
}

/// The network of one dyno.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynoNetwork {
    /// Its number within the slot.
    pub index: u32,
    /// A file to enter its namespace by.
    pub netns: PathBuf,
    /// The host's end of the link; the dyno's gateway.
    pub host_address: Ipv4Addr,
    /// Where the router reaches the dyno.
    pub dyno_address: Ipv4Addr,
    /// The host's end of the link.
    pub interface: String,
}

/// All networks of one slot. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Network(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    slot: Slot,
    pool_size: usize,
    mtu: u32,
    host_netns: Arc<OwnedFd>,
    netlink: rtnetlink::Handle,
    firewall: Firewall,
    indices: Mutex<Indices>,
    /// Told when the pool may have room, and when it is closed.
    refill: Arc<Notify>,
    /// Whether no more networks are made. Held for reading while one is.
    is_closed: RwLock<bool>,
    /// Held for reading while a dyno's network is removed, for writing while one is repaired.
    repairing: RwLock<()>,
}

impl Network {
    /// Raises the firewall and starts to fill the pool. Networks that an earlier process of this
    /// slot left are not touched until [`Network::adopt`] or [`Network::sweep`].
    ///
    /// # Errors
    /// `Host` when the host refuses: not root, no `nft`.
    pub async fn open(slot: Slot, config: NetworkConfig) -> Result<Self, EngineError> {
        let open = |source| EngineError::Host {
            step: "open the dynos' network",
            source,
        };
        make_directory().map_err(open)?;
        let host_netns = File::open("/proc/thread-self/ns/net").map_err(open)?;
        let (connection, netlink, _) = rtnetlink::new_connection().map_err(open)?;
        tokio::spawn(connection);
        let mut indices = Indices::default();
        for index in on_host(&slot).map_err(open)? {
            indices.set(index, Use::LeftOver);
        }
        let ruleset = ruleset::ruleset(&slot, &config);
        let network = Self(Arc::new(Shared {
            firewall: Firewall::new(slot.nft_table(), ruleset),
            slot,
            pool_size: config.pool_size,
            mtu: link::uplink_mtu(),
            host_netns: Arc::new(host_netns.into()),
            netlink,
            indices: Mutex::new(indices),
            refill: Arc::new(Notify::new()),
            is_closed: RwLock::new(false),
            repairing: RwLock::default(),
        }));
        network.assert().await?;
        tokio::spawn(fill(
            Arc::downgrade(&network.0),
            Arc::clone(&network.0.refill),
        ));
        Ok(network)
    }

    /// A network for a dyno to start: a ready one, or a fresh one. Unless it was the last, the next
    /// is not made before [`Network::refill`], which is for whoever would not wait beside that.
    ///
    /// Safe to drop: the network stays in the pool.
    ///
    /// # Errors
    /// `Host` when the host refuses to make one or the slot's range is used up.
    pub async fn take(&self) -> Result<DynoNetwork, EngineError> {
        let ready = self.take_whole();
        if self.0.indices().ready() == 0 {
            self.refill();
        }
        let index = match ready {
            Some(index) => Ok(index),
            None => self.make_now().await,
        };
        let index = index.map_err(|source| EngineError::Host {
            step: "make a dyno's network",
            source,
        })?;
        Ok(self.0.describe(index))
    }

    /// Has the pool filled.
    pub fn refill(&self) {
        self.0.refill.notify_one();
    }

    /// A ready one that nobody has broken meanwhile.
    fn take_whole(&self) -> Option<u32> {
        loop {
            let index = self.0.indices().take_ready()?;
            if self.0.is_kept(index) {
                return Some(index);
            }
            self.0.indices().set(index, Use::LeftOver);
        }
    }

    async fn make_now(&self) -> io::Result<u32> {
        let (done, result) = oneshot::channel();
        let shared = Arc::clone(&self.0);
        // On its own, so that it is finished and kept when the taker goes away.
        tokio::spawn(async move {
            let made = shared.make(Use::Taken).await;
            if let Err(Ok(index)) = done.send(made) {
                shared.indices().set(index, Use::Ready);
            }
        });
        result.await.map_err(io::Error::other)?
    }

    /// Removes the network of a dyno that has ended.
    ///
    /// # Errors
    /// `Host` when the host refuses; [`Network::sweep`] then tries again.
    pub async fn release(&self, index: u32) -> Result<(), EngineError> {
        let _still = self.0.repairing.read().await;
        self.0.indices().set(index, Use::Changing);
        self.0.remove(index).await
    }

    /// Marks a network in use by a dyno that was started before the server, and tells it.
    pub fn adopt(&self, index: u32) -> DynoNetwork {
        self.0.indices().set(index, Use::Taken);
        self.0.describe(index)
    }

    /// The file to enter a network's namespace by.
    pub(crate) fn namespace(&self, index: u32) -> PathBuf {
        self.0.describe(index).netns
    }

    /// Raises the firewall and forwarding again if anyone took them down. Returns what was done.
    ///
    /// # Errors
    /// `Host`.
    pub async fn assert(&self) -> Result<Vec<String>, EngineError> {
        let failed = |source| EngineError::Host {
            step: "assert the dynos' network",
            source,
        };
        let mut done = Vec::new();
        if link::setting("/proc/sys/net/ipv4/ip_forward", "1").map_err(failed)? {
            done.push("switched forwarding of packets on".to_owned());
        }
        if self.0.firewall.assert().await.map_err(failed)? {
            let table = self.0.slot.nft_table();
            done.push(format!("loaded the firewall's table {table} again"));
        }
        Ok(done)
    }

    /// Removes networks of this slot that are on the host, and neither in `known`, nor adopted, nor
    /// made by this process.
    ///
    /// # Errors
    /// `Host` for the first that could not be removed; the others are.
    pub async fn sweep(&self, known: &[u32]) -> Result<(), EngineError> {
        let condemned = self.0.indices().condemn(known);
        self.0.remove_all(condemned).await
    }

    /// Removes every network of this slot and the firewall, and closes the pool. Dynos that still
    /// run are cut off.
    ///
    /// # Errors
    /// `Host` for the first thing that could not be removed; the others are.
    pub async fn remove_everything(&self) -> Result<(), EngineError> {
        *self.0.is_closed.write().await = true;
        self.0.refill.notify_one();
        let step = "remove the dynos' networks";
        let present = on_host(&self.0.slot).map_err(|source| EngineError::Host { step, source })?;
        let removed = self.0.remove_all(present.into_iter().collect()).await;
        let lowered = self.0.firewall.remove().await;
        removed.and(lowered.map_err(|source| EngineError::Host { step, source }))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.refill.notify_one();
    }
}

impl Shared {
    fn indices(&self) -> MutexGuard<'_, Indices> {
        self.indices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn describe(&self, index: u32) -> DynoNetwork {
        let (host_address, dyno_address) = self.slot.link_addresses(index);
        let interface = format!("{}{index}", self.slot.interface_prefix());
        let netns = Path::new(NAMESPACES).join(&interface);
        DynoNetwork {
            index,
            netns,
            host_address,
            dyno_address,
            interface,
        }
    }

    /// Makes a network and marks it.
    async fn make(&self, mark: Use) -> io::Result<u32> {
        let is_closed = self.is_closed.read().await;
        if *is_closed {
            return Err(io::Error::other("the network was closed"));
        }
        let reserved = self.indices().reserve();
        let index = reserved.ok_or_else(|| io::Error::other("the slot's networks are used up"))?;
        let plan = self.plan(index);
        let netns = plan.netns.clone();
        let made = link::make(&self.netlink, plan).await;
        let mut indices = self.indices();
        match made {
            Ok(()) => indices.set(index, mark),
            Err(_) if netns.exists() => indices.set(index, Use::LeftOver),
            Err(_) => indices.free(index),
        }
        made.map(|()| index)
    }

    fn plan(&self, index: u32) -> LinkPlan {
        let network = self.describe(index);
        LinkPlan {
            netns: network.netns,
            interface: network.interface,
            host_address: network.host_address,
            dyno_address: network.dyno_address,
            host_netns: Arc::clone(&self.host_netns),
            mtu: self.mtu,
        }
    }

    async fn remove(&self, index: u32) -> Result<(), EngineError> {
        let DynoNetwork {
            netns, interface, ..
        } = self.describe(index);
        let removed = link::remove(&self.netlink, &netns, &interface).await;
        let mut indices = self.indices();
        match removed {
            Ok(()) => indices.free(index),
            Err(_) => indices.set(index, Use::LeftOver),
        }
        removed.map_err(|source| EngineError::Host {
            step: "remove a dyno's network",
            source,
        })
    }

    async fn remove_all(&self, all: Vec<u32>) -> Result<(), EngineError> {
        let mut outcome = Ok(());
        for index in all {
            let removed = self.remove(index).await;
            outcome = outcome.and(removed);
        }
        outcome
    }
}

/// Makes the directory of files that keep namespaces, if it is not there.
pub(crate) fn make_directory() -> io::Result<()> {
    fs::create_dir_all(NAMESPACES)
}

/// Keeps the pool full until the network is dropped or closed.
async fn fill(network: Weak<Shared>, refill: Arc<Notify>) {
    loop {
        let Some(shared) = network.upgrade() else {
            return;
        };
        if *shared.is_closed.read().await {
            return;
        }
        let has_room = shared.indices().ready() < shared.pool_size;
        let made = if has_room {
            shared.make(Use::Ready).await.map(|_| true)
        } else {
            Ok(false)
        };
        drop(shared);
        match made {
            Ok(true) => {}
            Ok(false) => refill.notified().await,
            Err(error) => {
                tracing::warn!(%error, "could not make a network for the pool");
                tokio::time::sleep(REFILL_PAUSE).await;
            }
        }
    }
}

/// Indices of which the host has an interface or a namespace.
fn on_host(slot: &Slot) -> io::Result<BTreeSet<u32>> {
    let prefix = slot.interface_prefix();
    let mut found = BTreeSet::new();
    for directory in ["/sys/class/net", NAMESPACES] {
        for entry in fs::read_dir(directory)? {
            let name = entry?.file_name();
            let index: Option<u32> = name
                .to_str()
                .and_then(|name| name.strip_prefix(&prefix)?.parse().ok());
            found.extend(index);
        }
    }
    Ok(found)
}

/// The host's name servers that a dyno can reach too: those at a loopback address only serve the
/// host itself, so a local stub's own upstream servers stand in for it.
pub fn host_resolvers() -> Vec<Ipv4Addr> {
    for path in ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"] {
        let found = resolvers(&fs::read_to_string(path).unwrap_or_default());
        if !found.is_empty() {
            return found;
        }
    }
    tracing::warn!("the host names no server that dynos could look names up with");
    Vec::new()
}

/// The host's name servers as the host itself asks them.
pub(crate) fn all_resolvers() -> Vec<Ipv4Addr> {
    name_servers(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
}

fn resolvers(resolv_conf: &str) -> Vec<Ipv4Addr> {
    let mut addresses = name_servers(resolv_conf);
    addresses.retain(|address| !address.is_loopback());
    addresses
}

fn name_servers(resolv_conf: &str) -> Vec<Ipv4Addr> {
    let named = resolv_conf.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next())?
    });
    named.filter_map(|address| address.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_that_only_serve_the_host_are_left_out() {
        let text = "# nameserver 1.1.1.1\nsearch a.test\nnameserver 127.0.0.53\n\
                    nameserver 10.0.0.2\nnameserver fd00::1\nnameserver  192.0.2.1 \n";
        assert_eq!(
            resolvers(text),
            [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(192, 0, 2, 1)]
        );
    }
}
