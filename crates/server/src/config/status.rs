//! Where the router's status page is: below the apps' domain.

use std::net::SocketAddr;

use super::Config;

impl Config {
    /// The host names of the status page, the first being what it is called. Where apps are below
    /// `localhost`, which not every program resolves, `localhost` itself is one.
    pub fn status_hosts(&self) -> Vec<String> {
        let name = format!("status.{}", self.app_domain);
        let names = [name, self.app_domain.clone()].into_iter();
        names.take(if self.is_local() { 2 } else { 1 }).collect()
    }

    /// The status page's URL without a slash at the end, for a router at these addresses: plain where
    /// it need not leave the machine.
    pub fn status_url(&self, http: SocketAddr, https: SocketAddr) -> String {
        let (scheme, port, usual) = if self.is_local() {
            ("http", http.port(), 80)
        } else {
            ("https", https.port(), 443)
        };
        let hosts = self.status_hosts();
        let host = hosts.last().map_or("", String::as_str);
        if port == usual {
            return format!("{scheme}://{host}");
        }
        format!("{scheme}://{host}:{port}")
    }

    fn is_local(&self) -> bool {
        self.app_domain == "localhost"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Choices, Surroundings};

    fn check(domain: Option<&str>, hosts: &[&str], url: &str) {
        let choices = Choices {
            app_domain: domain.map(str::to_owned),
            ..Choices::default()
        };
        let config = Config::resolve(choices, &Surroundings::default()).unwrap();
        assert_eq!(config.status_hosts(), hosts);
        let port = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(config.status_url(port(8080), port(443)), url);
    }

    #[test]
    fn it_is_below_the_apps_domain() {
        let local = ["status.localhost", "localhost"];
        check(None, &local, "http://localhost:8080");
        let (domain, hosts) = ("apps.example.org", ["status.apps.example.org"]);
        check(Some(domain), &hosts, "https://status.apps.example.org");
    }
}
