//! Why the router cannot run. Nothing a single request meets is an error here: see [`crate::codes`].

use std::{io, net::SocketAddr, path::PathBuf};

use rustls::pki_types::pem;
use thiserror::Error;

/// Why one of the certificates in the table is not used.
#[derive(Debug, Error)]
pub(crate) enum UnusableCertificate {
    #[error("it is not PEM")]
    Pem(#[from] pem::Error),
    #[error("certificate and key are not usable, or not one another's")]
    Key(#[from] rustls::Error),
    #[error("its certificates vouch for nobody")]
    Authority(#[from] rustls::server::VerifierBuilderError),
}

/// Why the router did not start, or stopped by itself.
#[derive(Debug, Error)]
pub enum RouterError {
    /// Another program listens there, or the address is not ours.
    #[error("cannot accept requests on {address}")]
    Bind {
        /// The configured address.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The socket to the server cannot be made.
    #[error("cannot listen for the server on {}", path.display())]
    ControlSocket {
        /// The configured socket.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A certificate or key file cannot be read.
    #[error("cannot read {}", path.display())]
    Pem {
        /// The configured file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// Certificate and key do not fit each other, or are not usable.
    #[error("cannot serve TLS with {}", path.display())]
    Certificate {
        /// The configured certificate.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
    /// The operating system gave no thread or no event queue.
    #[error("cannot start a thread of the router")]
    Thread(#[source] io::Error),
    /// Sockets that were handed over cannot be used.
    #[error("cannot accept from the sockets that were handed over")]
    Sockets(#[source] io::Error),
    /// A thread of the data plane goes round no more. The process should be started again.
    #[error("the router's thread `{name}` is stuck")]
    ThreadStuck {
        /// The thread's name.
        name: String,
    },
    /// A thread of the router panicked. The process should be started again.
    #[error("the router's thread `{name}` ended by itself")]
    ThreadEnded {
        /// The thread's name.
        name: String,
    },
}
