//! The links of the published hyper-schema, with what each takes and answers written out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use serde_json::{Map, Value, json};

/// Names of properties by which a resource is named as a whole.
const IDENTITIES: &[&str] = &[
    "id",
    "identity",
    "name",
    "pcx_id",
    "query_identity",
    "scopedIdentity",
    "user_identity",
];
/// Longest chain of references.
const DEEPEST: usize = 24;

/// One link.
#[derive(Debug)]
pub(super) struct Link {
    /// `app POST /apps/{app}/acm`; a second of the same words ends in ` (2)`.
    pub(super) key: String,
    pub(super) resource: String,
    pub(super) method: http::Method,
    /// With `{app}` for the app's identity, and `{archive.year}` for what is no identity.
    pub(super) path: String,
    /// What a request's body must be.
    pub(super) body: Option<Value>,
    /// What the answer is.
    pub(super) answer: Option<Value>,
    /// Whether it answers a list, a part at a time.
    pub(super) is_list: bool,
}

impl Link {
    /// The parameters of the path, in order.
    pub(super) fn parameters(&self) -> Vec<&str> {
        parameters(&self.path)
    }
}

/// What stands in braces, in order.
pub(super) fn parameters(path: &str) -> Vec<&str> {
    let pieces = path.split('{').skip(1);
    pieces.filter_map(|piece| piece.split('}').next()).collect()
}

/// All links, in the order of the published file.
pub(super) fn published() -> Vec<Link> {
    let schema: Value = serde_json::from_str(api::published::HYPER_SCHEMA).unwrap();
    let mut keys = BTreeSet::new();
    let mut links = Vec::new();
    for (resource, definition) in schema["definitions"].as_object().unwrap() {
        for link in definition["links"].as_array().into_iter().flatten() {
            let mut link = read(&schema, resource, link);
            let plain = link.key.clone();
            let mut times = 1;
            while !keys.insert(link.key.clone()) {
                times += 1;
                link.key = format!("{plain} ({times})");
            }
            links.push(link);
        }
    }
    links
}

fn read(schema: &Value, resource: &str, link: &Value) -> Link {
    let method: http::Method = link["method"].as_str().unwrap().parse().unwrap();
    let path = plain_path(link["href"].as_str().unwrap());
    let written_out = |name: &str| {
        let part = link.get(name).filter(|part| !part.is_null())?;
        Some(write_out(schema, part, 0))
    };
    let answer = written_out("targetSchema");
    let is_list = answer
        .as_ref()
        .is_some_and(|answer| answer["items"].is_object());
    Link {
        key: format!("{resource} {method} {path}"),
        resource: resource.to_owned(),
        method,
        path,
        body: written_out("schema"),
        answer,
        is_list,
    }
}

/// `/apps/{(%23%2Fdefinitions%2Fapp%2Fdefinitions%2Fidentity)}` as `/apps/{app}`.
fn plain_path(href: &str) -> String {
    let href = href.replace("%23", "#").replace("%2F", "/");
    let mut path = String::new();
    for (index, piece) in href.split("{(#/definitions/").enumerate() {
        let Some((reference, rest)) = piece.split_once(")}").filter(|_| index > 0) else {
            path.push_str(piece);
            continue;
        };
        let (resource, name) = reference.split_once("/definitions/").unwrap();
        let parameter = if IDENTITIES.contains(&name) {
            resource.to_owned()
        } else {
            format!("{resource}.{name}")
        };
        write!(path, "{{{parameter}}}{rest}").unwrap();
    }
    path
}

/// A schema without references. What stands beside one is part of it, as publishers mean it.
fn write_out(schema: &Value, part: &Value, depth: usize) -> Value {
    assert!(depth < DEEPEST, "references go in a circle: {part}");
    match part {
        Value::Object(properties) => {
            let mut written: Map<String, Value> = Map::new();
            for (name, value) in properties {
                match (name.as_str(), value.as_str()) {
                    ("$ref", Some(reference)) => {
                        let found = write_out(schema, find(schema, reference), depth + 1);
                        written.extend(found.as_object().cloned().unwrap_or_default());
                    }
                    ("definitions" | "links", _) => {}
                    _ => {
                        written.insert(name.clone(), write_out(schema, value, depth));
                    }
                }
            }
            Value::Object(written)
        }
        Value::Array(items) => items
            .iter()
            .map(|item| write_out(schema, item, depth))
            .collect(),
        other => other.clone(),
    }
}

fn find<'a>(schema: &'a Value, reference: &str) -> &'a Value {
    // A slip of the published file, which has no `dyno_size`.
    let mended = reference.replace("#/definitions/dyno_size/", "#/definitions/dyno-size/");
    let pointer = mended.strip_prefix('#').unwrap();
    schema
        .pointer(pointer)
        .unwrap_or_else(|| panic!("nothing at {reference}"))
}

/// A body of the wrong type for each property in turn, everything required present.
pub(super) fn wrong_bodies(schema: &Value) -> Vec<Value> {
    let properties: BTreeMap<&String, &Value> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .collect();
    let wrong = |types: &Value| {
        let is = |kind: &str| {
            types
                .as_array()
                .is_some_and(|types| types.contains(&json!(kind)))
        };
        match (is("object"), is("array")) {
            (true, false) => json!([1]),
            (false, true) => json!({ "0": 1 }),
            _ => json!([{ "deep": [1] }]),
        }
    };
    let mut bodies = vec![json!([]), json!("text"), json!(1)];
    for (name, property) in properties {
        if property["type"].is_array() {
            bodies.push(json!({ name.clone(): wrong(&property["type"]) }));
        }
    }
    bodies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_links_are_read() {
        let links = published();
        assert_eq!(links.len(), 305);
        let keys: BTreeSet<&str> = links.iter().map(|link| link.key.as_str()).collect();
        for key in [
            "app POST /apps/{app}/acm",
            "archive GET /enterprise-accounts/{enterprise-account}/archives/{archive.year}/{archive.month}",
            "release POST /apps/{app}/releases (2)",
        ] {
            assert!(keys.contains(key), "{key}");
        }
        let app = links
            .iter()
            .find(|link| link.key == "app GET /apps/{app}")
            .unwrap();
        let owner = &app.answer.as_ref().unwrap()["properties"]["owner"]["properties"];
        assert_eq!(owner["email"]["format"], "email");
    }
}
