//! Edge settings: what the router does for an app's requests beyond routing them.
//! `/apps/{app}/edge`.
//!
//! Heroku has no such resource; the form follows its style. Nothing here is on unless an app asks
//! for it. Read [`Edge`].

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::names::AppName;

/// An app's edge settings. What is left out is off, or as the router does it for every app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Edge {
    /// How a dyno is chosen.
    #[serde(skip_serializing_if = "is_default")]
    pub balancing: Balancing,
    /// How long a dyno may take. The longest prefix that fits a request's path decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub timeouts: Vec<PathTimeouts>,
    /// The longest request body in bytes; more is refused with 413.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<u64>,
    /// How many requests are taken; more are refused with 429.
    #[serde(skip_serializing_if = "is_default")]
    pub rate_limits: RateLimits,
    /// Networks that may come; empty is everybody. Others are refused with 403.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Network>,
    /// Networks that may not come, also where [`Edge::allow`] has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Network>,
    /// Asks for a name and a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// Paths that another app answers; the longest prefix that fits decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathRoute>,
    /// Requests that are sent to another address; the first that fits decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redirects: Vec<Redirect>,
    /// What becomes of the request's headers before a dyno sees them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub request_headers: Vec<HeaderRule>,
    /// What becomes of the response's headers before the client sees them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_headers: Vec<HeaderRule>,
    /// Whether responses are compressed on their way to clients that take that.
    #[serde(skip_serializing_if = "is_default")]
    pub compress: bool,
    /// Files of the slug that the router serves itself; the longest prefix that fits decides.
    #[serde(rename = "static", skip_serializing_if = "Vec::is_empty")]
    pub static_files: Vec<StaticFiles>,
    /// What web dynos speak.
    #[serde(skip_serializing_if = "is_default")]
    pub dyno_protocol: DynoProtocol,
    /// Whether the app and how it does are on the platform's status page.
    #[serde(skip_serializing_if = "is_default")]
    pub is_on_status_page: bool,
}

/// What web dynos speak on `$PORT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DynoProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS, from the first byte: what gRPC needs.
    H2c,
}

/// How a dyno is chosen among those that are healthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balancing {
    /// The less busy of two random ones.
    #[default]
    LeastBusy,
    /// A random one, as Heroku does.
    Random,
}

/// How long a dyno may take over requests below a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathTimeouts {
    /// `/` is every path, `/reports` also `/reports/1`, but not `/reports2`.
    pub prefix: String,
    /// Seconds until the first byte of the answer (H12); 30 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_seconds: Option<u32>,
    /// Seconds between two bytes after that (H15, H28); 55 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_seconds: Option<u32>,
}

/// How many requests are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimits {
    /// Of one client: an IPv4 address, or an IPv6 network of 64 bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_client: Option<RateLimit>,
    /// Of the app, from all clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_app: Option<RateLimit>,
}

/// A steady rate, and how many may come at once above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Requests a minute.
    pub per_minute: u32,
    /// Requests at once after a rest; as many as in ten seconds if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

/// Who may come in with a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// What a browser shows; the app's name if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// At least one.
    pub users: Vec<EdgeUser>,
    /// Paths that need no password, as in [`PathTimeouts::prefix`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
}

/// A name and its password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeUser {
    /// Without a colon.
    pub name: String,
    /// Said when it is set, never shown. Left out for a known name: as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// `SALT$HASH`, the platform's own; never shown, and not to be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
}

/// A path that another app answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathRoute {
    /// As in [`PathTimeouts::prefix`].
    pub prefix: String,
    /// The app that answers.
    pub app: AppName,
    /// Whether that app sees the path without the prefix.
    #[serde(default)]
    pub strip: bool,
}

/// Files of the slug that the router serves itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticFiles {
    /// As in [`PathTimeouts::prefix`].
    pub prefix: String,
    /// The folder of the slug in which they are: `public`, `app/dist`.
    pub folder: String,
    /// Seconds for which a client may use a file without asking; 0 if left out: it asks each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_seconds: Option<u32>,
    /// Which files never change under their name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub immutable: Immutable,
    /// The file of the folder that answers for pages that are not there, without asking a dyno.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
}

/// Files that clients need never ask for again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Immutable {
    /// Those whose name holds a hash, as build tools make them.
    #[default]
    Hashed,
    /// Every file.
    All,
    /// No file.
    None,
}

/// Requests that are sent elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// Only requests to this host name; to any of the app's if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// `/old`, or with an asterisk at the end `/old/*`.
    pub path: String,
    /// Where to: a path or an `https://` address. An asterisk at its end stands for what the one
    /// in [`Redirect::path`] stood for. The query goes along unless this has one.
    pub to: String,
    /// 301, 302, 303, 307 or 308; 302 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// What becomes of a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderRule {
    /// Whose name it has; case does not matter.
    pub name: String,
    /// Its value from now on; taken away if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Addresses that begin alike: `192.0.2.0/24`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text that is no network.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NetworkError {
    /// Neither an IPv4 nor an IPv6 address before the slash.
    #[error("{0} is no address and no network like 192.0.2.0/24")]
    Address(String),
    /// More bits than an address has, or none that can be read.
    #[error("{0} has no number of bits after the slash that an address has")]
    Bits(String),
    /// The address is not the first of its network, so one of both is a slip.
    #[error("{given} is not the first address of a network; did you mean {meant}?")]
    Host {
        /// As it was given.
        given: String,
        /// The network it is in.
        meant: Network,
    },
}

impl Network {
    /// Whether the address is one of these. An IPv4 address in IPv6's clothes counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(asked)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                first.to_bits() == asked.to_bits() & mask
            }
            (IpAddr::V6(first), IpAddr::V6(asked)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.bits))
                    .unwrap_or(0);
                first.to_bits() == asked.to_bits() & mask
            }
            _ => false,
        }
    }

    fn first_address(self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                IpAddr::V4((address.to_bits() & mask).into())
            }
            IpAddr::V6(address) => {
                let shift = 128 - u32::from(self.bits);
                let mask = u128::MAX.checked_shl(shift).unwrap_or(0);
                IpAddr::V6((address.to_bits() & mask).into())
            }
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| NetworkError::Address(text.to_owned()))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => Some(most),
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most),
        };
        let bits = bits.ok_or_else(|| NetworkError::Bits(text.to_owned()))?;
        let network = Self { address, bits };
        let first = network.first_address();
        if first == address {
            return Ok(network);
        }
        Err(NetworkError::Host {
            given: text.to_owned(),
            meant: Self {
                address: first,
                bits,
            },
        })
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.bits)
    }
}

impl Edge {
    /// Whether the router does for the app what it does for every app.
    pub fn is_default(&self) -> bool {
        is_default(self)
    }

    /// Without what nobody may read.
    #[must_use]
    pub fn shown(mut self) -> Self {
        let users = self.basic_auth.iter_mut().flat_map(|auth| &mut auth.users);
        for user in users {
            user.password = None;
            user.password_hash = None;
        }
        self
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_is_left_out_and_what_is_unknown_refused() {
        assert_eq!(serde_json::to_string(&Edge::default()).unwrap(), "{}");
        let text = r#"{"rate_limits":{"per_client":{"per_minute":60}},"deny":["192.0.2.0/24"]}"#;
        let edge: Edge = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&edge).unwrap(), text);
        assert!(!edge.is_default());
        assert!(serde_json::from_str::<Edge>(r#"{"rate_limit":{}}"#).is_err());
    }

    #[test]
    fn networks() {
        for (text, address, expected) in [
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.0/24", "::ffff:192.0.2.7", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
        ] {
            let network: Network = text.parse().unwrap();
            let contains = network.contains(address.parse().unwrap());
            assert_eq!(contains, expected, "{address} in {text}");
        }
        for (text, expected) in [
            (
                "example.com",
                "example.com is no address and no network like 192.0.2.0/24",
            ),
            (
                "192.0.2.0/33",
                "192.0.2.0/33 has no number of bits after the slash that an address has",
            ),
            (
                "192.0.2.0/-1",
                "192.0.2.0/-1 has no number of bits after the slash that an address has",
            ),
            (
                "192.0.2.7/24",
                "192.0.2.7/24 is not the first address of a network; did you mean 192.0.2.0/24?",
            ),
        ] {
            assert_eq!(text.parse::<Network>().unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let text = r#"{"basic_auth":{"users":[{"name":"a","password":"p","password_hash":"h"}]}}"#;
        let edge: Edge = serde_json::from_str(text).unwrap();
        assert_eq!(
            serde_json::to_string(&edge.shown()).unwrap(),
            r#"{"basic_auth":{"users":[{"name":"a"}]}}"#
        );
    }
}
