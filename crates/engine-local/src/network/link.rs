//! One dyno's network on the host: a namespace of its own and a link into it.
//!
//! The namespace is kept alive by a file that it is mounted on, and belongs to the host's user
//! namespace, so that no dyno ever has power over it. Read [`make`] first.

use std::{
    fs::{self, File},
    io,
    net::Ipv4Addr,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use futures_util::TryStreamExt;
use rtnetlink::{
    Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        address::AddressAttribute,
        link::{InfoData, InfoVeth},
        route::{RouteAttribute, RouteMetric, RouteScope},
    },
};
use rustix::{
    mount::{UnmountFlags, mount_bind, unmount},
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe},
};
use tokio::sync::oneshot;

/// The link's name inside a dyno.
const INSIDE: &str = "eth0";
/// The number every namespace gives its loopback interface.
const LOOPBACK: u32 = 1;
/// Two addresses, both usable (RFC 3021).
const LINK_PREFIX: u8 = 31;

/// What to make.
#[derive(Clone, Debug)]
pub(super) struct LinkPlan {
    /// The file that keeps the namespace.
    pub(super) netns: PathBuf,
    /// The host's end of the link.
    pub(super) interface: String,
    /// The address of the host's end.
    pub(super) host_address: Ipv4Addr,
    /// The dyno's address.
    pub(super) dyno_address: Ipv4Addr,
    /// The host's network namespace.
    pub(super) host_netns: Arc<OwnedFd>,
    /// Largest packet, bytes: that of the host's way out.
    pub(super) mtu: u32,
}

/// Makes the namespace and the link, addresses and routes included. On failure nothing is left.
pub(super) async fn make(host: &Handle, plan: LinkPlan) -> io::Result<()> {
    let made = make_both_ends(host, &plan).await;
    if made.is_err() {
        // The first failure is the one to tell.
        drop(remove(host, &plan.netns, &plan.interface).await);
    }
    made
}

async fn make_both_ends(host: &Handle, plan: &LinkPlan) -> io::Result<()> {
    let (done, result) = oneshot::channel();
    let inside = plan.clone();
    // A thread that entered another namespace is of no use to anyone else, so it is not pooled.
    thread::Builder::new()
        .name("landfall-netns".to_owned())
        .spawn(move || done.send(make_inside(&inside)))?;
    result.await.map_err(io::Error::other)??;
    raise_host_end(host, plan).await
}

async fn raise_host_end(host: &Handle, plan: &LinkPlan) -> io::Result<()> {
    restrict_host_end(&plan.interface)?;
    let index = raise(host, &plan.interface, plan.host_address).await?;
    acknowledge_at_once(host, index, plan).await
}

/// Makes the link into a namespace that exists anew, whatever is left of the old one.
pub(super) async fn remake(host: &Handle, plan: &LinkPlan, netns: Arc<OwnedFd>) -> io::Result<()> {
    remove_link(host, &plan.interface).await?;
    let (done, result) = oneshot::channel();
    let inside = plan.clone();
    thread::Builder::new()
        .name("landfall-netns".to_owned())
        .spawn(move || done.send(remake_inside(&inside, &netns)))?;
    result.await.map_err(io::Error::other)??;
    raise_host_end(host, plan).await
}

/// Moves this thread into the namespace and makes the link from there.
fn remake_inside(plan: &LinkPlan, netns: &OwnedFd) -> io::Result<()> {
    move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
    runtime()?.block_on(async {
        let (connection, inside, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        remove_link(&inside, INSIDE).await
    })?;
    settle_inside(plan)
}

/// Keeps a namespace alive by mounting it on a file, in place of what is there.
pub(super) fn keep(netns: &OwnedFd, file: &Path) -> io::Result<()> {
    let_go(file)?;
    File::create(file)?;
    Ok(mount_bind(
        format!("/proc/self/fd/{}", netns.as_raw_fd()),
        file,
    )?)
}

/// Has the host acknowledge each packet of the dyno as it comes. An app that writes an answer in
/// two pieces is otherwise held back 40 ms by its own Nagle's algorithm (RFC 896), which waits for
/// an acknowledgement that the host delays.
async fn acknowledge_at_once(host: &Handle, index: u32, plan: &LinkPlan) -> io::Result<()> {
    let mut route = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(plan.dyno_address, 32)
        .pref_source(plan.host_address)
        .output_interface(index)
        .scope(RouteScope::Link)
        .build();
    let metrics = RouteAttribute::Metrics(vec![RouteMetric::QuickAck(1)]);
    route.attributes.push(metrics);
    host.route()
        .add(route)
        .execute()
        .await
        .map_err(io::Error::other)
}

/// Removes the link, then the namespace; what is not there is as good as removed.
pub(super) async fn remove(host: &Handle, netns: &Path, interface: &str) -> io::Result<()> {
    remove_link(host, interface).await?;
    let_go(netns)
}

async fn remove_link(host: &Handle, interface: &str) -> io::Result<()> {
    if let Some(index) = index_of(host, interface).await? {
        match host.link().del(index).execute().await {
            // It may go by itself, with its namespace.
            Err(error) if !is_no_device(&error) => return Err(io::Error::other(error)),
            _ => {}
        }
    }
    Ok(())
}

/// Takes away the file that keeps a namespace, and all that is mounted on it.
fn let_go(netns: &Path) -> io::Result<()> {
    loop {
        match unmount(netns, UnmountFlags::DETACH) {
            Ok(()) => {}
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => break,
            Err(error) => return Err(error.into()),
        }
    }
    match fs::remove_file(netns) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Moves this thread into a new namespace and sets that up.
#[expect(unsafe_code, reason = "entering a namespace has no safe form")]
fn make_inside(plan: &LinkPlan) -> io::Result<()> {
    // SAFETY: of what a thread shares with others only its view of the network changes, on which
    // no memory safety depends; the thread ends after this function.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET)? };
    File::create(&plan.netns)?;
    mount_bind("/proc/thread-self/ns/net", &plan.netns)?;
    settle_inside(plan)
}

/// Gives the namespace that this thread is in its settings and its end of the link.
fn settle_inside(plan: &LinkPlan) -> io::Result<()> {
    setting("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1")?;
    setting("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")?;
    // Lets ping work without any capability.
    setting("/proc/sys/net/ipv4/ping_group_range", "0 2147483647")?;
    runtime()?.block_on(connect_inside(plan))
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
}

async fn connect_inside(plan: &LinkPlan) -> io::Result<()> {
    let (connection, inside, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    let loopback = LinkUnspec::new_with_index(LOOPBACK).up().build();
    inside
        .link()
        .set(loopback)
        .execute()
        .await
        .map_err(io::Error::other)?;
    let host_end = LinkMessageBuilder::<LinkUnspec>::new()
        .name(plan.interface.clone())
        .setns_by_fd(plan.host_netns.as_raw_fd())
        .mtu(plan.mtu)
        .build();
    let link = LinkVeth::new(INSIDE, &plan.interface)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(host_end)))
        .mtu(plan.mtu)
        .build();
    inside
        .link()
        .add(link)
        .execute()
        .await
        .map_err(io::Error::other)?;
    let index = raise(&inside, INSIDE, plan.dyno_address).await?;
    let default = RouteMessageBuilder::<Ipv4Addr>::new()
        .gateway(plan.host_address)
        .output_interface(index)
        .build();
    inside
        .route()
        .add(default)
        .execute()
        .await
        .map_err(io::Error::other)
}

/// Gives an end of the link its address, switches it on and returns its number.
async fn raise(handle: &Handle, interface: &str, address: Ipv4Addr) -> io::Result<u32> {
    let index = index_of(handle, interface)
        .await?
        .ok_or(io::ErrorKind::NotFound)?;
    let mut request = handle.address().add(index, address.into(), LINK_PREFIX);
    // Such a link has no broadcast address; the library would take the other end's for one.
    let attributes = &mut request.message_mut().attributes;
    attributes.retain(|attribute| !matches!(attribute, AddressAttribute::Broadcast(_)));
    request.execute().await.map_err(io::Error::other)?;
    let up = LinkUnspec::new_with_index(index).up().build();
    handle
        .link()
        .set(up)
        .execute()
        .await
        .map_err(io::Error::other)?;
    Ok(index)
}

/// An interface's number, if there is one of this name.
async fn index_of(handle: &Handle, name: &str) -> io::Result<Option<u32>> {
    let mut links = handle.link().get().match_name(name.to_owned()).execute();
    match links.try_next().await {
        Ok(link) => Ok(link.map(|link| link.header.index)),
        Err(error) if is_no_device(&error) => Ok(None),
        Err(error) => Err(io::Error::other(error)),
    }
}

fn is_no_device(error: &rtnetlink::Error) -> bool {
    let no_device = -rustix::io::Errno::NODEV.raw_os_error();
    matches!(error, rtnetlink::Error::NetlinkError(refusal) if refusal.raw_code() == no_device)
}

/// What the host believes of packets from a dyno: nothing but that they are from its address.
fn restrict_host_end(interface: &str) -> io::Result<()> {
    let ipv4 = format!("/proc/sys/net/ipv4/conf/{interface}");
    setting(&format!("{ipv4}/rp_filter"), "1")?;
    setting(&format!("{ipv4}/accept_redirects"), "0")?;
    setting(&format!("{ipv4}/send_redirects"), "0")?;
    setting(
        &format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"),
        "1",
    )?;
    Ok(())
}

/// Sets a kernel setting unless it has that value. A kernel without it has nothing to set. Returns
/// whether it was changed.
pub(super) fn setting(path: &str, value: &str) -> io::Result<bool> {
    match fs::read_to_string(path) {
        Ok(present) if present.split_whitespace().eq(value.split_whitespace()) => Ok(false),
        Ok(_) => fs::write(path, value).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The largest packet, bytes, that leaves the host whole on its default route.
pub(super) fn uplink_mtu() -> u32 {
    const ETHERNET: u32 = 1500;
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let mtu = default_interface(&routes)
        .and_then(|interface| fs::read_to_string(format!("/sys/class/net/{interface}/mtu")).ok())
        .and_then(|text| text.trim().parse().ok());
    mtu.unwrap_or(ETHERNET).min(ETHERNET)
}

/// The interface of the default route in the kernel's table: name, destination, gateway, …, mask.
fn default_interface(routes: &str) -> Option<&str> {
    routes.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields.as_slice() {
            [name, "00000000", _, _, _, _, _, "00000000", ..] => Some(*name),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_is_found() {
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                     docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                     eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        assert_eq!(default_interface(table), Some("eth0"));
        assert_eq!(default_interface(""), None);
    }
}
