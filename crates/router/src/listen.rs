//! Listening sockets: claimed, shared by the threads, accepted from.
//!
//! It must not know what is said on a connection: that is [`crate::serve`].

use std::{io, net::SocketAddr, rc::Rc, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
    task::spawn_local,
    time::sleep,
};

use crate::{
    config::ACCEPT_BACKLOG, error::RouterError, feed::Addresses, lane::Lane, run::Stop,
    serve::serve, tls::Tls,
};

/// When the kernel has no file descriptor left.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(50);

/// One thread's sockets. Other threads have theirs on the same addresses; the kernel spreads
/// connections over them.
pub(crate) struct Listeners {
    pub(crate) http: TcpListener,
    pub(crate) https: TcpListener,
}

impl Listeners {
    /// Takes the addresses for this process; port 0 finds a free one.
    pub(crate) fn claim(addresses: Addresses) -> Result<Self, RouterError> {
        for address in [addresses.http, addresses.https] {
            refuse_shared(address).map_err(|source| RouterError::Bind { address, source })?;
        }
        Self::join(addresses)
    }

    /// Listens beside a thread that has claimed the addresses.
    pub(crate) fn join(addresses: Addresses) -> Result<Self, RouterError> {
        let listen = |address| {
            shared_listener(address).map_err(|source| RouterError::Bind { address, source })
        };
        Ok(Self {
            http: listen(addresses.http)?,
            https: listen(addresses.https)?,
        })
    }

    pub(crate) fn addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses {
            http: self.http.local_addr()?,
            https: self.https.local_addr()?,
        })
    }
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    Ok(socket)
}

/// With `SO_REUSEPORT` a second router would silently take half of the connections: find out
/// whether anybody listens there before using it.
fn refuse_shared(address: SocketAddr) -> io::Result<()> {
    if address.port() == 0 {
        return Ok(());
    }
    socket(address)?.bind(address)
}

fn shared_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(ACCEPT_BACKLOG)
}

/// Accepts until told to stop; connections go on.
pub(crate) async fn accept(
    lane: &Rc<Lane>,
    listener: TcpListener,
    tls: Option<Tls>,
    mut stop: watch::Receiver<Stop>,
) {
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop != Stop::No) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                let (lane, tls, stop) = (Rc::clone(lane), tls.clone(), stop.clone());
                spawn_local(async move {
                    let open = lane.open();
                    if let Err(error) = serve(lane, stream, client, (tls, stop)).await {
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
