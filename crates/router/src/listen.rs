//! Accepting connections.
//!
//! It must not know where the sockets come from, which is [`crate::handover`], nor what is said on
//! a connection, which is [`crate::serve`].

use std::{rc::Rc, time::Duration};

use rustix::net::sockopt::set_tcp_nodelay;
use tokio::{net::TcpListener, sync::watch, task::spawn_local, time::sleep};

use crate::{lane::Lane, run::Stop, serve::serve, tls::Tls};

/// When the kernel has no file descriptor left.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(50);

/// Accepts until told to stop; connections go on.
pub(crate) async fn accept(
    lane: Rc<Lane>,
    listener: TcpListener,
    tls: Option<Tls>,
    mut stop: watch::Receiver<Stop>,
) {
    // Accepted sockets have it from this one, which saves a call for each.
    if let Err(error) = set_tcp_nodelay(&listener, true) {
        tracing::warn!(%error, "cannot have small packets sent at once");
    }
    let port = listener.local_addr().map_or(0, |address| address.port());
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop != Stop::No) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                let (lane, tls, stop) = (Rc::clone(&lane), tls.clone(), stop.clone());
                spawn_local(async move {
                    let open = lane.open();
                    if let Err(error) = serve(lane, stream, (client, port), (tls, stop)).await {
                        tracing::debug!(%error, %client, "a client's connection broke");
                    }
                    drop(open);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_BACK_OFF).await;
            }
        }
    }
}
