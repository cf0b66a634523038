//! Calling links, judging the answers, keeping count.

use std::{collections::BTreeMap, fmt::Write as _};

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    checker::{Side, faults},
    links::{Link, parameters},
};
use crate::http::harness::{Answer, Harness, TOKEN};

/// How a router says that it has no such route.
const NO_ROUTE: &str = "The requested API endpoint was not found.";
/// Properties of the published shapes that are left out here, by link's resource, and why.
const LEFT_OUT: &[(&str, &str, &str)] = &[(
    "oauth-authorization",
    "`client` is required",
    "a description alone can be changed",
)];

/// How a link answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Conforms,
    /// An error that names what is missing, with its message.
    Refused(String),
    /// No route, or another answer than is published, with what is wrong.
    Missing(String),
}

/// The walk over all links: what was made on the way, and how each link answered.
pub(super) struct Run<'a> {
    pub(super) harness: &'a Harness,
    pub(super) links: Vec<Link>,
    /// What stands for a parameter of a path: `app` → `example`.
    names: BTreeMap<String, String>,
    outcomes: BTreeMap<String, Outcome>,
}

impl<'a> Run<'a> {
    pub(super) fn new(harness: &'a Harness, links: Vec<Link>) -> Self {
        Self {
            harness,
            links,
            names: BTreeMap::new(),
            outcomes: BTreeMap::new(),
        }
    }

    /// From now on `value` stands for a parameter.
    pub(super) fn name(&mut self, parameter: &str, value: &str) {
        self.names.insert(parameter.to_owned(), value.to_owned());
    }

    /// What stands for a parameter now.
    pub(super) fn named(&self, parameter: &str) -> String {
        self.names.get(parameter).cloned().unwrap_or_default()
    }

    /// Calls a link without a body; see [`Run::send`].
    pub(super) async fn call(&mut self, key: &str) -> Value {
        self.send(key, Value::Null).await
    }

    /// Calls a link with a body, judges and counts the answer, and gives back its JSON. The id of
    /// what was made stands for the resource from now on.
    pub(super) async fn send(&mut self, key: &str, body: Value) -> Value {
        let link = self.link(key);
        let (method, path) = (link.method.clone(), self.filled(&link.path));
        let mut wrong = match (&link.body, &body) {
            (Some(schema), body) if !body.is_null() => faults(body, schema, Side::Request),
            (None, body) if !body.is_null() => vec!["no body is published".to_owned()],
            _ => Vec::new(),
        };
        for fault in &mut wrong {
            *fault = format!("the test's own body: {fault}");
        }
        let answer = self.ask(&method, &path, &body).await;
        let link = self.link(key);
        let outcome = judge(link, &answer, wrong);
        let (resource, key) = (link.resource.clone(), link.key.clone());
        let json: Value = serde_json::from_str(&answer.text).unwrap_or_default();
        if method == Method::POST
            && answer.status.is_success()
            && let Some(id) = json["id"].as_str()
        {
            self.names.insert(resource, id.to_owned());
        }
        let worst = self.outcomes.remove(&key).max(Some(outcome));
        self.outcomes.extend(worst.map(|worst| (key, worst)));
        json
    }

    /// Calls every link that was not called yet, as if nothing stood for what was not made.
    pub(super) async fn rest(&mut self) {
        let keys: Vec<String> = self.links.iter().map(|link| link.key.clone()).collect();
        for key in keys {
            if !self.outcomes.contains_key(&key) {
                let body = match self.link(&key).body {
                    Some(_) => json!({}),
                    None => Value::Null,
                };
                self.send(&key, body).await;
            }
        }
    }

    /// How every link answered, in the order of the published file.
    pub(super) fn outcomes(&self) -> Vec<(&Link, Outcome)> {
        let untried = || Outcome::Missing("nobody called it".to_owned());
        self.links
            .iter()
            .map(|link| {
                (
                    link,
                    self.outcomes
                        .get(&link.key)
                        .cloned()
                        .unwrap_or_else(untried),
                )
            })
            .collect()
    }

    /// Asks as the platform's first account.
    pub(super) async fn ask(&self, method: &Method, path: &str, body: &Value) -> Answer {
        let request = Harness::request(method.clone(), path, TOKEN);
        let body = if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        };
        self.harness.send(request.body(body).unwrap()).await
    }

    /// A path with what stands for its parameters, or with what cannot be anything.
    pub(super) fn filled(&self, path: &str) -> String {
        let mut path = path.to_owned();
        for parameter in parameters(&path.clone()) {
            let named = self.named(parameter);
            let value = match named.as_str() {
                "" => "00000000-0000-4000-8000-000000000000",
                named => named,
            };
            path = path.replace(&format!("{{{parameter}}}"), &escape(value));
        }
        path
    }

    fn link(&self, key: &str) -> &Link {
        let found = self.links.iter().find(|link| link.key == key);
        found.unwrap_or_else(|| panic!("no link {key}"))
    }
}

/// As a segment of a path.
fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").unwrap();
        }
        escaped
    })
}

fn judge(link: &Link, answer: &Answer, mut wrong: Vec<String>) -> Outcome {
    if !answer.status.is_success() {
        return judge_refusal(answer);
    }
    wrong.extend(wrong_headers(link, answer));
    if let Some(schema) = &link.answer {
        match serde_json::from_str::<Value>(&answer.text) {
            Ok(json) => wrong.extend(faults(&json, schema, Side::Answer)),
            Err(_) => wrong.push(format!("not JSON: {}", answer.text)),
        }
    }
    wrong.retain(|fault| {
        !LEFT_OUT
            .iter()
            .any(|(resource, part, _)| *resource == link.resource && fault.contains(part))
    });
    if wrong.is_empty() {
        Outcome::Conforms
    } else {
        Outcome::Missing(wrong.join("; "))
    }
}

/// What is wrong with status and headers of a success.
fn wrong_headers(link: &Link, answer: &Answer) -> Vec<String> {
    let mut wrong = Vec::new();
    let statuses: &[StatusCode] = match link.method {
        Method::POST => &[StatusCode::CREATED, StatusCode::OK, StatusCode::ACCEPTED],
        Method::GET if link.is_list => &[StatusCode::OK, StatusCode::PARTIAL_CONTENT],
        _ => &[StatusCode::OK, StatusCode::ACCEPTED],
    };
    if !statuses.contains(&answer.status) {
        wrong.push(format!("status {}", answer.status));
    }
    if answer.header("content-type") != "application/json" {
        wrong.push(format!("content-type {:?}", answer.header("content-type")));
    }
    if answer.header("request-id").parse::<uuid::Uuid>().is_err() {
        wrong.push("no request-id".to_owned());
    }
    if answer.header("ratelimit-remaining").parse::<u32>().is_err() {
        wrong.push("no ratelimit-remaining".to_owned());
    }
    if link.method == Method::GET && answer.header("etag").is_empty() {
        wrong.push("no etag".to_owned());
    }
    if link.method == Method::GET && link.is_list && answer.header("accept-ranges").is_empty() {
        wrong.push("no accept-ranges".to_owned());
    }
    wrong
}

fn judge_refusal(answer: &Answer) -> Outcome {
    let body: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    let (id, message) = (body["id"].as_str(), body["message"].as_str());
    let (Some(_), Some(message)) = (id, message) else {
        return Outcome::Missing(format!("{} without words: {}", answer.status, answer.text));
    };
    let is_honest = matches!(
        answer.status,
        StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY
    );
    if message.starts_with(NO_ROUTE) {
        Outcome::Missing("no such route".to_owned())
    } else if is_honest {
        Outcome::Refused(message.to_owned())
    } else {
        Outcome::Missing(format!("{} {message}", answer.status))
    }
}
