//! Which versions builds have found where, as they last looked: the catalogues they keep.
//!
//! A catalogue's answer has one of few forms, told apart here by what is in it. Read [`reachable`].

use std::{collections::BTreeMap, fs, io, path::Path};

use api::clock::Time;
use serde::Deserialize;
use serde_json::Value;

use super::directory;

/// Longest catalogue that is read, in bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Catalogues of something else than languages.
const OTHERS: [&str; 2] = ["debian", "npm"];

/// What one source has of a language.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reachable {
    /// `python`
    pub language: String,
    /// `stack`, a suite of Debian's such as `forky`, a package of the npm registry, or `upstream`.
    pub source: String,
    /// In the source's own order, mostly the newest last.
    pub versions: Vec<String>,
    /// When a build looked.
    pub at: Time,
}

#[derive(Deserialize)]
struct Dated {
    at: Time,
    answer: Value,
}

/// What builds of this machine have found, by language; nothing of languages that were never built.
///
/// # Errors
/// When the cache cannot be read. A catalogue that cannot is left out.
pub fn reachable(cache: &Path) -> io::Result<Vec<Reachable>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(directory(cache)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(language) = language_of(&name) else {
            continue;
        };
        let is_short = entry.metadata()?.len() <= MAX_BYTES;
        let dated = is_short.then(|| fs::read(entry.path()).ok()).flatten();
        let dated: Option<Dated> = dated.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(Dated { at, answer }) = dated {
            let offers = offers(&answer).into_iter();
            found.extend(offers.map(|(source, versions)| Reachable {
                language: language.clone(),
                source,
                versions,
                at,
            }));
        }
    }
    found.sort();
    Ok(found)
}

/// `catalogue-Java-landfall-13-stack.json` → `java`.
fn language_of(name: &str) -> Option<String> {
    let rest = name.strip_prefix("catalogue-")?.strip_suffix(".json")?;
    let language = rest.split('-').next()?.to_lowercase();
    (!OTHERS.contains(&language.as_str())).then_some(language)
}

/// Source → versions.
fn offers(answer: &Value) -> BTreeMap<String, Vec<String>> {
    let mut offers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let pairs = match answer {
        // Packages of suites.
        Value::Array(packages) => packages.iter().filter_map(package).collect(),
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(field, value)| versions(field, value))
            .collect(),
        _ => Vec::new(),
    };
    for (source, version) in pairs {
        let versions = offers.entry(source).or_default();
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    offers
}

fn package(package: &Value) -> Option<(String, String)> {
    let suite = text(package, "suite").unwrap_or("stack").to_owned();
    let (name, version) = (text(package, "name")?, text(package, "version")?);
    Some((suite, format!("{name} {version}")))
}

/// What a field of an answer says: a version, or a list of them.
fn versions(field: &str, value: &Value) -> Vec<(String, String)> {
    match value {
        Value::String(version) if field == "stack" => vec![("stack".to_owned(), version.clone())],
        Value::String(version) if field == "version" => {
            vec![("upstream".to_owned(), version.clone())]
        }
        Value::Array(listed) => {
            let one = |one: &Value| {
                let source = text(one, "suite").unwrap_or(field).to_owned();
                let version = one.as_str().or_else(|| text(one, "version"))?;
                Some((source, version.to_owned()))
            };
            listed.iter().filter_map(one).collect()
        }
        _ => Vec::new(),
    }
}

fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(answer: &Value, expected: &[(&str, &[&str])]) {
        let found = offers(answer);
        let found: Vec<(&str, Vec<&str>)> = found
            .iter()
            .map(|(source, versions)| {
                (
                    source.as_str(),
                    versions.iter().map(String::as_str).collect(),
                )
            })
            .collect();
        let expected: Vec<(&str, Vec<&str>)> = expected
            .iter()
            .map(|(source, versions)| (*source, versions.to_vec()))
            .collect();
        assert_eq!(found, expected, "{answer}");
    }

    #[test]
    fn every_form_of_a_catalogue_is_read() {
        let debian =
            json!([{"version": "3.14.8", "package_version": "3.14.8-1", "suite": "forky"}]);
        check(
            &json!({"stack": "3.13.5", "debian": debian, "upstream": ["3.12.1", "3.12.2"]}),
            &[
                ("forky", &["3.14.8"]),
                ("stack", &["3.13.5"]),
                ("upstream", &["3.12.1", "3.12.2"]),
            ],
        );
        check(
            &json!([{"name": "openjdk-21-jdk", "version": "21.0.5", "suite": "sid"},
                {"name": "maven", "version": "3.9.9", "suite": "stack"}]),
            &[
                ("sid", &["openjdk-21-jdk 21.0.5"]),
                ("stack", &["maven 3.9.9"]),
            ],
        );
        check(
            &json!({"node": [{"version": "22.1.0", "url": "https://registry.example/x"}]}),
            &[("node", &["22.1.0"])],
        );
        check(
            &json!({"date": "2025-03-18", "version": "1.85.1"}),
            &[("upstream", &["1.85.1"])],
        );
        check(&json!("https://registry.example/"), &[]);
    }

    #[test]
    fn catalogues_of_the_cache_are_found_and_torn_ones_left_out() {
        let cache = tempfile::tempdir().unwrap();
        assert_eq!(reachable(cache.path()).unwrap(), []);
        let folder = directory(cache.path());
        fs::create_dir(&folder).unwrap();
        let dated = r#"{"at": 5, "answer": {"stack": "1.24.4", "upstream": []}}"#;
        for (name, content) in [
            ("catalogue-Go-x86_64-1.json", dated),
            ("catalogue-debian-landfall-13-1.json", dated),
            ("catalogue-rust.json", "{"),
            ("java-21-landfall-13-x86_64.tar.gz", "x"),
        ] {
            fs::write(folder.join(name), content).unwrap();
        }
        let go = Reachable {
            language: "go".to_owned(),
            source: "stack".to_owned(),
            versions: vec!["1.24.4".to_owned()],
            at: Time::from_micros(5),
        };
        assert_eq!(reachable(cache.path()).unwrap(), [go]);
    }
}
