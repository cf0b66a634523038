//! How one platform is set up; read once by the server from its configuration.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use api::names::{AppName, StackName};
use sha2::{Digest, Sha256};

use crate::{acme::AcmeSettings, sizes::Sizes};

/// Settings of one platform.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Apps answer at `NAME.<app_domain>`: `localhost`.
    pub app_domain: String,
    /// Where the router takes plain HTTP.
    pub http_addr: SocketAddr,
    /// Where the router takes TLS.
    pub https_addr: SocketAddr,
    /// The API's own URL without a slash at the end: `http://localhost:5000`.
    pub api_url: String,
    /// The base of git URLs without a slash at the end: `https://localhost:5000`.
    pub git_url: String,
    /// `HOST:PORT` of the rendezvous server for attached one-off dynos.
    pub rendezvous: String,
    /// The stack of new apps.
    pub default_stack: StackName,
    /// Stacks that may be chosen.
    pub stacks: Vec<StackName>,
    /// Layers of slugs, one directory per key.
    pub layers_dir: PathBuf,
    /// Text that builds and release phases print.
    pub outputs_dir: PathBuf,
    /// Uploaded source and slug archives.
    pub sources_dir: PathBuf,
    /// Bare git repositories, `<app id>.git`.
    pub git_dir: PathBuf,
    /// Where the router leaves access lines.
    pub router_spool_dir: PathBuf,
    /// How long a web dyno may take until it answers; Heroku: 60 s.
    pub boot_timeout: Duration,
    /// How long a dyno may take to end after SIGTERM; Heroku: 30 s.
    pub stop_grace: Duration,
    /// How long somebody may take to come to what was started for them.
    pub attach_within: Duration,
    /// What dynos may use, by size.
    pub sizes: Sizes,
    /// Restarts a formation's dynos after this long and up to 15 % more; never without it.
    /// Heroku: 24 hours and up to 216 minutes more.
    pub cycle_every: Option<Duration>,
    /// Processors of this machine, which decide how many dynos boot at the same time.
    pub processors: usize,
    /// What of the disk stays free for everything but builds, in bytes; 0 refuses none.
    pub disk_reserve_bytes: u64,
    /// What each app may take of the disk before its builds are refused, in bytes; 0 refuses none.
    pub app_disk_bytes: u64,
    /// Builds at once.
    pub concurrent_builds: usize,
    /// Private networks, by first address and length of prefix, that drains may lead into.
    pub private_targets: Vec<(Ipv4Addr, u8)>,
    /// Where automatic certificates come from, if from anywhere.
    pub acme: Option<AcmeSettings>,
    /// Makes the secrets in stream URLs; derived from the root key.
    pub url_secret: [u8; 32],
}

impl Settings {
    /// Where an app is reached: `http://example.localhost:8080/`.
    pub fn web_url(&self, name: &AppName) -> String {
        let port = self.http_addr.port();
        let port = if port == 80 {
            String::new()
        } else {
            format!(":{port}")
        };
        format!("http://{name}.{}{port}/", self.app_domain)
    }

    /// The default domain of an app: `example.localhost`.
    pub fn default_hostname(&self, name: &AppName) -> String {
        format!("{name}.{}", self.app_domain)
    }

    /// A secret that only this platform can make for a thing, for URLs that carry no token.
    pub fn secret_for(&self, purpose: &str, id: &str) -> String {
        use std::fmt::Write as _;
        let mut hash = Sha256::new();
        hash.update(self.url_secret);
        hash.update((purpose.len() as u64).to_be_bytes());
        hash.update(purpose);
        hash.update(id);
        hash.finalize()
            .iter()
            .take(20)
            .fold(String::new(), |mut text, byte| {
                write!(text, "{byte:02x}").expect("a String takes all text");
                text
            })
    }

    /// Whether `secret` is [`Settings::secret_for`] the thing. Hashes are compared, so that the
    /// time this takes tells nothing of how much of a guess was right.
    pub fn is_secret_for(&self, purpose: &str, id: &str, secret: &str) -> bool {
        Sha256::digest(secret) == Sha256::digest(self.secret_for(purpose, id))
    }
}
