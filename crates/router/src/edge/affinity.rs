//! The same dyno again: Heroku's session affinity (Dev Center, "Session Affinity").
//!
//! A cookie names the dyno by a hash of its id. When that dyno is gone, the client gets another and
//! another cookie.

use std::fmt::Write as _;

use api::ids::DynoId;
use sha2::{Digest, Sha256};

const COOKIE: &str = "heroku-session-affinity";
/// A day, as at Heroku.
const MAX_AGE_SECONDS: u32 = 86_400;

/// What a cookie says of a dyno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Affinity(u64);

impl Affinity {
    /// The dyno's own.
    pub(crate) fn of(dyno: DynoId) -> Self {
        let digest = Sha256::digest(dyno.as_uuid().as_bytes());
        let first = digest.first_chunk().copied().unwrap_or_default();
        Self(u64::from_be_bytes(first))
    }

    /// What the value of a `Cookie` header says, if it says anything.
    pub(crate) fn in_cookies(cookies: &[u8]) -> Option<Self> {
        let cookies = cookies.split(|byte| *byte == b';');
        cookies.map(<[u8]>::trim_ascii).find_map(|cookie| {
            let value = cookie.strip_prefix(COOKIE.as_bytes())?.strip_prefix(b"=")?;
            let text = std::str::from_utf8(value).ok()?;
            // Only as it was written: `+1` is a number, too.
            let is_ours = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_ours.then(|| u64::from_str_radix(text, 16).ok().map(Self))?
        })
    }

    /// The value of the `Set-Cookie` header that brings the client back.
    pub(crate) fn set_cookie(self, is_secure: bool) -> String {
        let mut text = format!(
            "{COOKIE}={:016x}; Max-Age={MAX_AGE_SECONDS}; Path=/; HttpOnly",
            self.0
        );
        if is_secure {
            // Also for pages that other sites show in a frame, as at Heroku.
            write!(text, "; Secure; SameSite=None").expect("a String takes all text");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_brings_its_client_back() {
        let dyno = DynoId::new();
        let affinity = Affinity::of(dyno);
        assert_ne!(affinity, Affinity::of(DynoId::new()));
        let set = affinity.set_cookie(true);
        let (cookie, attributes) = set.split_once("; ").unwrap();
        assert_eq!(
            attributes,
            "Max-Age=86400; Path=/; HttpOnly; Secure; SameSite=None"
        );
        let in_cookies = |text: &str| Affinity::in_cookies(text.as_bytes());
        assert_eq!(in_cookies(cookie), Some(affinity));
        assert_eq!(in_cookies(&format!("a=b;  {cookie} ; c=d")), Some(affinity));
        for other in [
            "",
            "heroku-session-affinity",
            "heroku-session-affinity=",
            "heroku-session-affinity=+000000000000001",
            "heroku-session-affinity=00000000000000011",
            "xheroku-session-affinity=0000000000000001",
        ] {
            assert_eq!(in_cookies(other), None, "{other}");
        }
    }
}
