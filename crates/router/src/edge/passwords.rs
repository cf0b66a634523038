//! A name and a password before anything else: RFC 7617.
//!
//! Hashes are salted but quick: they are looked at with each request, and the platform sees to it
//! that no password is short. Read [`Passwords::check`].

use api::edge::{BasicAuth, EdgeUser};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::paths::Prefixes;

/// Who may come in.
#[derive(Debug)]
pub(super) struct Passwords {
    challenge: String,
    users: Vec<User>,
    except: Prefixes<()>,
}

#[derive(Debug)]
struct User {
    name: String,
    salt: String,
    hash: String,
}

impl Passwords {
    pub(super) fn new(auth: &BasicAuth, app: &str) -> Self {
        let realm = auth.realm.as_deref().unwrap_or(app);
        let realm: String = realm
            .chars()
            .filter(|letter| !matches!(letter, '"' | '\\') && !letter.is_control())
            .collect();
        Self {
            challenge: format!("Basic realm=\"{realm}\", charset=\"UTF-8\""),
            // A user without a hash comes in with no password at all.
            users: auth.users.iter().filter_map(User::new).collect(),
            except: Prefixes::new(auth.except.iter().map(|prefix| (prefix.clone(), ()))),
        }
    }

    /// `Err` holds the challenge for a request that may not come in.
    pub(super) fn check(&self, path: &str, authorization: Option<&[u8]>) -> Result<(), String> {
        let is_known = || {
            let (name, password) = credentials(authorization?)?;
            let user = self.users.iter().find(|user| user.name == name)?;
            user.has(&password).then_some(())
        };
        // What a dyno may read as another path is not the one that needs no password.
        let is_plain = !path.contains(['.', '%', '\\', ';']) && !path.contains("//");
        let is_excepted = is_plain && self.except.find(path).is_some();
        if is_excepted || is_known().is_some() {
            Ok(())
        } else {
            Err(self.challenge.clone())
        }
    }
}

impl User {
    fn new(user: &EdgeUser) -> Option<Self> {
        let (salt, hash) = user.password_hash.as_deref()?.split_once('$')?;
        Some(Self {
            name: user.name.clone(),
            salt: salt.to_owned(),
            hash: hash.to_owned(),
        })
    }

    fn has(&self, password: &str) -> bool {
        let found = hash(&self.salt, password);
        let differences = found.bytes().zip(self.hash.bytes());
        found.len() == self.hash.len() && differences.fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
    }
}

/// The hash of a password, hexadecimal: SHA-256 of the salt's text, a `$` and the password.
pub(super) fn hash(salt: &str, password: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(salt);
    digest.update("$");
    digest.update(password);
    format!("{:x}", digest.finalize())
}

/// Name and password of `Basic …`.
fn credentials(authorization: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(authorization).ok()?;
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_knows_the_password_comes_in() {
        let user = |name: &str, password_hash| EdgeUser {
            name: name.to_owned(),
            password: None,
            password_hash,
        };
        let auth = BasicAuth {
            realm: Some("a \"preview\"".to_owned()),
            users: vec![
                user(
                    "ann",
                    Some(format!("salt${}", hash("salt", "correct: horse"))),
                ),
                user("bob", None),
            ],
            except: vec!["/health".to_owned()],
        };
        let passwords = Passwords::new(&auth, "example");
        let check = |path: &str, scheme: &str, text: &str| {
            let header = format!("{scheme} {}", STANDARD.encode(text));
            passwords.check(path, Some(header.as_bytes())).is_ok()
        };
        assert!(check("/", "Basic", "ann:correct: horse"));
        assert!(check("/", "basic", "ann:correct: horse"));
        for (scheme, text) in [
            ("Basic", "ann:correct"),
            ("Basic", "ann:"),
            ("Basic", "bob:"),
            ("Basic", "eve:correct: horse"),
            ("Basic", "ann"),
            ("Bearer", "ann:correct: horse"),
        ] {
            assert!(!check("/", scheme, text), "{scheme} {text}");
            assert!(check("/health/now", scheme, text), "needs none");
        }
        assert!(passwords.check("/", Some(b"Basic !!!")).is_err());
        for path in [
            "/health/../secret",
            "/health/%2e%2e/secret",
            "/health//secret",
        ] {
            assert!(passwords.check(path, None).is_err(), "{path}");
        }
        assert_eq!(
            passwords.check("/", None).unwrap_err(),
            "Basic realm=\"a preview\", charset=\"UTF-8\""
        );
    }
}
