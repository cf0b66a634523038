//! What a running platform says of itself, in a file: where it is and who may use it.
//!
//! `landfall up --ready-file F` writes it atomically once the platform serves; a copy is always
//! at `run/ready.json` in the data directory. Tests and tools rely on its fields.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};

/// The ready file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Base of the Platform API, no slash at the end: `http://localhost:5000`.
    pub api_url: String,
    /// Base of git remotes, no slash at the end: `https://localhost:5000`.
    pub git_url: String,
    /// Where the router takes plain HTTP: `127.0.0.1:8080`.
    pub http_addr: String,
    /// Where the router takes TLS: `127.0.0.1:8443`.
    pub https_addr: String,
    /// Where attached one-off dynos are reached, TLS: `localhost:5000`.
    pub rendezvous_addr: String,
    /// Where git is spoken over SSH, if it is: `127.0.0.1:2222`.
    #[serde(default)]
    pub ssh_addr: Option<String>,
    /// The host key there, as it stands in `known_hosts` behind the host's name.
    #[serde(default)]
    pub ssh_host_key: Option<String>,
    /// The platform's own CA, in PEM.
    pub ca_pem_path: PathBuf,
    /// The first account.
    pub admin_email: String,
    /// Its token, which is also its password.
    pub admin_token: String,
    /// What the status page is called: `status.localhost`.
    #[serde(default)]
    pub status_host: String,
    /// Where it is, no slash at the end: `http://localhost:8080`.
    #[serde(default)]
    pub status_url: String,
    /// The program's version.
    pub version: String,
}

impl Ready {
    /// Where a platform keeps its copy.
    pub fn path_in(data: &Path) -> PathBuf {
        data.join("run").join("ready.json")
    }

    /// Reads a ready file.
    ///
    /// # Errors
    /// When there is none, may not be read or is something else; says what to do.
    pub fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => anyhow!(
                "{} may not be read\n  hint: it holds a token; run this as the user who runs the \
                 platform",
                file.display()
            ),
            _ => anyhow!(
                "no running platform is described by {}: {error}\n  hint: start one with \
                 `landfall up`, or name its directory with --data",
                file.display()
            ),
        })?;
        serde_json::from_str(&text).with_context(|| format!("{} is no ready file", file.display()))
    }
}
