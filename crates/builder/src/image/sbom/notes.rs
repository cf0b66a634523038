//! Notes that package managers leave beside what they install: one file, one package.

use std::path::Path;

use serde_json::Value;

use super::{Package, field, read};

/// The package that this file is about, if it is such a note.
pub(super) fn package(path: &Path) -> Option<Package> {
    let name = path.file_name()?.to_str()?;
    let folder = path.parent()?;
    match name {
        "METADATA" if extension(folder) == Some("dist-info") => python(&read(path)?),
        "PKG-INFO" if extension(folder) == Some("egg-info") => python(&read(path)?),
        "package.json" if is_installed_module(folder) => node(&read(path)?),
        _ if extension(path) == Some("gemspec") && is_named(folder, "specifications") => {
            ruby(path.file_stem()?.to_str()?)
        }
        _ => None,
    }
}

fn extension(path: &Path) -> Option<&str> {
    path.extension()?.to_str()
}

fn is_named(folder: &Path, name: &str) -> bool {
    folder.file_name().is_some_and(|found| found == name)
}

/// `node_modules/express` and `node_modules/@types/node`, but no directory of theirs.
fn is_installed_module(folder: &Path) -> bool {
    let Some(parent) = folder.parent() else {
        return false;
    };
    let is_scope = parent
        .file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"@"));
    let above = if is_scope {
        parent.parent()
    } else {
        Some(parent)
    };
    above.is_some_and(|above| is_named(above, "node_modules"))
}

fn python(text: &str) -> Option<Package> {
    let head = text.split("\n\n").next()?;
    let name = field(head, "Name")?.to_ascii_lowercase().replace('_', "-");
    Package::new("pypi", &name, field(head, "Version")?)
}

fn node(text: &str) -> Option<Package> {
    let value: Value = serde_json::from_str(text).ok()?;
    Package::new("npm", value["name"].as_str()?, value["version"].as_str()?)
}

/// `rack-3.1.8`, `nokogiri-1.18.0-x86_64-linux-gnu`.
fn ruby(stem: &str) -> Option<Package> {
    let starts_version = |part: &str| part.starts_with(|letter: char| letter.is_ascii_digit());
    let parts: Vec<&str> = stem.split('-').collect();
    let at = parts.iter().skip(1).position(|part| starts_version(part))? + 1;
    Package::new("gem", &parts.get(..at)?.join("-"), parts.get(at)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, content: &str, expected: Option<&str>) {
        let root = tempfile::tempdir().unwrap();
        let full = root.path().join(path);
        std::fs::create_dir_all(full.parent().unwrap()).unwrap();
        std::fs::write(&full, content).unwrap();
        let purl = package(&full).map(|package| package.purl);
        assert_eq!(purl.as_deref(), expected, "{path}");
    }

    #[test]
    fn each_kind_of_note() {
        check(
            "lib/python3.13/site-packages/Django-5.2.dist-info/METADATA",
            "Metadata-Version: 2.4\nName: Django\nVersion: 5.2\n\nName: not this\n",
            Some("pkg:pypi/django@5.2"),
        );
        let node = r#"{"name":"@types/node","version":"22.1.0"}"#;
        let purl = Some("pkg:npm/%40types/node@22.1.0");
        check("node_modules/@types/node/package.json", node, purl);
        check("node_modules/@types/node/dist/package.json", node, None);
        check("package.json", node, None);
        check(
            "vendor/bundle/ruby/3.4.0/specifications/nokogiri-1.18.0-x86_64-linux-gnu.gemspec",
            "",
            Some("pkg:gem/nokogiri@1.18.0"),
        );
        check("node_modules/x/package.json", "{", None);
    }
}
