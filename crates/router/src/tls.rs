//! The certificate shown to TLS clients. One for all hosts; the name a client asks for is ignored.

use std::{path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::error::RouterError;

/// TLS 1.2 and 1.3 with HTTP/2 offered first; session tickets work on every thread that shares it.
pub(crate) fn load(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, RouterError> {
    let pem = |path: &Path| {
        let path = path.to_owned();
        |source| RouterError::Pem { path, source }
    };
    let unusable = |source| RouterError::Certificate {
        path: certificate.to_owned(),
        source,
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(pem(certificate))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(pem(key))?;
    let mut config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(unusable)?;
    Ok(Arc::new(config))
}
