//! Finding networks that somebody has broken from outside, and making them whole again.
//!
//! What is looked at every few seconds costs a few calls per dyno: the file that keeps its
//! namespace, and its line in the host's table of routes, which the kernel drops with the link,
//! with its address and when it goes down. Read [`Network::is_whole`] first.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    net::Ipv4Addr,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::Path,
    sync::Arc,
};

use engine::EngineError;
use tokio::sync::RwLockWriteGuard;

use super::{Network, Shared, firewall, link, on_host};
use crate::slot::Slot;

/// The host's routes.
const ROUTES: &str = "/proc/net/route";
/// The kernel's `NSFS_MAGIC`.
const NAMESPACE_FILES: u64 = 0x6e73_6673;

/// What the host knows of all links, at one moment.
#[derive(Debug)]
pub(crate) struct Survey {
    routes: BTreeSet<(String, Ipv4Addr)>,
}

impl Survey {
    /// Looks at the host.
    pub(crate) fn take() -> io::Result<Self> {
        let text = fs::read_to_string(ROUTES)?;
        Ok(Self {
            routes: routes(&text),
        })
    }
}

impl Network {
    /// Whether a dyno's network is as it was made; `process` is one in its namespace.
    pub(crate) fn is_whole(&self, survey: &Survey, index: u32, process: i32) -> bool {
        let file = self.0.describe(index).netns;
        let namespace = format!("/proc/{process}/ns/net");
        self.0.is_linked(survey, index) && is_same(&file, Path::new(&namespace))
    }

    /// Until the guard is dropped, no dyno's network is removed.
    pub(crate) async fn hold_still(&self) -> RwLockWriteGuard<'_, ()> {
        self.0.repairing.write().await
    }

    /// Makes the network of a dyno whole again, whose namespace this is. Nobody may remove it
    /// meanwhile: see [`Network::hold_still`]. Returns what was done.
    pub(crate) async fn repair(
        &self,
        index: u32,
        namespace: OwnedFd,
    ) -> Result<Vec<String>, EngineError> {
        let repaired = self.0.repair(index, Arc::new(namespace)).await;
        repaired.map_err(|source| EngineError::Host {
            step: "repair a dyno's network",
            source,
        })
    }

    /// Says which networks dynos have; others that were taken for one are to be removed.
    pub(crate) fn abandon_all_but(&self, inhabited: &BTreeSet<u32>) {
        self.0.indices().abandon(inhabited);
    }

    /// Removes networks of the pool that somebody has broken, and those that belong to nobody.
    /// Returns what was done.
    pub(crate) async fn tidy(&self, survey: &Survey) -> Result<Vec<String>, EngineError> {
        let mut done = Vec::new();
        let ready = self.0.indices().all_ready();
        let mut broken: Vec<u32> = ready
            .into_iter()
            .filter(|index| !self.0.is_kept(*index) || !self.0.is_linked(survey, *index))
            // Made after the survey, it is looked at the next time.
            .filter(|index| self.0.is_still_broken(*index))
            .collect();
        broken.retain(|index| self.0.indices().condemn_ready(*index));
        let present = on_host(&self.0.slot).map_err(|source| EngineError::Host {
            step: "look for networks",
            source,
        })?;
        let mut strays: Vec<u32> = present.into_iter().collect();
        strays.retain(|index| self.0.indices().condemn_unknown(*index));
        strays.extend(self.0.indices().condemn(&[]));
        let say =
            |what: &str, index: &u32| format!("removed the {what} network {}", self.name(*index));
        done.extend(broken.iter().map(|index| say("broken", index)));
        done.extend(strays.iter().map(|index| say("unused", index)));
        broken.extend(strays);
        self.0.remove_all(broken).await?;
        self.0.refill.notify_one();
        Ok(done)
    }

    fn name(&self, index: u32) -> String {
        self.0.describe(index).interface
    }
}

impl Shared {
    /// Whether the namespace and the link exist.
    pub(super) fn is_kept(&self, index: u32) -> bool {
        let network = self.describe(index);
        is_namespace(&network.netns)
            && Path::new("/sys/class/net")
                .join(&network.interface)
                .exists()
    }

    /// Whether the link is up and has its address on the host.
    fn is_linked(&self, survey: &Survey, index: u32) -> bool {
        let network = self.describe(index);
        let route = (network.interface, network.dyno_address);
        survey.routes.contains(&route) && is_up(&route.0)
    }

    fn is_still_broken(&self, index: u32) -> bool {
        let now = Survey::take();
        !self.is_kept(index) || !now.is_ok_and(|now| self.is_linked(&now, index))
    }

    async fn repair(&self, index: u32, namespace: Arc<OwnedFd>) -> io::Result<Vec<String>> {
        let is_closed = self.is_closed.read().await;
        if *is_closed || !self.indices().is_taken(index) {
            return Ok(Vec::new());
        }
        let plan = self.plan(index);
        let mut done = Vec::new();
        let open = File::from(namespace.try_clone()?);
        if !fs::metadata(&plan.netns).is_ok_and(|kept| is_same_inode(&kept, &open)) {
            link::keep(&namespace, &plan.netns)?;
            done.push(format!("kept the namespace {} again", plan.interface));
        }
        if !self.is_linked(&Survey::take()?, index) {
            link::remake(&self.netlink, &plan, namespace).await?;
            done.push(format!("made the link {} again", plan.interface));
        }
        Ok(done)
    }
}

/// Removes links, namespaces and firewall of a slot whose platform is gone.
pub(crate) async fn remove_deserted(slot: &Slot) -> io::Result<()> {
    let (connection, netlink, _) = rtnetlink::new_connection()?;
    let connection = tokio::spawn(connection);
    for index in on_host(slot)? {
        let interface = format!("{}{index}", slot.interface_prefix());
        let netns = Path::new(super::NAMESPACES).join(&interface);
        link::remove(&netlink, &netns, &interface).await?;
    }
    connection.abort();
    firewall::remove_table(&slot.nft_table()).await
}

fn is_namespace(file: &Path) -> bool {
    rustix::fs::statfs(file).is_ok_and(|found| u64::try_from(found.f_type) == Ok(NAMESPACE_FILES))
}

fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

fn is_same_inode(one: &fs::Metadata, other: &File) -> bool {
    let other = other.metadata();
    other.is_ok_and(|other| (one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Whether both ends are up.
fn is_up(interface: &str) -> bool {
    let path = format!("/sys/class/net/{interface}/operstate");
    fs::read_to_string(path).is_ok_and(|state| state.trim() == "up")
}

/// Interfaces and the single addresses behind them, of the kernel's table: name, destination,
/// gateway, flags, …, mask; numbers in memory's order.
fn routes(text: &str) -> BTreeSet<(String, Ipv4Addr)> {
    let lines = text.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields.as_slice() {
            [name, destination, _, _, _, _, _, "FFFFFFFF", ..] => {
                let address = u32::from_str_radix(destination, 16).ok()?;
                Some(((*name).to_owned(), Ipv4Addr::from(address.to_ne_bytes())))
            }
            _ => None,
        }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_to_single_addresses_are_read() {
        let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                    eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                    lf000-1\t0200D00A\t00000000\t0001\t0\t0\t0\tFEFFFFFF\t0\t0\t0\n\
                    lf000-1\t0300D00A\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n";
        let expected = [("lf000-1".to_owned(), Ipv4Addr::new(10, 208, 0, 3))];
        assert_eq!(routes(text), BTreeSet::from(expected));
    }
}
