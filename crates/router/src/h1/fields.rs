//! Headers by what the router does with them. Pure; names are compared without regard to case.

/// A header that the router looks at, sets or strips.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Passed on as it is.
    #[default]
    Plain,
    Accept,
    Connection,
    ContentLength,
    Date,
    Expect,
    Host,
    /// Says something about one connection only (RFC 9110 §7.6.1).
    HopByHop,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    XForwardedFor,
    XRequestId,
    /// One that only the router may set for a dyno.
    Ours,
}

impl Kind {
    pub(crate) fn of(name: &str) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let kind = match name.len() {
            2 if is("te") => Self::Te,
            4 if is("host") => Self::Host,
            4 if is("date") => Self::Date,
            6 if is("accept") => Self::Accept,
            6 if is("expect") => Self::Expect,
            7 if is("upgrade") => Self::Upgrade,
            7 if is("trailer") => Self::Trailer,
            10 if is("connection") => Self::Connection,
            10 if is("keep-alive") => Self::HopByHop,
            12 if is("x-request-id") => Self::XRequestId,
            14 if is("content-length") => Self::ContentLength,
            15 if is("x-forwarded-for") => Self::XForwardedFor,
            15 if is("x-request-start") => Self::Ours,
            16 if is("x-forwarded-port") => Self::Ours,
            16 if is("proxy-connection") => Self::HopByHop,
            17 if is("x-forwarded-proto") => Self::Ours,
            28 if is("x-client-certificate-subject") => Self::Ours,
            17 if is("transfer-encoding") => Self::TransferEncoding,
            _ => Self::Plain,
        };
        if kind == Self::Plain && is_disguised(name) {
            return Self::Ours;
        }
        kind
    }

    /// Whether the router writes it anew, or not at all, in either direction.
    pub(crate) fn is_framing(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::ContentLength
                | Self::HopByHop
                | Self::Te
                | Self::TransferEncoding
                | Self::Upgrade
        )
    }

    /// Whether a client's goes on to a dyno.
    pub(crate) fn reaches_dyno(self) -> bool {
        matches!(
            self,
            Self::Plain | Self::Accept | Self::Date | Self::Trailer
        )
    }
}

/// Whether an app would take the header for one that is not passed on as it is: CGI and WSGI
/// cannot tell `_` from `-`.
fn is_disguised(name: &str) -> bool {
    const LONGEST: usize = 28;
    if name.len() > LONGEST || !name.contains('_') {
        return false;
    }
    let name = name.replace('_', "-");
    !matches!(
        Kind::of(&name),
        Kind::Plain | Kind::Accept | Kind::Date | Kind::Trailer
    )
}

/// The members of a list-valued header.
pub(crate) fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

/// Whether a trailer may be passed on: not what frames, routes or authorizes a message
/// (RFC 9110 §6.5.1).
pub(crate) fn may_trail(name: &str) -> bool {
    const NEVER: [&str; 13] = [
        "authorization",
        "cache-control",
        "content-encoding",
        "content-range",
        "content-type",
        "cookie",
        "max-forwards",
        "pragma",
        "proxy-authorization",
        "range",
        "set-cookie",
        "via",
        "www-authenticate",
    ];
    Kind::of(name) == Kind::Plain && !NEVER.iter().any(|never| name.eq_ignore_ascii_case(never))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        for (name, expected) in [
            ("Host", Kind::Host),
            ("HOST", Kind::Host),
            ("cookie", Kind::Plain),
            ("x_custom", Kind::Plain),
            ("Transfer-Encoding", Kind::TransferEncoding),
            ("transfer_encoding", Kind::Ours),
            ("Content_Length", Kind::Ours),
            ("X-Forwarded_For", Kind::Ours),
            ("x_request_start", Kind::Ours),
            ("keep_alive", Kind::Ours),
            ("accept_", Kind::Plain),
        ] {
            assert_eq!(Kind::of(name), expected, "{name}");
        }
    }

    #[test]
    fn trailers() {
        for (name, expected) in [
            ("x-sum", true),
            ("grpc-status", true),
            ("Server-Timing", true),
            ("content-length", false),
            ("Host", false),
            ("Set-Cookie", false),
            ("x_forwarded_for", false),
        ] {
            assert_eq!(may_trail(name), expected, "{name}");
        }
    }
}
