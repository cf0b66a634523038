//! Where automatic certificates come from: `[acme]` in `landfall.toml`, `--acme-…`, `LANDFALL_ACME_…`.
//! Without a directory there are none.

use std::{ffi::OsString, fs, net::SocketAddr, path::PathBuf};

use platform::acme::{
    AcmeSettings, ChallengeKind,
    dns_updates::{DnsError, DnsUpdates, TsigKey},
};
use thiserror::Error;

/// What may be chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AcmeChoices {
    /// URL of a certificate authority's ACME directory
    #[arg(id = "acme_directory", long = "acme-directory", value_name = "URL")]
    pub directory: Option<String>,
    /// Email address that the certificate authority writes to
    #[arg(id = "acme_email", long = "acme-email", value_name = "EMAIL")]
    pub email: Option<String>,
    /// How domains are shown to be ours: `http-01`, `tls-alpn-01` or `dns-01`
    #[arg(id = "acme_challenge", long = "acme-challenge", value_name = "KIND")]
    pub challenge: Option<Challenge>,
    /// Certificate, PEM, that the directory is trusted by beside those that the machine trusts
    #[arg(id = "acme_root", long = "acme-root", value_name = "FILE")]
    pub root: Option<PathBuf>,
    /// Primary name server that takes updates (RFC 2136), for `dns-01` and wildcards
    #[arg(id = "acme_dns_server", long = "acme-dns-server", value_name = "ADDR")]
    pub dns_server: Option<SocketAddr>,
    /// The key for updates, as `tsig-keygen` writes it
    #[arg(id = "acme_dns_key", long = "acme-dns-key", value_name = "FILE")]
    pub dns_key: Option<PathBuf>,
    /// Zones that may be updated
    #[arg(
        id = "acme_dns_zones",
        long = "acme-dns-zones",
        value_name = "ZONE,…",
        value_delimiter = ','
    )]
    pub dns_zones: Vec<String>,
}

/// The protocol's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
pub enum Challenge {
    /// By an answer over plain HTTP on port 80.
    #[value(name = "http-01")]
    #[serde(rename = "http-01")]
    Http,
    /// By a certificate in a TLS handshake on port 443.
    #[value(name = "tls-alpn-01")]
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn,
    /// By a DNS record.
    #[value(name = "dns-01")]
    #[serde(rename = "dns-01")]
    Dns,
}

/// Why the choices cannot be followed.
#[derive(Debug, Error)]
pub enum AcmeChoiceError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The key file is none.
    #[error("cannot use {}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: DnsError,
    },
    /// Half of what updates need.
    #[error("acme: dns_server, dns_key and dns_zones go together")]
    HalfOfDns,
    /// `dns-01` needs updates.
    #[error("acme: the challenge dns-01 needs dns_server, dns_key and dns_zones")]
    NoDns,
    /// Not a URL of HTTPS.
    #[error("acme: directory must begin with https://, not as {0}")]
    Directory(String),
}

impl AcmeChoices {
    /// These where they are made, `below` where not.
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            directory: self.directory.or(below.directory),
            email: self.email.or(below.email),
            challenge: self.challenge.or(below.challenge),
            root: self.root.or(below.root),
            dns_server: self.dns_server.or(below.dns_server),
            dns_key: self.dns_key.or(below.dns_key),
            dns_zones: if self.dns_zones.is_empty() {
                below.dns_zones
            } else {
                self.dns_zones
            },
        }
    }

    /// Children have other working directories.
    pub(super) fn absolute(self) -> Self {
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        Self {
            root: self.root.map(absolute),
            dns_key: self.dns_key.map(absolute),
            ..self
        }
    }

    /// The same as flags.
    pub(super) fn to_flags(&self) -> Vec<OsString> {
        let challenge = self.challenge.map(|challenge| match challenge {
            Challenge::Http => "http-01",
            Challenge::TlsAlpn => "tls-alpn-01",
            Challenge::Dns => "dns-01",
        });
        let zones = (!self.dns_zones.is_empty()).then(|| self.dns_zones.join(","));
        let path = |path: &Option<PathBuf>| path.clone().map(OsString::from);
        [
            ("directory", self.directory.clone().map(OsString::from)),
            ("email", self.email.clone().map(OsString::from)),
            ("challenge", challenge.map(OsString::from)),
            ("root", path(&self.root)),
            (
                "dns-server",
                self.dns_server.map(|at| at.to_string().into()),
            ),
            ("dns-key", path(&self.dns_key)),
            ("dns-zones", zones.map(OsString::from)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some([format!("--acme-{name}").into(), value?]))
        .flatten()
        .collect()
    }

    /// What the platform is told; reads the files.
    pub fn settings(&self) -> Result<Option<AcmeSettings>, AcmeChoiceError> {
        let Some(directory) = &self.directory else {
            return Ok(None);
        };
        if !directory.starts_with("https://") {
            return Err(AcmeChoiceError::Directory(directory.clone()));
        }
        let challenge = match self.challenge {
            None | Some(Challenge::Http) => ChallengeKind::Http,
            Some(Challenge::TlsAlpn) => ChallengeKind::TlsAlpn,
            Some(Challenge::Dns) => ChallengeKind::Dns,
        };
        let dns = self.dns()?;
        if challenge == ChallengeKind::Dns && dns.is_none() {
            return Err(AcmeChoiceError::NoDns);
        }
        Ok(Some(AcmeSettings {
            directory: directory.clone(),
            email: self.email.clone(),
            challenge,
            root: self.root.as_ref().map(read).transpose()?,
            dns,
        }))
    }

    fn dns(&self) -> Result<Option<DnsUpdates>, AcmeChoiceError> {
        match (self.dns_server, &self.dns_key, &self.dns_zones[..]) {
            (None, None, []) => Ok(None),
            (Some(server), Some(path), zones) if !zones.is_empty() => {
                let key = TsigKey::read(&read(path)?).map_err(|source| AcmeChoiceError::Key {
                    path: path.clone(),
                    source,
                })?;
                let zone = |zone: &String| zone.trim_end_matches('.').to_ascii_lowercase();
                Ok(Some(DnsUpdates {
                    server,
                    zones: zones.iter().map(zone).collect(),
                    key,
                }))
            }
            _ => Err(AcmeChoiceError::HalfOfDns),
        }
    }
}

fn read(path: &PathBuf) -> Result<String, AcmeChoiceError> {
    fs::read_to_string(path).map_err(|source| AcmeChoiceError::Read {
        path: path.clone(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        directory = "https://ca.example/directory"
        challenge = "tls-alpn-01"
        dns_server = "192.0.2.1:53"
        dns_zones = ["Example.com."]
    "#;

    #[derive(clap::Parser)]
    #[command(no_binary_name = true)]
    struct Flags {
        #[command(flatten)]
        acme: AcmeChoices,
    }

    #[test]
    fn choices_become_settings_and_flags() {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key");
        fs::write(
            &key,
            "key k { algorithm hmac-sha256; secret \"c2VjcmV0\"; };",
        )
        .unwrap();
        let mut choices: AcmeChoices = toml::from_str(FILE).unwrap();
        assert!(matches!(
            choices.settings(),
            Err(AcmeChoiceError::HalfOfDns)
        ));
        choices.dns_key = Some(key);
        let settings = choices.settings().unwrap().unwrap();
        assert_eq!(settings.challenge, ChallengeKind::TlsAlpn);
        assert_eq!(settings.dns.unwrap().zones, ["example.com"]);
        let again = <Flags as clap::Parser>::try_parse_from(choices.to_flags()).unwrap();
        assert_eq!(again.acme, choices);
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let none: AcmeChoices = toml::from_str("email = 'a@b.c'").unwrap();
        assert!(none.settings().unwrap().is_none());
        for text in [
            "directory = 'http://ca.example'",
            "directory = 'https://ca.example'\nchallenge = 'dns-01'",
            "directory = 'https://ca.example'\nroot = '/not/there'",
        ] {
            let choices: AcmeChoices = toml::from_str(text).unwrap();
            assert!(choices.settings().is_err(), "{text}");
        }
    }
}
