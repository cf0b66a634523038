//! Addresses of sources: what may stand in them, decided without asking anybody. Where they lead is
//! for the network of the dyno that follows them.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// Longest address or reference.
const LONGEST: usize = 2000;
/// What marks an address as a repository's where an archive's could stand: `git+https://…#main`.
const REPOSITORY: &str = "git+";

/// Why a text is no address.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AddressError {
    /// Something else.
    #[error("`{0}` is not an address that a source can be fetched from")]
    Unreadable(String),
    /// One with a name and password, which would be kept and shown.
    #[error(
        "Addresses with a password or token in them are not taken: everybody who sees the app would \
         see it. For a private repository use its SSH address and the app's deploy key."
    )]
    Secret,
    /// No branch, tag or commit can have this name.
    #[error("`{0}` is not the name of a branch or tag")]
    Reference(String),
}

/// Where an archive is: `https://…` or `http://…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveUrl(String);

/// Where a repository is: `https://…`, `http://…`, `ssh://…` or `git@HOST:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryUrl(String);

/// A branch or tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference(String);

impl FromStr for ArchiveUrl {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        check(text, &["https", "http"]).map(|()| Self(text.to_owned()))
    }
}

impl FromStr for RepositoryUrl {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        // `git@HOST:PATH`, as sites show it.
        if !text.contains("://")
            && let Some((host, path)) = text.split_once(':')
        {
            let path = path.strip_prefix('/').unwrap_or(path);
            return format!("ssh://{host}/{path}").parse();
        }
        check(text, &["https", "http", "ssh"]).map(|()| Self(text.to_owned()))
    }
}

impl FromStr for Reference {
    type Err = AddressError;

    /// The stricter part of what git takes (`git check-ref-format`).
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-+@=".contains(&byte);
        let is_reference = !text.is_empty()
            && text.len() <= 250
            && text.bytes().all(fits)
            && !text.starts_with(['-', '/', '.', '+', '@'])
            && !text.ends_with(['/', '.'])
            && !["..", "//", "@{", ".lock", "/."]
                .iter()
                .any(|bad| text.contains(bad));
        if is_reference {
            Ok(Self(text.to_owned()))
        } else {
            Err(AddressError::Reference(text.to_owned()))
        }
    }
}

impl fmt::Display for ArchiveUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl RepositoryUrl {
    /// Repository and reference of `git+URL#REFERENCE`; `None` for what does not begin so.
    ///
    /// # Errors
    /// For what begins so and is none.
    pub fn marked(text: &str) -> Option<Result<(Self, Option<Reference>), AddressError>> {
        let text = text.strip_prefix(REPOSITORY)?;
        let (url, reference) = match text.split_once('#') {
            Some((url, reference)) => (url, Some(reference)),
            None => (text, None),
        };
        let read = || {
            let reference = reference.map(str::parse).transpose()?;
            Ok((url.parse()?, reference))
        };
        Some(read())
    }
}

impl Reference {
    /// As git takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Scheme, host and characters. A name before the host is fine for SSH alone, where it is no secret.
fn check(text: &str, schemes: &[&str]) -> Result<(), AddressError> {
    let unreadable = || AddressError::Unreadable(shortened(text));
    let is_plain = text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic());
    let (scheme, rest) = text.split_once("://").ok_or_else(unreadable)?;
    if !is_plain || !schemes.contains(&scheme) {
        return Err(unreadable());
    }
    let (authority, path) = rest.split_once('/').ok_or_else(unreadable)?;
    let (user, host) = authority
        .rsplit_once('@')
        .map_or((None, authority), |(user, host)| (Some(user), host));
    match user {
        Some(user) if scheme != "ssh" || user.contains(':') => return Err(AddressError::Secret),
        Some(user) if !is_word(user) => return Err(unreadable()),
        _ => {}
    }
    if is_host(host) && !path.is_empty() {
        Ok(())
    } else {
        Err(unreadable())
    }
}

/// A name or address, and perhaps a port. Nothing that a program could take for an option.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => {
                let is_address = address.parse::<std::net::Ipv6Addr>().is_ok();
                return is_address
                    && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
            }
            None => return false,
        },
        None => text
            .split_once(':')
            .map_or((text, None), |(name, port)| (name, Some(port))),
    };
    is_word(name) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_word(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !text.is_empty() && !text.starts_with(['-', '.']) && text.bytes().all(fits)
}

fn shortened(text: &str) -> String {
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(200)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let found = text.parse::<RepositoryUrl>();
        let found = found.as_ref().map(|url| url.0.as_str());
        match expected {
            Ok(url) => assert_eq!(found, Ok(url), "{text}"),
            Err(word) => assert!(format!("{found:?}").contains(word), "{text}: {found:?}"),
        }
    }

    #[test]
    fn repositories() {
        for url in [
            "https://example.com/a/b.git",
            "http://example.com:8080/a",
            "ssh://git@example.com:2222/a/b.git",
            "https://[2001:db8::1]:8443/a",
        ] {
            check(url, Ok(url));
        }
        check(
            "git@example.com:a/b.git",
            Ok("ssh://git@example.com/a/b.git"),
        );
    }

    #[test]
    fn what_is_no_repository() {
        for text in [
            "",
            "a/b",
            "https://",
            "https:///a",
            "https://example.com",
            "file:///etc/passwd",
            "ext::sh -c id",
            "ssh://-oProxyCommand=id/a",
            "-oProxyCommand=id:a",
            "https://example.com/a b",
            "https://example.com/a\nb",
            "https://exa$mple.com/a",
            "git://example.com/a",
            "ssh://git@example.com:x/a",
        ] {
            check(text, Err("Unreadable"));
        }
        for text in [
            "https://token@example.com/a",
            "https://me:secret@example.com/a",
            "ssh://git:secret@example.com/a",
        ] {
            check(text, Err("Secret"));
        }
        assert!("ssh://git@example.com/a".parse::<ArchiveUrl>().is_err());
    }

    #[test]
    fn references() {
        for good in ["main", "release/1.2", "v1.0", "feature-x", "a@b"] {
            assert!(good.parse::<Reference>().is_ok(), "{good}");
        }
        for bad in [
            "", "-f", "a..b", "/a", "a/", "a b", "a:b", "+main", "x.lock", "a@{1}", "a\n",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }

    #[test]
    fn marked_addresses() {
        assert_eq!(RepositoryUrl::marked("https://example.com/a"), None);
        let (url, reference) = RepositoryUrl::marked("git+https://example.com/a#main")
            .unwrap()
            .unwrap();
        assert_eq!(
            (url.0.as_str(), reference.unwrap().as_str()),
            ("https://example.com/a", "main")
        );
        assert!(
            RepositoryUrl::marked("git+https://example.com/a#-f")
                .unwrap()
                .is_err()
        );
    }
}
