//! Ways into a running dyno: commands beside its own, and connections to its ports.
//!
//! It must not know who uses them or why: that is the caller's to decide and to record.

use std::{
    fs::File,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use engine::{AttachStream, EngineError, ExecSpec};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use shim::{
    control::{Answer, Exec, Request},
    start::Step,
};
use tokio::sync::oneshot;

use crate::{control, dyno::Dyno, request};

/// How long a dyno may take to accept a connection: nothing is between it and us.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl Dyno {
    /// Runs a command inside it.
    pub(crate) async fn exec(&self, spec: ExecSpec) -> Result<Box<dyn AttachStream>, EngineError> {
        let dyno = self.notes.id;
        if self.ended().is_some() {
            return Err(EngineError::UnknownDyno(dyno));
        }
        let asked = Request::Exec(Exec {
            command: spec.command,
            environment: spec.env,
            stdio: request::stdio(spec.stdio),
        });
        match control::ask(&self.directory, asked).await {
            Ok((stream, Answer::Done)) => Ok(Box::new(stream)),
            Ok((_, Answer::NotRun { step, errno })) => Err(EngineError::Start {
                dyno,
                step: step.describe(),
                source: io::Error::from_raw_os_error(errno),
            }),
            // An older shim refuses what it does not know.
            Ok((_, Answer::Refused | Answer::Status { .. })) => Err(EngineError::Unsupported {
                dyno,
                what: "run a command inside it",
            }),
            Err(_) if self.ended().is_some() => Err(EngineError::UnknownDyno(dyno)),
            Err(source) => Err(EngineError::Start {
                dyno,
                step: Step::Shim.describe(),
                source,
            }),
        }
    }

    /// Connects to a port of it. `netns` is its network's namespace, if not the host's.
    pub(crate) async fn connect(
        &self,
        netns: Option<PathBuf>,
        port: u16,
    ) -> Result<Box<dyn AttachStream>, EngineError> {
        let dyno = self.notes.id;
        if self.ended().is_some() {
            return Err(EngineError::UnknownDyno(dyno));
        }
        let host = |source| EngineError::Host {
            step: "connect to a dyno's port",
            source,
        };
        let addresses = [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::LOCALHOST),
            self.notes.address,
        ];
        let (done, result) = oneshot::channel();
        // A thread that entered another namespace is of no use to anyone else, so it is not pooled.
        thread::Builder::new()
            .name("landfall-connect".to_owned())
            .spawn(move || done.send(connect_within(netns.as_deref(), addresses, port)))
            .map_err(host)?;
        match result.await.map_err(|lost| host(io::Error::other(lost)))? {
            Ok(Some(stream)) => {
                let stream = tokio::net::TcpStream::from_std(stream).map_err(host)?;
                Ok(Box::new(stream))
            }
            Ok(None) => Err(EngineError::NotListening { dyno, port }),
            Err(_) if self.ended().is_some() => Err(EngineError::UnknownDyno(dyno)),
            Err(source) => Err(host(source)),
        }
    }
}

/// The first of the addresses that answers, seen from inside a network namespace. The thread stays
/// there.
fn connect_within(
    netns: Option<&Path>,
    addresses: [IpAddr; 3],
    port: u16,
) -> io::Result<Option<TcpStream>> {
    if let Some(netns) = netns {
        let netns = File::open(netns)?;
        move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&netns),
            Some(LinkNameSpaceType::Network),
        )?;
    }
    for address in addresses {
        let address = SocketAddr::new(address, port);
        // Refused, unreachable or silent: nobody is there.
        if let Ok(stream) = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            return Ok(Some(stream));
        }
    }
    Ok(None)
}
