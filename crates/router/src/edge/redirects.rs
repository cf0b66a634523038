//! Requests that are sent to another address.

use api::edge::Redirect;

use super::Asked;

/// In the order in which they are tried.
#[derive(Debug)]
pub(super) struct Redirects(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    host: Option<String>,
    path: String,
    /// Whether anything may follow the path.
    is_open: bool,
    to: String,
    /// Whether what follows the path follows this, too.
    goes_along: bool,
    status: u16,
}

impl Redirects {
    pub(super) fn new(redirects: &[Redirect]) -> Self {
        let rule = |redirect: &Redirect| {
            let (path, is_open) = without_asterisk(&redirect.path);
            let (to, goes_along) = without_asterisk(&redirect.to);
            let mut to = to.to_owned();
            // What follows must never become part of the host's name.
            if to
                .split_once("://")
                .is_some_and(|(_, to)| !to.contains('/'))
            {
                to.push('/');
            }
            Rule {
                host: redirect.host.as_ref().map(|host| host.to_lowercase()),
                path: path.to_owned(),
                is_open,
                to,
                goes_along,
                status: redirect.status.unwrap_or(302),
            }
        };
        Self(redirects.iter().map(rule).collect())
    }

    /// Status and address of the first that fits.
    pub(super) fn find(&self, asked: &Asked<'_>) -> Option<(u16, String)> {
        self.0.iter().find_map(|rule| rule.location(asked))
    }
}

impl Rule {
    fn location(&self, asked: &Asked<'_>) -> Option<(u16, String)> {
        if self.host.as_ref().is_some_and(|host| host != asked.host) {
            return None;
        }
        let rest = asked.path.strip_prefix(self.path.as_str())?;
        if !rest.is_empty() && !self.is_open {
            return None;
        }
        let mut location = self.to.clone();
        if self.goes_along {
            // `//host` is another host's address: a client must not choose where it is sent.
            let is_at_root = location.ends_with('/') || location.is_empty();
            location.push_str(if is_at_root {
                rest.trim_start_matches(['/', '\\'])
            } else {
                rest
            });
        }
        if let Some(query) = asked.query.filter(|_| !self.to.contains('?')) {
            location.push('?');
            location.push_str(query);
        }
        Some((self.status, location))
    }
}

fn without_asterisk(text: &str) -> (&str, bool) {
    match text.strip_suffix('*') {
        Some(text) => (text, true),
        None => (text, false),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn check(redirect: (Option<&str>, &str, &str), asked: (&str, &str), expected: Option<&str>) {
        let (host, path, to) = redirect;
        let redirects = Redirects::new(&[Redirect {
            host: host.map(str::to_owned),
            path: path.to_owned(),
            to: to.to_owned(),
            status: Some(308),
        }]);
        let (path, query) = match asked.1.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (asked.1, None),
        };
        let asked = Asked {
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            host: asked.0,
            path,
            query,
            authorization: None,
        };
        let expected = expected.map(|to| (308, to.to_owned()));
        assert_eq!(redirects.find(&asked), expected, "{redirect:?} {asked:?}");
    }

    #[test]
    fn addresses() {
        let plain = (None, "/old", "/new");
        check(plain, ("a", "/old"), Some("/new"));
        check(plain, ("a", "/old?x=1"), Some("/new?x=1"));
        check(plain, ("a", "/older"), None);
        check(
            (None, "/old", "/new?y=2"),
            ("a", "/old?x=1"),
            Some("/new?y=2"),
        );
        let apex = (Some("www.Example.com"), "/*", "https://example.com/*");
        let www = |path| ("www.example.com", path);
        check(apex, www("/"), Some("https://example.com/"));
        check(apex, www("/a/b?c"), Some("https://example.com/a/b?c"));
        check(apex, ("example.com", "/a"), None);
        let open = (None, "/blog/*", "/*");
        check(open, ("a", "/blog/1"), Some("/1"));
        check(open, ("a", "/blog//evil.example"), Some("/evil.example"));
        check(open, ("a", "/blog/\\evil.example"), Some("/evil.example"));
        check((None, "/a/*", "/b"), ("a", "/a/c"), Some("/b"));
        let joined = (None, "/x*", "https://example.com/y*");
        check(joined, ("a", "/xz"), Some("https://example.com/yz"));
        let host = (None, "/*", "https://example.com*");
        check(host, ("a", "/p"), Some("https://example.com/p"));
    }
}
