//! What `composer.json` and `composer.lock` say: packages, the PHP they want, its extensions.

use std::collections::BTreeSet;

use semver::Version;
use serde_json::Value;

use crate::{error::BuildError, source_tree::SourceTree, versions::NpmRange};

/// Extensions that are part of PHP's own packages here.
const BUILT_IN: &str = "calendar core ctype date exif ffi fileinfo filter ftp gettext hash iconv \
    json libxml mysqlnd opcache openssl pcntl pcre pdo phar posix random readline reflection session \
    shmop sockets sodium spl standard sysvmsg sysvsem sysvshm tokenizer zend-opcache zlib";
/// Extensions with a package of another name than their own, built with PHP itself.
const OTHER_NAMES: [(&str, &str); 15] = [
    ("dom", "xml"),
    ("mysqli", "mysql"),
    ("pdo_dblib", "sybase"),
    ("pdo_firebird", "interbase"),
    ("pdo_mysql", "mysql"),
    ("pdo_odbc", "odbc"),
    ("pdo_pgsql", "pgsql"),
    ("pdo_sqlite", "sqlite3"),
    ("simplexml", "xml"),
    ("xml", "xml"),
    ("xmlreader", "xml"),
    ("xmlwriter", "xml"),
    ("xsl", "xml"),
    ("pdo-mysql", "mysql"),
    ("pdo-pgsql", "pgsql"),
];
/// Extensions whose package is called as they are, built with PHP itself.
const OWN_NAMES: &str =
    "bcmath bz2 curl dba enchant gd gmp intl ldap mbstring odbc pgsql snmp soap sqlite3 tidy zip";
/// Extensions that Debian packages apart from PHP.
const APART: &str = "amqp apcu ast ds excimer gearman geoip gnupg grpc http igbinary imagick \
    mailparse maxminddb memcache memcached mongodb msgpack oauth pcov protobuf psr raphf redis rrd \
    smbclient solr ssh2 stomp uopz uploadprogress uuid xdebug xmlrpc yaml zmq";
/// What Heroku's PHP has without being asked.
const DEFAULTS: [&str; 7] = [
    "curl", "mbstring", "mysql", "pgsql", "sqlite3", "xml", "zip",
];

/// A `composer.json` with its lock; both empty for an app that has none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Composer {
    root: Value,
    lock: Value,
}

impl Composer {
    pub(super) fn read(tree: &SourceTree) -> Result<Self, BuildError> {
        let root = parse(tree, "composer.json")?;
        let lock = parse(tree, "composer.lock")?;
        let composer = Self { root, lock };
        if composer.lock.is_null() && composer.requirements().any(|name| name.contains('/')) {
            return Err(BuildError::Source {
                problem:
                    "composer.lock is missing: it says which version of each package is installed."
                        .to_owned(),
                advice: vec![
                    "hint: run `composer update`, and commit composer.lock; see that .gitignore"
                        .to_owned(),
                    "does not name it.".to_owned(),
                ],
            });
        }
        Ok(composer)
    }

    /// Whether there is anything for Composer to do.
    pub(super) fn is_used(&self) -> bool {
        self.root.as_object().is_some_and(|root| !root.is_empty())
    }

    /// Whether there are packages to install.
    pub(super) fn has_packages(&self) -> bool {
        self.lock["packages"]
            .as_array()
            .is_some_and(|packages| !packages.is_empty())
    }

    fn requirements(&self) -> impl Iterator<Item = &String> {
        self.root["require"]
            .as_object()
            .into_iter()
            .flat_map(serde_json::Map::keys)
    }

    /// What is asked for besides PHP packages, by the app or by one of its packages.
    fn extensions(&self) -> BTreeSet<String> {
        let packages = self.lock["packages"].as_array().into_iter().flatten();
        let required = packages.filter_map(|package| package["require"].as_object());
        let names = required
            .flat_map(serde_json::Map::keys)
            .chain(self.requirements());
        let extensions = names.filter_map(|name| name.strip_prefix("ext-"));
        extensions.map(str::to_ascii_lowercase).collect()
    }

    /// Debian packages of all extensions, for PHP `series` (`8.4`).
    ///
    /// # Errors
    /// When one is asked for that nobody packages.
    pub(super) fn packages(&self, series: &str) -> Result<Vec<String>, BuildError> {
        let mut packages: BTreeSet<String> = DEFAULTS
            .iter()
            .map(|name| format!("php{series}-{name}"))
            .collect();
        let has = |list: &str, name: &str| list.split_whitespace().any(|one| one == name);
        // Some packages stand in for an extension: Symfony's polyfills, for example.
        let provided = self.provided();
        for name in self.extensions() {
            let other = OTHER_NAMES.iter().find(|(extension, _)| *extension == name);
            if let Some((_, package)) = other {
                packages.insert(format!("php{series}-{package}"));
            } else if has(OWN_NAMES, &name) {
                packages.insert(format!("php{series}-{name}"));
            } else if has(APART, &name) {
                packages.insert(format!("php-{name}"));
            } else if !has(BUILT_IN, &name) && !provided.contains(&name) {
                return Err(BuildError::Source {
                    problem: format!(
                        "The PHP extension {name} (ext-{name}) is not available on this platform."
                    ),
                    advice: vec![
                        "composer.json, or a package in composer.lock, requires it.".to_owned(),
                        "hint: leave it out, or take a package that does without.".to_owned(),
                    ],
                });
            }
        }
        Ok(packages.into_iter().collect())
    }

    fn provided(&self) -> BTreeSet<String> {
        let packages = self.lock["packages"].as_array().into_iter().flatten();
        let lists = packages.flat_map(|package| [&package["provide"], &package["replace"]]);
        let names = lists
            .filter_map(Value::as_object)
            .flat_map(serde_json::Map::keys);
        names
            .filter_map(|name| name.strip_prefix("ext-"))
            .map(str::to_owned)
            .collect()
    }

    /// The PHP that is asked for, as it is written, and the file that says so.
    pub(super) fn php(&self) -> Option<(&str, &'static str)> {
        if let Some(text) = self.lock["platform"]["php"].as_str() {
            return Some((text, "composer.lock"));
        }
        let text = self.root["require"]["php"].as_str()?;
        Some((text, "composer.json"))
    }

    /// The directories of packages that are part of the source; `None` if that cannot be said.
    pub(super) fn paths(&self) -> Option<Vec<String>> {
        let mut paths = Vec::new();
        let repositories = match &self.root["repositories"] {
            Value::Array(list) => list.iter().collect(),
            Value::Object(map) => map.values().collect(),
            _ => Vec::new(),
        };
        for repository in repositories {
            let kind = repository["type"].as_str().unwrap_or_default();
            if !matches!(kind, "path" | "artifact") {
                continue;
            }
            let url = repository["url"].as_str()?;
            let url = url.strip_prefix("./").unwrap_or(url);
            let fixed = url.split('*').next().unwrap_or(url).trim_end_matches('/');
            if fixed.is_empty() || fixed.starts_with(['/', '.']) {
                return None;
            }
            paths.push(fixed.to_owned());
        }
        Some(paths)
    }
}

fn parse(tree: &SourceTree, path: &str) -> Result<Value, BuildError> {
    let Some(text) = tree.read_text(path) else {
        return Ok(Value::Null);
    };
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).map_err(|error| BuildError::Source {
        problem: format!("{path} cannot be read: {error}"),
        advice: vec!["hint: run `composer validate`.".to_owned()],
    })
}

/// Whether a version is one that a constraint of Composer's takes; `None` if it cannot be read here.
pub(super) fn takes(constraint: &str, version: &Version) -> Option<bool> {
    let mut alternatives = Vec::new();
    for alternative in constraint.replace("||", "|").split('|') {
        let words = alternative.replace(',', " ");
        let parts: Vec<String> = words.split_whitespace().map(as_npm).collect();
        alternatives.push(parts.join(" "));
    }
    let range = NpmRange::parse(&alternatives.join(" || "))?;
    Some(range.matches(version))
}

/// `~8.2` means up to 9 at Composer's, and up to 8.3 at npm's.
fn as_npm(part: &str) -> String {
    let part = part.split('@').next().unwrap_or(part);
    let part = part.strip_suffix("-dev").unwrap_or(part).replace('*', "x");
    let numbers = part
        .strip_prefix('~')
        .map(|rest| rest.split('.').collect::<Vec<_>>());
    match numbers.as_deref() {
        Some([_, _]) => part.replacen('~', "^", 1),
        _ => part,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    fn check_constraint(constraint: &str, inside: &[&str], outside: &[&str]) {
        for (versions, expected) in [(inside, true), (outside, false)] {
            for text in versions {
                let version = Version::parse(text).unwrap();
                assert_eq!(
                    takes(constraint, &version),
                    Some(expected),
                    "{text} in {constraint:?}"
                );
            }
        }
    }

    #[test]
    fn constraints() {
        check_constraint("^8.1", &["8.1.0", "8.4.28"], &["8.0.9", "9.0.0"]);
        check_constraint("~8.2", &["8.2.0", "8.4.1"], &["9.0.0", "8.1.0"]);
        check_constraint("~8.2.0", &["8.2.9"], &["8.3.0"]);
        check_constraint("8.3.*", &["8.3.9"], &["8.4.0"]);
        check_constraint("7.4.* || ^8.0", &["7.4.3", "8.4.0"], &["7.3.0"]);
        check_constraint("7.4|8.4", &["8.4.28"], &["8.3.0"]);
        check_constraint(">=8.1,<8.4", &["8.3.0"], &["8.4.0"]);
        check_constraint(">= 8.1 < 8.4", &["8.3.0"], &["8.4.0"]);
        check_constraint("*", &["8.4.0"], &[]);
        assert_eq!(takes("dev-main", &Version::new(8, 4, 0)), None);
    }

    fn packages_of(json: &str, lock: &str) -> String {
        let (_guard, tree) = source_of(&[("composer.json", json), ("composer.lock", lock)]);
        let found = Composer::read(&tree).and_then(|composer| composer.packages("8.4"));
        match found {
            Ok(packages) => {
                let is_more = |name: &&String| {
                    !DEFAULTS
                        .iter()
                        .any(|default| format!("php8.4-{default}") == **name)
                };
                packages
                    .iter()
                    .filter(is_more)
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(" ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn extensions_become_packages() {
        assert_eq!(packages_of("{}", ""), "");
        assert_eq!(
            packages_of(
                r#"{"require": {"ext-gd": "*", "ext-Redis": "*", "ext-json": "*"}}"#,
                ""
            ),
            "php-redis php8.4-gd"
        );
        let lock =
            r#"{"packages": [{"name": "a/b", "require": {"ext-intl": "*", "ext-dom": "*"}}]}"#;
        assert_eq!(
            packages_of(r#"{"require": {"a/b": "1"}}"#, lock),
            "php8.4-intl"
        );
        assert_eq!(
            packages_of(r#"{"require": {"ext-oci8": "*"}}"#, ""),
            "The PHP extension oci8 (ext-oci8) is not available on this platform."
        );
        assert_eq!(
            packages_of(r#"{"require": {"a/b": "1"}}"#, ""),
            "composer.lock is missing: it says which version of each package is installed."
        );
        assert!(packages_of("{", "").starts_with("composer.json cannot be read: EOF"));
    }
}
