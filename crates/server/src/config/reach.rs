//! What dynos may reach besides the internet: `[reach]` in `landfall.toml`, `--reach-…`,
//! `LANDFALL_REACH_…`. Without a choice no private network, and of this host only the router where
//! the public reaches it, too.

use std::{ffi::OsString, str::FromStr};

use engine_local::network::{Subnet, SubnetError};

use super::Config;

/// What may be chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReachChoices {
    /// Private networks that dynos may reach, by commas: `10.0.7.0/24,192.168.1.5`
    #[arg(id = "reach_networks", long = "reach-networks", value_name = "LIST")]
    pub networks: Option<Networks>,
}

/// Networks of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Networks(Vec<Subnet>);

impl FromStr for Networks {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let names = text.split(',').map(str::trim);
        let subnets = names.filter(|name| !name.is_empty()).map(str::parse);
        subnets.collect::<Result<_, _>>().map(Self)
    }
}

impl TryFrom<Vec<String>> for Networks {
    type Error = SubnetError;

    fn try_from(names: Vec<String>) -> Result<Self, SubnetError> {
        names.join(",").parse()
    }
}

impl ReachChoices {
    /// These where they are made, `below` where not.
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            networks: self.networks.or(below.networks),
        }
    }

    /// The same as flags.
    pub(super) fn to_flags(&self) -> Vec<OsString> {
        let Some(Networks(subnets)) = &self.networks else {
            return Vec::new();
        };
        let names: Vec<String> = subnets.iter().map(ToString::to_string).collect();
        vec!["--reach-networks".into(), names.join(",").into()]
    }

    /// The private networks.
    pub fn networks(&self) -> Vec<Subnet> {
        self.networks.clone().unwrap_or_default().0
    }
}

impl Config {
    /// The ports of the router and of git over SSH that the public reaches, and so dynos: apps
    /// call each other by their URLs, and may be built from each other's repositories.
    pub fn public_ports(&self) -> Vec<u16> {
        let public = [Some(self.http), Some(self.https), self.ssh];
        let public = public
            .iter()
            .flatten()
            .filter(|address| !address.ip().is_loopback());
        public.map(std::net::SocketAddr::port).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Choices, Surroundings};

    fn config(choices: Choices) -> Config {
        Config::resolve(choices, &Surroundings::default()).unwrap()
    }

    #[test]
    fn networks_are_read_and_passed_on_alike() {
        let listed: Networks = "10.0.7.0/24, 192.168.1.5".parse().unwrap();
        let reach = ReachChoices {
            networks: Some(listed.clone()),
        };
        assert_eq!(
            reach.to_flags(),
            ["--reach-networks", "10.0.7.0/24,192.168.1.5/32"]
        );
        let written: ReachChoices =
            toml::from_str(r#"networks = ["10.0.7.0/24", "192.168.1.5"]"#).unwrap();
        assert_eq!(written.networks, Some(listed));
        assert!("10.0.7.1/24".parse::<Networks>().is_err());
    }

    #[test]
    fn only_what_the_public_reaches_is_open_to_dynos() {
        assert!(config(Choices::default()).public_ports().is_empty());
        let public = Choices {
            http: "0.0.0.0:80".parse().ok(),
            https: "203.0.113.7:443".parse().ok(),
            ssh: "[::]:22".parse().ok(),
            ..Choices::default()
        };
        assert_eq!(config(public).public_ports(), [80, 443, 22]);
    }
}
