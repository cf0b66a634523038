//! The firewall of one slot, as text for `nft`.
//!
//! Pure: what the host and the operator say goes in, the ruleset comes out. It replaces its own
//! table in one transaction and touches no other; other tables of the host (Docker's, ufw's) see
//! the same packets and may drop more.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use thiserror::Error;

use super::NetworkConfig;
use crate::slot::{SLOT_PREFIX, Slot};

/// Networks that dynos never reach unless the operator allows it: the operator's own, the cloud's
/// metadata service, and what is no unicast address.
const REFUSED: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/3",
];

/// A network of addresses: `10.0.7.0/24`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    address: Ipv4Addr,
    prefix: u8,
}

/// The text is not a network of addresses.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a network (hint: it looks like 10.0.7.0/24)")]
pub struct SubnetError(String);

impl Subnet {
    /// Its first address and how many bits of it the others share.
    pub const fn parts(&self) -> (Ipv4Addr, u8) {
        (self.address, self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let refused = || SubnetError(text.to_owned());
        let (address, prefix) = text.split_once('/').unwrap_or((text, "32"));
        let address: Ipv4Addr = address.parse().map_err(|_| refused())?;
        let prefix: u8 = prefix.parse().map_err(|_| refused())?;
        let host_bits = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
        if prefix > 32 || u32::from(address) & host_bits != 0 {
            return Err(refused());
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The slot's whole ruleset.
pub(super) fn ruleset(slot: &Slot, config: &NetworkConfig) -> String {
    let table = slot.nft_table();
    let dynos = format!("\"{}*\"", slot.interface_prefix());
    let range = format!("{}/{SLOT_PREFIX}", slot.first_address());
    let resolvers = set("resolvers", "type ipv4_addr;", &config.resolvers);
    let public = set("public_ports", "type inet_service;", &config.public_ports);
    let allowed = set(
        "allowed",
        "type ipv4_addr; flags interval; auto-merge;",
        &config.allowed,
    );
    let refused = set("refused", "type ipv4_addr; flags interval;", REFUSED);
    format!(
        r#"table inet {table} {{}}
delete table inet {table}
table inet {table} {{
  {resolvers}
  {public}
  {allowed}
  {refused}
  chain spoofed {{
    type filter hook prerouting priority raw; policy accept;
    iifname {dynos} meta nfproto != ipv4 drop
    iifname {dynos} fib saddr . iif oif missing drop
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname != {dynos} accept
    ct state established,related accept
    ip daddr @resolvers meta l4proto {{ tcp, udp }} th dport 53 accept
    tcp dport @public_ports accept
    reject with icmpx type admin-prohibited
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname {dynos} oifname "lf*" reject with icmpx type admin-prohibited
    oifname {dynos} ct state established,related accept
    oifname {dynos} drop
    iifname != {dynos} accept
    ct state established,related accept
    ip daddr @resolvers meta l4proto {{ tcp, udp }} th dport 53 accept
    ip daddr @allowed accept
    ip daddr @refused reject with icmpx type admin-prohibited
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {range} oifname != {dynos} masquerade
  }}
}}
"#
    )
}

fn set<T: fmt::Display>(name: &str, kind: &str, elements: &[T]) -> String {
    let elements: Vec<String> = elements.iter().map(T::to_string).collect();
    let elements = match elements.join(", ") {
        none if none.is_empty() => none,
        some => format!(" elements = {{ {some} }};"),
    };
    format!("set {name} {{ {kind}{elements} }}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets() {
        for text in ["10.0.7.0/24", "10.0.7.1/32", "0.0.0.0/0"] {
            assert_eq!(text.parse::<Subnet>().unwrap().to_string(), text);
        }
        assert_eq!(
            "10.0.7.1".parse::<Subnet>().unwrap().to_string(),
            "10.0.7.1/32"
        );
        for refused in [
            "",
            "10.0.7.0/33",
            "10.0.7.1/24",
            "::1/128",
            "10.0.7.0/24; flush ruleset",
        ] {
            assert!(refused.parse::<Subnet>().is_err(), "{refused:?}");
        }
    }

    #[test]
    fn the_whole_ruleset() {
        let directory = tempfile::tempdir().unwrap();
        let slot = Slot::claim_in(directory.path(), directory.path()).unwrap();
        let mut config = NetworkConfig {
            pool_size: 1,
            resolvers: vec![Ipv4Addr::new(10, 0, 0, 53), Ipv4Addr::new(192, 0, 2, 1)],
            allowed: vec!["10.0.7.0/24".parse().unwrap()],
            public_ports: vec![80, 443],
        };
        insta::assert_snapshot!(ruleset(&slot, &config), @r#"
        table inet landfall_000 {}
        delete table inet landfall_000
        table inet landfall_000 {
          set resolvers { type ipv4_addr; elements = { 10.0.0.53, 192.0.2.1 }; }
          set public_ports { type inet_service; elements = { 80, 443 }; }
          set allowed { type ipv4_addr; flags interval; auto-merge; elements = { 10.0.7.0/24 }; }
          set refused { type ipv4_addr; flags interval; elements = { 0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.0.0.0/24, 192.168.0.0/16, 198.18.0.0/15, 224.0.0.0/3 }; }
          chain spoofed {
            type filter hook prerouting priority raw; policy accept;
            iifname "lf000-*" meta nfproto != ipv4 drop
            iifname "lf000-*" fib saddr . iif oif missing drop
          }
          chain input {
            type filter hook input priority filter; policy accept;
            iifname != "lf000-*" accept
            ct state established,related accept
            ip daddr @resolvers meta l4proto { tcp, udp } th dport 53 accept
            tcp dport @public_ports accept
            reject with icmpx type admin-prohibited
          }
          chain forward {
            type filter hook forward priority filter; policy accept;
            iifname "lf000-*" oifname "lf*" reject with icmpx type admin-prohibited
            oifname "lf000-*" ct state established,related accept
            oifname "lf000-*" drop
            iifname != "lf000-*" accept
            ct state established,related accept
            ip daddr @resolvers meta l4proto { tcp, udp } th dport 53 accept
            ip daddr @allowed accept
            ip daddr @refused reject with icmpx type admin-prohibited
          }
          chain postrouting {
            type nat hook postrouting priority srcnat; policy accept;
            ip saddr 10.208.0.0/20 oifname != "lf000-*" masquerade
          }
        }
        "#);
        config.resolvers.clear();
        assert!(ruleset(&slot, &config).contains("set resolvers { type ipv4_addr; }"));
    }
}
