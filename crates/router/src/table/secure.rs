//! What an app asks of those who come over TLS, or without, in the form requests need it.

use api::ids::AppId;
use http::{HeaderValue, StatusCode};

use crate::{certificates::is_challenge, proxy::Peer, subject::Described, wire::AppTls};

/// An app's demands on its clients.
#[derive(Debug, Default)]
pub(crate) struct Secure {
    redirects: bool,
    /// Boxed, since few apps ask for it.
    hsts: Option<Box<HeaderValue>>,
    /// Whether clients show certificates, and if so whether they must.
    demand: Option<Demand>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    MayShow,
    MustShow,
}

/// Whether a request goes on to its app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It does.
    Open,
    /// It is sent to HTTPS.
    Redirect,
    /// Its connection was made for another app's host, whose clients are checked in another way.
    Misdirected,
}

impl Secure {
    pub(crate) fn new(tls: &AppTls) -> Self {
        let hsts = tls.hsts.map(|hsts| {
            let mut text = format!("max-age={}", hsts.max_age_seconds);
            if hsts.include_subdomains {
                text.push_str("; includeSubDomains");
            }
            if hsts.preload {
                text.push_str("; preload");
            }
            Box::new(HeaderValue::try_from(text).expect("it is plain ASCII"))
        });
        let demand = tls.client_authority.as_ref().map(|authority| {
            if authority.is_optional {
                Demand::MayShow
            } else {
                Demand::MustShow
            }
        });
        Self {
            redirects: tls.redirect,
            hsts,
            demand,
        }
    }

    /// Whether a request from this peer may go on to the app.
    pub(crate) fn passage(&self, app: AppId, peer: &Peer, path: &str) -> Passage {
        if !peer.is_secure {
            // An app may answer challenges of its own.
            let is_sent_away = self.redirects && !is_challenge(path);
            return if is_sent_away || self.demand == Some(Demand::MustShow) {
                Passage::Redirect
            } else {
                Passage::Open
            };
        }
        let was_checked = peer
            .identity
            .as_ref()
            .is_some_and(|identity| identity.app == app);
        if self.demand.is_some() && !was_checked {
            Passage::Misdirected
        } else {
            Passage::Open
        }
    }

    /// `Strict-Transport-Security` for an answer to this peer; browsers ignore it over plain HTTP
    /// (RFC 6797 §7.2).
    pub(crate) fn hsts(&self, peer: &Peer) -> Option<&HeaderValue> {
        self.hsts.as_deref().filter(|_| peer.is_secure)
    }
}

/// Where a request over plain HTTP is sent, and with which status: one that keeps the method where
/// it matters.
pub(crate) fn to_https(
    request: Described<'_>,
    https_port: u16,
) -> Option<(StatusCode, HeaderValue)> {
    let status = match request.method {
        "GET" | "HEAD" => StatusCode::MOVED_PERMANENTLY,
        _ => StatusCode::PERMANENT_REDIRECT,
    };
    let port = match https_port {
        443 => String::new(),
        port => format!(":{port}"),
    };
    let location = format!("https://{}{port}{}", request.host, request.path);
    Some((status, HeaderValue::try_from(location).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::{
        proxy::ClientIdentity,
        wire::{ClientAuthority, Hsts},
    };

    fn peer(is_secure: bool, checked_for: Option<AppId>) -> Peer {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut peer = Peer::new(address, address.port(), is_secure);
        peer.identity = checked_for.map(|app| ClientIdentity { app, subject: None });
        peer
    }

    #[test]
    fn passages() {
        let (app, other) = (AppId::new(), AppId::new());
        let authority = |is_optional| ClientAuthority {
            certificates: String::new(),
            is_optional,
        };
        let tls = |redirect, client_authority| {
            Secure::new(&AppTls {
                redirect,
                hsts: None,
                client_authority,
            })
        };
        let open = tls(false, None);
        let redirecting = tls(true, None);
        let must = tls(false, Some(authority(false)));
        let may = tls(false, Some(authority(true)));
        let challenge = "/.well-known/acme-challenge/x";
        for (secure, peer, path, expected) in [
            (&open, peer(false, None), "/", Passage::Open),
            (&open, peer(true, None), "/", Passage::Open),
            (&open, peer(true, Some(other)), "/", Passage::Open),
            (&redirecting, peer(false, None), "/", Passage::Redirect),
            (&redirecting, peer(false, None), challenge, Passage::Open),
            (&redirecting, peer(true, None), "/", Passage::Open),
            (&must, peer(false, None), "/", Passage::Redirect),
            (&must, peer(false, None), challenge, Passage::Redirect),
            (&must, peer(true, None), "/", Passage::Misdirected),
            (&must, peer(true, Some(other)), "/", Passage::Misdirected),
            (&must, peer(true, Some(app)), "/", Passage::Open),
            (&may, peer(false, None), "/", Passage::Open),
            (&may, peer(true, None), "/", Passage::Misdirected),
            (&may, peer(true, Some(app)), "/", Passage::Open),
        ] {
            let passage = secure.passage(app, &peer, path);
            assert_eq!(passage, expected, "{secure:?} {peer:?} {path}");
        }
    }

    #[test]
    fn hsts_is_for_secure_connections() {
        let secure = Secure::new(&AppTls {
            hsts: Some(Hsts {
                max_age_seconds: 31_536_000,
                include_subdomains: true,
                preload: true,
            }),
            ..AppTls::default()
        });
        assert_eq!(secure.hsts(&peer(false, None)), None);
        assert_eq!(
            secure.hsts(&peer(true, None)).unwrap(),
            "max-age=31536000; includeSubDomains; preload"
        );
    }
}
