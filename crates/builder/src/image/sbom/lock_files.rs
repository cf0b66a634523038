//! Lock files of languages whose packages are compiled into the app: one file, many packages.

use std::path::Path;

use serde_json::Value;

use super::{Package, read};

/// The packages that this file pins, if it is a lock file.
pub(super) fn packages(path: &Path) -> Vec<Package> {
    let read: fn(&str) -> Vec<Package> = match path.file_name().and_then(|name| name.to_str()) {
        Some("Cargo.lock") => cargo,
        Some("composer.lock") => composer,
        Some("go.mod") => go,
        _ => return Vec::new(),
    };
    self::read(path).map_or_else(Vec::new, |text| read(&text))
}

fn cargo(text: &str) -> Vec<Package> {
    let Ok(lock) = text.parse::<toml::Table>() else {
        return Vec::new();
    };
    let listed = lock.get("package").and_then(toml::Value::as_array);
    // A package without a source is the app's own.
    let outside = listed
        .into_iter()
        .flatten()
        .filter(|package| package.get("source").is_some());
    let package = |package: &toml::Value| {
        let text = |name| package.get(name).and_then(toml::Value::as_str);
        Package::new("cargo", text("name")?, text("version")?)
    };
    outside.filter_map(package).collect()
}

fn composer(text: &str) -> Vec<Package> {
    let lock: Value = serde_json::from_str(text).unwrap_or_default();
    let listed = lock["packages"].as_array().into_iter().flatten();
    let package = |package: &Value| {
        Package::new(
            "composer",
            package["name"].as_str()?,
            package["version"].as_str()?,
        )
    };
    listed.filter_map(package).collect()
}

/// `require NAME VERSION`, alone or in a block. Modules that are replaced are listed as required.
fn go(text: &str) -> Vec<Package> {
    let mut packages = Vec::new();
    let mut is_in_block = false;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        let required = if is_in_block {
            if line == ")" {
                is_in_block = false;
                continue;
            }
            line
        } else if let Some(rest) = line.strip_prefix("require") {
            let rest = rest.trim();
            if rest == "(" {
                is_in_block = true;
                continue;
            }
            rest
        } else {
            continue;
        };
        if let Some((name, version)) = required.split_once(char::is_whitespace) {
            packages.extend(Package::new("golang", name, version.trim()));
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purls(packages: Vec<Package>) -> Vec<String> {
        packages.into_iter().map(|package| package.purl).collect()
    }

    #[test]
    fn go_requirements() {
        let text = "module example.test/app\n\ngo 1.25\n\nrequire example.test/one v1.2.3\n\
                    require (\n\tgithub.com/a/b v0.1.0 // indirect\n\n)\nreplace x => y v1.0.0\n";
        assert_eq!(
            purls(go(text)),
            [
                "pkg:golang/example.test/one@v1.2.3",
                "pkg:golang/github.com/a/b@v0.1.0"
            ]
        );
    }

    #[test]
    fn cargo_packages_but_the_apps_own() {
        let text = "version = 4\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\n[[package]]\n\
                    name = \"serde\"\nversion = \"1.0.1\"\nsource = \"registry+x\"\n";
        assert_eq!(purls(cargo(text)), ["pkg:cargo/serde@1.0.1"]);
        assert!(cargo("not [ toml").is_empty());
    }

    #[test]
    fn composer_packages() {
        let text = r#"{"packages":[{"name":"monolog/monolog","version":"3.9.0"}]}"#;
        assert_eq!(
            purls(composer(text)),
            ["pkg:composer/monolog/monolog@3.9.0"]
        );
        assert!(composer("[").is_empty());
    }
}
