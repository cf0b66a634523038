//! What a client wants, from its first bytes alone.
//!
//! A rendezvous client writes its secret, and some of them no line end after it: so the secret's
//! beginning and length must be enough to know it (heroku3.py writes none, the CLI writes CR LF).

/// Every rendezvous secret begins so, as no HTTP method does.
const SECRET_PREFIX: &[u8] = b"rz-";
/// Bytes of every rendezvous secret.
pub(crate) const SECRET_LENGTH: usize = 43;

/// What every HTTP/2 client sends first (RFC 9113 §3.4), and no HTTP/1 client.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the client wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// HTTP/1 or HTTP/2.
    Http,
    /// To be joined with a dyno.
    Rendezvous {
        /// What it shows.
        secret: String,
        /// What it sent after that: input for the dyno.
        rest: Vec<u8>,
    },
}

/// The greeting, once `read` suffices to know it.
///
/// The beginning of HTTP/2's preface does not: what serves HTTP waits for the rest without end.
pub(crate) fn greeting(read: &[u8]) -> Option<Greeting> {
    if read.len() < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(read) {
        return None;
    }
    let known = read.len().min(SECRET_PREFIX.len());
    if read.get(..known) != SECRET_PREFIX.get(..known) {
        return Some(Greeting::Http);
    }
    let (secret, rest) = read.split_at_checked(SECRET_LENGTH)?;
    Some(Greeting::Rendezvous {
        secret: String::from_utf8_lossy(secret).into_owned(),
        rest: without_line_end(rest).to_owned(),
    })
}

/// Whether it begins as a secret does.
pub(crate) fn is_rendezvous(read: &[u8]) -> bool {
    read.starts_with(SECRET_PREFIX)
}

/// The greeting of a client that sends no more: HTTP makes the best of anything.
pub(crate) fn at_end(read: &[u8]) -> Greeting {
    greeting(read).unwrap_or(Greeting::Http)
}

/// The CLI writes the secret, the URL's query (ours has none) and CR LF at once.
fn without_line_end(rest: &[u8]) -> &[u8] {
    rest.strip_prefix(b"\r\n")
        .or_else(|| rest.strip_prefix(b"\n"))
        .unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "rz-0123456789abcdef0123456789abcdef01234567";

    fn check(read: &str, expected: Option<&Greeting>) {
        assert_eq!(greeting(read.as_bytes()).as_ref(), expected, "{read:?}");
    }

    fn check_rendezvous(read: &str, rest: &str) {
        let secret = SECRET.to_owned();
        check(
            read,
            Some(&Greeting::Rendezvous {
                secret,
                rest: rest.into(),
            }),
        );
    }

    #[test]
    fn greetings() {
        check("G", Some(&Greeting::Http));
        check("GET / HTTP/1.1\r\n", Some(&Greeting::Http));
        check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(&Greeting::Http));
        check("PRI * HTTP/2.0\r\n", None);
        check("POST / HTTP/1.1\r\n", Some(&Greeting::Http));
        check("P", None);
        check("rx", Some(&Greeting::Http));
        check("r", None);
        check(&SECRET[..20], None);
        check_rendezvous(SECRET, "");
        check_rendezvous(&format!("{SECRET}\r\n"), "");
        check_rendezvous(&format!("{SECRET}\r\nls\n"), "ls\n");
        check_rendezvous(&format!("{SECRET}ls"), "ls");
    }

    #[test]
    fn the_end_decides() {
        assert_eq!(at_end(b"rz-"), Greeting::Http);
    }
}
