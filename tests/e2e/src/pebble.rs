//! A real certificate authority for a test: pebble, with a name server that knows every name as the
//! loopback address.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::json;

use crate::{shell, wait};

/// Where an authority will listen, before it runs: a platform is told at its start.
#[derive(Debug)]
pub struct Pebble {
    directory: PathBuf,
    port: u16,
    programs: Vec<Child>,
}

impl Pebble {
    /// Chooses a place; `directory` is for its files.
    pub fn planned(directory: PathBuf) -> Self {
        make_certificate(&directory.join("pebble"), &["localhost"]);
        Self {
            directory,
            port: free_port(),
            programs: Vec::new(),
        }
    }

    /// What a platform has to be told of it.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let root = self.directory.join("pebble.pem");
        [
            (
                "LANDFALL_ACME_DIRECTORY",
                format!("https://localhost:{}/dir", self.port),
            ),
            ("LANDFALL_ACME_ROOT", root.display().to_string()),
        ]
    }

    /// Starts it; it looks for its answers at the platform's router.
    ///
    /// # Panics
    /// When the programs are not there, or do not start.
    pub fn start(&mut self, http: SocketAddr) {
        let (dns, management) = (free_port(), free_port());
        let mut names = Command::new("pebble-challtestsrv");
        for off in ["-http01", "-https01", "-tlsalpn01", "-defaultIPv6"] {
            names.args([off, ""]);
        }
        names.args(["-dns01", &format!("127.0.0.1:{dns}")]);
        names.args(["-management", &format!("127.0.0.1:{}", free_port())]);
        self.spawn(&mut names, dns);
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{}", self.port),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": self.directory.join("pebble.pem"),
            "privateKey": self.directory.join("pebble.key"),
            "httpPort": http.port(),
            "tlsPort": 0,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": 157_680_000,
        }});
        let path = self.directory.join("pebble.json");
        std::fs::write(&path, config.to_string()).expect("the file can be written");
        let mut authority = Command::new("pebble");
        authority
            .env("PEBBLE_VA_NOSLEEP", "1")
            .arg("-config")
            .arg(path);
        authority.args(["-dnsserver", &format!("127.0.0.1:{dns}")]);
        self.spawn(&mut authority, self.port);
    }

    fn spawn(&mut self, command: &mut Command, port: u16) {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::null()).spawn();
        self.programs
            .push(child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")));
        wait::until("somebody listens there", || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for program in &mut self.programs {
            program.kill().ok();
            program.wait().ok();
        }
    }
}

/// Makes `PATH.pem`, signed by itself and good for these names, and `PATH.key`.
///
/// # Panics
/// When `openssl` cannot.
pub fn make_certificate(path: &Path, names: &[&str]) {
    let names: Vec<_> = names.iter().map(|name| format!("DNS:{name}")).collect();
    let extensions = format!(
        "[req]\ndistinguished_name = nobody\nx509_extensions = leaf\n[nobody]\n[leaf]\n\
         basicConstraints = critical, CA:FALSE\nsubjectAltName = {}\n",
        names.join(",")
    );
    let config = path.with_extension("cnf");
    std::fs::write(&config, extensions).expect("the file can be written");
    let mut command = Command::new("openssl");
    command
        .args(["req", "-x509", "-nodes", "-days", "90", "-newkey", "ec"])
        .args(["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=test"])
        .arg("-config")
        .arg(config)
        .arg("-out")
        .arg(path.with_extension("pem"))
        .arg("-keyout")
        .arg(path.with_extension("key"));
    shell::run(&mut command, "").ok();
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
