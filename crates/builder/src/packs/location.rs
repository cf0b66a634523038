//! Where a buildpack is: what people write for it, read and checked.
//!
//! Nothing here touches the network. What an address leads to in the end is the business of the
//! dyno that fetches it, which reaches no private network. Read [`Location`] first.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// Longest address, in bytes.
const MAX_BYTES: usize = 2048;
/// Longest branch, tag or commit, in bytes.
const MAX_REFERENCE_BYTES: usize = 200;

/// Names of Heroku's registry that stand for a repository, so that they work as they do there.
pub const WELL_KNOWN: [(&str, &str, &str); 8] = [
    (
        "heroku-community/awscli",
        "https://github.com/heroku/heroku-buildpack-awscli.git",
        "The AWS command line",
    ),
    (
        "heroku-community/cli",
        "https://github.com/heroku/heroku-buildpack-cli.git",
        "The heroku command line",
    ),
    (
        "heroku-community/locale",
        "https://github.com/heroku/heroku-buildpack-locale.git",
        "Locales of a .locales file",
    ),
    (
        "heroku-community/multi-procfile",
        "https://github.com/heroku/heroku-buildpack-multi-procfile.git",
        "One of several Procfiles of a repository",
    ),
    (
        "heroku-community/nginx",
        "https://github.com/heroku/heroku-buildpack-nginx.git",
        "nginx in front of the app",
    ),
    (
        "heroku-community/chrome-for-testing",
        "https://github.com/heroku/heroku-buildpack-chrome-for-testing.git",
        "Chrome and its driver",
    ),
    (
        "heroku/jvm",
        "https://github.com/heroku/heroku-buildpack-jvm-common.git",
        "A JDK for other buildpacks",
    ),
    (
        "heroku/pgbouncer",
        "https://github.com/heroku/heroku-buildpack-pgbouncer.git",
        "PgBouncer in front of the database",
    ),
];

/// A buildpack that is not built in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A repository, and the branch, tag or commit of it.
    Git {
        /// https or git.
        url: String,
        /// Without one: what the repository's `HEAD` is.
        reference: Option<String>,
    },
    /// A tar archive.
    Archive {
        /// https.
        url: String,
        /// Its SHA-256, if the address names it: `#sha256=…`.
        digest: Option<String>,
    },
    /// A directory or archive below the operator's own `buildpacks`.
    Local {
        /// `namespace/name`.
        name: String,
    },
}

/// Why an address is no good.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LocationError {
    /// Not a name, nor an address of a kind that is allowed.
    #[error(
        "`{0}` is not a known buildpack: give a name such as heroku/python, or an https URL of a git repository or a .tgz archive"
    )]
    Unknown(String),
    /// No host, or one that is an address of a private network.
    #[error("the buildpack `{0}` names no public host")]
    Host(String),
    /// The part after `#` is no branch, tag, commit or checksum.
    #[error("`{0}` is not a branch, tag, commit or `sha256=` checksum of a buildpack")]
    Reference(String),
}

impl Location {
    /// Reads a name or address. A repository may be written as on Heroku: with or without `.git`,
    /// with `#` and a branch, tag or commit.
    ///
    /// # Errors
    /// See [`LocationError`].
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        let text = text.trim();
        let name = text.strip_prefix("urn:buildpack:").unwrap_or(text);
        if is_name(name) {
            let known = WELL_KNOWN.iter().find(|(known, _, _)| *known == name);
            return Ok(match known {
                Some((_, url, _)) => Self::Git {
                    url: (*url).to_owned(),
                    reference: None,
                },
                None => Self::Local {
                    name: name.to_owned(),
                },
            });
        }
        let unknown = || LocationError::Unknown(shown(text));
        let is_plain = text.len() <= MAX_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_plain {
            return Err(unknown());
        }
        let (url, fragment) = match text.split_once('#') {
            Some((url, fragment)) => (url, Some(fragment)),
            None => (text, None),
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(unknown)?;
        if !matches!(scheme, "https" | "git") {
            return Err(unknown());
        }
        check_host(rest).ok_or_else(|| LocationError::Host(shown(url)))?;
        let fragment = fragment.filter(|fragment| !fragment.is_empty());
        if scheme == "https" && is_archive(rest) {
            let digest = fragment.map(digest).transpose()?;
            return Ok(Self::Archive {
                url: url.to_owned(),
                digest,
            });
        }
        let reference = fragment.map(reference).transpose()?;
        Ok(Self::Git {
            url: url.to_owned(),
            reference,
        })
    }

    /// As a build's output names it: without the password that an address may hold.
    pub fn shown(&self) -> String {
        match self {
            Self::Git { url, reference } => {
                let url = shown(url);
                reference
                    .as_ref()
                    .map_or_else(|| url.clone(), |reference| format!("{url}#{reference}"))
            }
            Self::Archive { url, .. } => shown(url),
            Self::Local { name } => name.clone(),
        }
    }
}

/// `namespace/name`, of letters, digits and `-_.`, neither beginning with a dot.
pub fn is_name(text: &str) -> bool {
    let is_word = |word: &str| {
        word.bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric())
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    text.len() <= 200
        && text
            .split_once('/')
            .is_some_and(|(space, name)| is_word(space) && is_word(name))
}

fn is_archive(rest: &str) -> bool {
    let path = rest.split('?').next().unwrap_or(rest);
    [".tgz", ".tar.gz", ".tar.zst", ".tar"]
        .iter()
        .any(|end| path.ends_with(end))
}

/// Whether what follows `://` begins with a host that may be public.
fn check_host(rest: &str) -> Option<()> {
    let authority = rest.split(['/', '?']).next()?;
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    if let Some(bracketed) = host.strip_prefix('[') {
        let address: Ipv6Addr = bracketed.split(']').next()?.parse().ok()?;
        return is_public_v6(address).then_some(());
    }
    let name = host
        .split_once(':')
        .map_or(host, |(name, _)| name)
        .trim_end_matches('.');
    let is_plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    let first = name.bytes().next()?;
    if !is_plain || !first.is_ascii_alphanumeric() {
        return None;
    }
    let is_local = name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || name.to_ascii_lowercase().ends_with(".internal");
    // The last part of an address in any of its spellings (127.1, 0x7f.1, 2130706433) is a number;
    // that of a name is not.
    let last = name.rsplit('.').next()?;
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    if is_number {
        let address: Ipv4Addr = name.parse().ok()?;
        return is_public_v4(address).then_some(());
    }
    (!is_local && name.contains('.')).then_some(())
}

/// Whether an address is one of the internet, and of no machine's or network's own.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_broadcast()
        || first == 0
        || first >= 240
        || (first == 100 && (64..128).contains(&second)))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = address.to_ipv4() {
        return is_public_v4(inner);
    }
    !(address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unique_local()
        || address.is_unicast_link_local())
}

/// What git may be asked for: a name that is no option and no expression.
fn reference(text: &str) -> Result<String, LocationError> {
    let is_plain = text.len() <= MAX_REFERENCE_BYTES
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_./+".contains(&byte));
    let is_odd = text.starts_with(['-', '/', '.'])
        || text.ends_with(['/', '.'])
        || text.contains("..")
        || text.contains("//");
    if is_plain && !is_odd {
        Ok(text.to_owned())
    } else {
        Err(LocationError::Reference(shown(text)))
    }
}

fn digest(text: &str) -> Result<String, LocationError> {
    let digits = text
        .strip_prefix("sha256=")
        .or_else(|| text.strip_prefix("sha256:"))
        .unwrap_or_default();
    if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(digits.to_ascii_lowercase())
    } else {
        Err(LocationError::Reference(shown(text)))
    }
}

/// A text of somebody else's, for a message: short, on one line, without a password.
fn shown(text: &str) -> String {
    let plain = match text.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            let host = authority
                .rsplit_once('@')
                .map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => text.to_owned(),
    };
    let short: String = plain.chars().take(200).collect();
    short.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(url: &str, reference: Option<&str>) -> Location {
        Location::Git {
            url: url.to_owned(),
            reference: reference.map(str::to_owned),
        }
    }

    fn check(text: &str, expected: &Location) {
        assert_eq!(Location::parse(text).as_ref(), Ok(expected), "{text:?}");
    }

    #[test]
    fn names_repositories_and_archives() {
        let repository = "https://github.com/a/b.git";
        check(repository, &git(repository, None));
        check(
            "https://github.com/a/b#v1.2",
            &git("https://github.com/a/b", Some("v1.2")),
        );
        check(
            "https://u:p@github.com/a/b.git#feature/x",
            &git("https://u:p@github.com/a/b.git", Some("feature/x")),
        );
        check("git://example.com/a", &git("git://example.com/a", None));
        check(
            "urn:buildpack:heroku-community/nginx",
            &git("https://github.com/heroku/heroku-buildpack-nginx.git", None),
        );
        let name = "acme/own".to_owned();
        check("acme/own", &Location::Local { name });
        let url = "https://example.com/a.tgz".to_owned();
        let digest = Some("ab".repeat(32));
        check(
            &format!("{url}#sha256={}", "AB".repeat(32)),
            &Location::Archive {
                url: url.clone(),
                digest,
            },
        );
        check(&url.clone(), &Location::Archive { url, digest: None });
        assert_eq!(
            git("https://u:p@h.example/a", Some("v1")).shown(),
            "https://h.example/a#v1"
        );
    }

    fn check_refused(text: &str) {
        assert!(Location::parse(text).is_err(), "{text:?}");
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for text in [
            "",
            "python",
            "a/b/c",
            "../x",
            "file:///etc/passwd",
            "file://host/x",
            "http://example.com/a",
            "ssh://git@example.com/a",
            "git@example.com:a/b",
            "ext::sh -c id",
            "https://",
            "https:///path",
            "https://-oProxyCommand=x/a",
            "--upload-pack=x",
            "https://exa mple.com/a",
            "https://example.com/a#-x",
            "https://example.com/a#--upload-pack=x",
            "https://example.com/a#a..b",
            "https://example.com/a#a b",
            "https://example.com/a#a^{}",
            "https://example.com/a.tgz#v1",
        ] {
            check_refused(text);
        }
    }

    #[test]
    fn private_hosts_are_refused_in_all_their_spellings() {
        for host in [
            "localhost",
            "LOCALHOST",
            "a.localhost",
            "localhost.",
            "intranet",
            "metadata.google.internal",
            "127.0.0.1",
            "127.1",
            "0x7f.0.0.1",
            "0x7f000001",
            "2130706433",
            "10.0.0.1",
            "172.16.3.4",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[fe80::1]",
            "[fd00::1]",
            "user@127.0.0.1",
            "example.com@127.0.0.1:8080",
            "a%2eb.example@[::1]",
        ] {
            check_refused(&format!("https://{host}/a.git"));
        }
        for host in ["1.1.1.1", "[2606:4700::1]", "example.com:8443", "a.b.c"] {
            let url = format!("https://{host}/a.git");
            check(&url, &git(&url, None));
        }
    }
}
