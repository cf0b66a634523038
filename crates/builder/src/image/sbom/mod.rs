//! What an image is made of, as `CycloneDX` 1.6 JSON: the stack's packages, and those that language
//! package managers left notes of in the slug's layers.
//!
//! Each kind of note has a file here. It must not know how images are written. Everything read is
//! hostile: parsed, bounded and never evaluated. Read [`document`].

mod debian;
mod lock_files;
mod notes;

use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::ImageRequest;

pub(super) const MEDIA_TYPE: &str = "application/vnd.cyclonedx+json";
/// Longest note that is read.
const MAX_NOTE_BYTES: u64 = 4 * 1024 * 1024;
/// Most packages that are listed.
const MAX_PACKAGES: usize = 50_000;
/// Deepest directory that is looked into.
const MAX_DEPTH: usize = 64;

/// A package, as its package URL says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    /// <https://github.com/package-url/purl-spec>
    purl: String,
}

impl Package {
    /// `kind` is the package URL's: `pypi`, `npm`.
    fn new(kind: &str, name: &str, version: &str) -> Option<Self> {
        let is_sane = |text: &str| {
            !text.is_empty() && text.len() <= 256 && !text.chars().any(char::is_control)
        };
        (is_sane(name) && is_sane(version)).then(|| Self {
            name: name.to_owned(),
            version: version.to_owned(),
            purl: format!("pkg:{kind}/{}@{}", encoded(name), encoded(version)),
        })
    }

    fn qualified(mut self, qualifiers: &str) -> Self {
        self.purl.push('?');
        self.purl.push_str(qualifiers);
        self
    }
}

/// Percent-encoded but for what a package URL keeps; `/` parts namespaces.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'.' | b'-' | b'_' | b'~' | b'/' | b':' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// The list for an image of this slug: its stack's root and its layers' directories.
pub(super) fn document(request: &ImageRequest, stack: &Path, layers: &[PathBuf]) -> Value {
    let mut packages: BTreeSet<Package> = debian::packages(stack).into_iter().collect();
    for layer in layers {
        look_below(layer, 0, &mut packages);
    }
    let components: Vec<Value> = packages.iter().take(MAX_PACKAGES).map(component).collect();
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": "image",
                "name": request.title,
                "version": request.commit.as_deref().unwrap_or_default(),
            },
        },
        "components": components,
    })
}

fn component(package: &Package) -> Value {
    json!({
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
    })
}

/// What cannot be read is not listed: the image does not depend on its list.
fn look_below(folder: &Path, depth: usize, packages: &mut BTreeSet<Package>) {
    if depth > MAX_DEPTH || packages.len() > MAX_PACKAGES {
        return;
    }
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => look_below(&path, depth + 1, packages),
            Ok(kind) if kind.is_file() => {
                packages.extend(notes::package(&path));
                // Of the app itself, not of what it depends on.
                if depth == 0 {
                    packages.extend(lock_files::packages(&path));
                }
            }
            _ => {}
        }
    }
}

/// A note's text, if it is not too long.
fn read(path: &Path) -> Option<String> {
    let file = fs::File::open(path).ok()?;
    if file.metadata().ok()?.len() > MAX_NOTE_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MAX_NOTE_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The value of a line `name: value` in a paragraph.
fn field<'text>(paragraph: &'text str, name: &str) -> Option<&'text str> {
    paragraph.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
