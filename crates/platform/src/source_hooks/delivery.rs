//! What a code host delivers: whether it is signed, what it is about, and what to do. Pure.
//!
//! Nothing of a body is looked at before its signature is found good.

use api::source_hooks::Sender;
use http::HeaderMap;
use ring::{digest, hmac};
use serde::Deserialize;

/// A request of a code host.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, to the byte.
    pub body: Vec<u8>,
}

/// What a delivery that is signed comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A push to the branch: build it.
    Deploy { commit: String },
    /// Nothing is to be done, and why.
    Nothing(String),
    /// It makes no sense.
    Unreadable,
}

/// What all senders call alike in the body of a push.
#[derive(Deserialize)]
struct Push {
    #[serde(rename = "ref")]
    reference: String,
    after: String,
}

impl Delivery {
    /// Whether it was sent by somebody who knows the secret. Takes as long wherever it differs.
    pub(super) fn is_signed(&self, sender: Sender, secret: &str) -> bool {
        match sender {
            Sender::Github => {
                let signature = self.header("x-hub-signature-256");
                signature
                    .and_then(|text| text.strip_prefix("sha256="))
                    .is_some_and(|tag| self.has_tag(secret, tag))
            }
            Sender::Gitea => {
                let forgejo = self.header("x-forgejo-signature");
                let signature = forgejo.or_else(|| self.header("x-gitea-signature"));
                signature.is_some_and(|tag| self.has_tag(secret, tag))
            }
            Sender::Gitlab => self
                .header("x-gitlab-token")
                .is_some_and(|token| is_same(token, secret)),
        }
    }

    fn has_tag(&self, secret: &str, tag: &str) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        unhex(tag).is_some_and(|tag| hmac::verify(&key, &self.body, &tag).is_ok())
    }

    /// By which it is known again: the sender's own id and, where the body is signed but the id is
    /// not, the body.
    pub(super) fn names(&self, sender: Sender) -> Vec<String> {
        let headers: &[&str] = match sender {
            Sender::Github => &["x-github-delivery"],
            Sender::Gitea => &["x-forgejo-delivery", "x-gitea-delivery"],
            Sender::Gitlab => &["idempotency-key", "x-gitlab-event-uuid"],
        };
        let id = headers.iter().find_map(|name| self.header(name));
        let id = id.filter(|id| id.len() <= 100).map(|id| format!("id {id}"));
        let body = (sender != Sender::Gitlab).then(|| {
            let hash = digest::digest(&digest::SHA256, &self.body);
            format!("body {}", hex(hash.as_ref()))
        });
        body.into_iter().chain(id).collect()
    }

    /// What is to be done, for an app that is deployed from `branch`.
    pub(super) fn verdict(&self, sender: Sender, branch: &str) -> Verdict {
        let event = match sender {
            Sender::Github => self.header("x-github-event"),
            Sender::Gitlab => self.header("x-gitlab-event"),
            Sender::Gitea => self
                .header("x-forgejo-event")
                .or_else(|| self.header("x-gitea-event")),
        };
        let pushed = if sender == Sender::Gitlab {
            "Push Hook"
        } else {
            "push"
        };
        match event {
            Some("ping") => return Verdict::Nothing("This hook works.".to_owned()),
            Some(event) if event != pushed => {
                return Verdict::Nothing("Only pushes are deployed.".to_owned());
            }
            None => return Verdict::Unreadable,
            Some(_) => {}
        }
        let Ok(push) = serde_json::from_slice::<Push>(&self.body) else {
            return Verdict::Unreadable;
        };
        let is_commit = matches!(push.after.len(), 40 | 64)
            && push.after.bytes().all(|byte| byte.is_ascii_hexdigit());
        if push.reference.strip_prefix("refs/heads/") != Some(branch) {
            return Verdict::Nothing(format!("Only pushes to {branch} are deployed."));
        }
        if !is_commit {
            return Verdict::Unreadable;
        }
        if push.after.bytes().all(|byte| byte == b'0') {
            return Verdict::Nothing(format!("{branch} was removed; what runs goes on."));
        }
        Verdict::Deploy { commit: push.after }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Compares what both are under one key, so that the time tells nothing of either.
fn is_same(shown: &str, secret: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let expected = hmac::sign(&key, secret.as_bytes());
    hmac::verify(&key, shown.as_bytes(), expected.as_ref()).is_ok()
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.len() == 2)?;
        let is_hex = pair.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
    };
    pairs.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "it is a secret to everybody";
    const COMMIT: &str = "9049f1265b7d61be4a8904a9a27120d2064dab3b";

    fn delivery(headers: &[(&'static str, &str)], body: &str) -> Delivery {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()));
        Delivery {
            headers: headers.collect(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn tag(body: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        hex(hmac::sign(&key, body.as_bytes()).as_ref())
    }

    fn push(reference: &str, after: &str) -> String {
        format!(r#"{{"ref":"{reference}","before":"{COMMIT}","after":"{after}","commits":[]}}"#)
    }

    #[test]
    fn each_sender_proves_itself_its_own_way() {
        let body = push("refs/heads/main", COMMIT);
        let tag = tag(&body);
        let prefixed = format!("sha256={tag}");
        for (sender, name, value) in [
            (Sender::Github, "x-hub-signature-256", prefixed.as_str()),
            (Sender::Gitea, "x-gitea-signature", &tag),
            (Sender::Gitea, "x-forgejo-signature", &tag),
            (Sender::Gitlab, "x-gitlab-token", SECRET),
        ] {
            let good = delivery(&[(name, value)], &body);
            assert!(good.is_signed(sender, SECRET), "{name}");
            assert!(!good.is_signed(sender, "another"), "{name}");
            assert!(!delivery(&[], &body).is_signed(sender, SECRET), "{name}");
            let cut = value.get(1..).unwrap();
            assert!(
                !delivery(&[(name, cut)], &body).is_signed(sender, SECRET),
                "{name}"
            );
            if sender != Sender::Gitlab {
                let other = delivery(&[(name, value)], &push("refs/heads/main", "0"));
                assert!(!other.is_signed(sender, SECRET), "{name}");
            }
        }
        // The value that GitHub's documentation gives for its example.
        let example = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let example = delivery(&[("x-hub-signature-256", example)], "Hello, World!");
        assert!(example.is_signed(Sender::Github, "It's a Secret to Everybody"));
        // A bad signature is not made good by another header.
        let both = [
            ("x-forgejo-signature", "00"),
            ("x-gitea-signature", tag.as_str()),
        ];
        assert!(!delivery(&both, &body).is_signed(Sender::Gitea, SECRET));
    }

    fn check(sender: Sender, event: (&'static str, &str), body: &str, expected: &Verdict) {
        let verdict = delivery(&[event], body).verdict(sender, "main");
        assert_eq!(&verdict, expected, "{event:?} {body}");
    }

    #[test]
    fn only_pushes_to_the_branch_deploy() {
        let deploy = Verdict::Deploy {
            commit: COMMIT.to_owned(),
        };
        let nothing = |text: &str| Verdict::Nothing(text.to_owned());
        for (sender, event) in [
            (Sender::Github, ("x-github-event", "push")),
            (Sender::Gitlab, ("x-gitlab-event", "Push Hook")),
            (Sender::Gitea, ("x-gitea-event", "push")),
            (Sender::Gitea, ("x-forgejo-event", "push")),
        ] {
            check(sender, event, &push("refs/heads/main", COMMIT), &deploy);
            let other = nothing("Only pushes to main are deployed.");
            check(sender, event, &push("refs/heads/mainline", COMMIT), &other);
            check(sender, event, &push("refs/tags/main", COMMIT), &other);
            let removed = nothing("main was removed; what runs goes on.");
            check(
                sender,
                event,
                &push("refs/heads/main", &"0".repeat(40)),
                &removed,
            );
            check(
                sender,
                event,
                &push("refs/heads/main", "main"),
                &Verdict::Unreadable,
            );
            check(sender, event, "payload=%7B%7D", &Verdict::Unreadable);
        }
        let ping = nothing("This hook works.");
        check(Sender::Github, ("x-github-event", "ping"), "{}", &ping);
        let other = nothing("Only pushes are deployed.");
        check(Sender::Github, ("x-github-event", "issues"), "{}", &other);
        check(
            Sender::Gitlab,
            ("x-gitlab-event", "Tag Push Hook"),
            "{}",
            &other,
        );
        check(
            Sender::Gitea,
            ("x-other", "push"),
            "{}",
            &Verdict::Unreadable,
        );
    }

    #[test]
    fn a_signed_body_is_known_again_under_any_id() {
        let body = push("refs/heads/main", COMMIT);
        let first = delivery(&[("x-github-delivery", "one")], &body);
        let again = delivery(&[("x-github-delivery", "two")], &body);
        let (first, again) = (first.names(Sender::Github), again.names(Sender::Github));
        assert_eq!(first[0], again[0]);
        assert_eq!(first[1], "id one");
        let gitlab = delivery(&[("idempotency-key", "one")], &body);
        assert_eq!(gitlab.names(Sender::Gitlab), ["id one"]);
    }
}
