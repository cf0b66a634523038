//! Looks into an unpacked source from the host, without ever leaving it.
//!
//! Links in it may point anywhere; they are followed by name only, within the tree. It must not
//! know buildpacks. Read [`SourceTree`] first.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs,
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

/// Longest file that is read to decide how to build, in bytes.
pub(crate) const MAX_READ_BYTES: u64 = 16 * 1024 * 1024;
/// Most links followed on the way to one file, as the kernel has it.
const MAX_LINKS: usize = 40;

/// An unpacked source, which holds still: it is a layer.
#[derive(Clone, Debug)]
pub(crate) struct SourceTree {
    root: PathBuf,
}

impl SourceTree {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Whether there is a file, directly or through links.
    pub(crate) fn has_file(&self, path: &str) -> bool {
        self.resolve(path)
            .is_some_and(|found| is(&found, fs::Metadata::is_file))
    }

    /// Whether there is anything of this name, even a broken link.
    pub(crate) fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.root.join(path)).is_ok()
    }

    /// A file's bytes; `None` if there is none, it is too long, or leaves the tree.
    pub(crate) fn read(&self, path: &str) -> Option<Vec<u8>> {
        let found = self.resolve(path)?;
        if !is(&found, |metadata| {
            metadata.is_file() && metadata.len() <= MAX_READ_BYTES
        }) {
            return None;
        }
        let mut bytes = Vec::new();
        fs::File::open(found)
            .ok()?
            .take(MAX_READ_BYTES)
            .read_to_end(&mut bytes)
            .ok()?;
        Some(bytes)
    }

    /// A file's text, with anything that is not UTF-8 replaced.
    pub(crate) fn read_text(&self, path: &str) -> Option<String> {
        let bytes = self.read(path)?;
        let text = String::from_utf8_lossy(&bytes);
        Some(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
    }

    /// Names in a directory, sorted; empty if there is none. Directories end in `/`.
    pub(crate) fn list(&self, path: &str) -> Vec<String> {
        let Some(found) = self.resolve(path) else {
            return Vec::new();
        };
        let Ok(entries) = fs::read_dir(found) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .filter_map(Result::ok)
            .map(|entry| {
                let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
                let name = entry.file_name().to_string_lossy().into_owned();
                if is_directory { name + "/" } else { name }
            })
            .collect();
        names.sort();
        names
    }

    /// Adds the paths of all files below a directory, if it is no deeper and they are no more than the
    /// limits say, and each can be read here.
    pub(crate) fn add_files(
        &self,
        folder: &str,
        (depth, most): (usize, usize),
        files: &mut Vec<String>,
    ) -> Option<()> {
        for name in self.list(folder) {
            let path = format!("{folder}/{name}");
            if let Some(below) = path.strip_suffix('/') {
                self.add_files(below, (depth.checked_sub(1)?, most), files)?;
            } else {
                self.read(&path)?;
                files.push(path);
            }
            if files.len() > most {
                return None;
            }
        }
        Some(())
    }

    /// The place of `path` with all links taken out, still below the root.
    fn resolve(&self, path: &str) -> Option<PathBuf> {
        let mut left: VecDeque<OsString> = parts(Path::new(path))?;
        let mut at: Vec<OsString> = Vec::new();
        let mut links = 0;
        while let Some(part) = left.pop_front() {
            if part == ".." {
                at.pop()?;
                continue;
            }
            at.push(part);
            let full: PathBuf = self.root.join(at.iter().collect::<PathBuf>());
            let Ok(target) = fs::read_link(&full) else {
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                return None;
            }
            at.pop();
            // At run time the tree is `/app`; any other absolute target is not of the source.
            let target = match target.strip_prefix("/app") {
                Ok(below) => {
                    at.clear();
                    below.to_owned()
                }
                Err(_) => target,
            };
            for part in parts(&target)?.into_iter().rev() {
                left.push_front(part);
            }
        }
        Some(self.root.join(at.iter().collect::<PathBuf>()))
    }
}

/// The parts of a relative path; `None` for an absolute one.
fn parts(path: &Path) -> Option<VecDeque<OsString>> {
    path.components()
        .filter(|component| !matches!(component, Component::CurDir))
        .map(|component| match component {
            Component::Normal(part) => Some(part.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

fn is(path: &Path, test: impl Fn(&fs::Metadata) -> bool) -> bool {
    let found: io::Result<fs::Metadata> = fs::symlink_metadata(path);
    found.is_ok_and(|metadata| test(&metadata))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A source of the given files, removed with the returned guard.
    pub(crate) fn source_of(files: &[(&str, &str)]) -> (tempfile::TempDir, SourceTree) {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let full = folder.path().join(path);
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            fs::write(full, content).unwrap();
        }
        let tree = SourceTree::new(folder.path().to_owned());
        (folder, tree)
    }

    #[test]
    fn links_are_followed_within_the_tree_only() {
        let (folder, tree) = source_of(&[("app/requirements/base.txt", "django")]);
        let link =
            |to: &str, name: &str| symlink(to, folder.path().join("app").join(name)).unwrap();
        link("requirements/base.txt", "inside.txt");
        link("../app/requirements", "folder");
        link("/etc/passwd", "absolute");
        link("../../../../../../etc/passwd", "above");
        link("loop", "loop");
        link("/app/app/requirements/base.txt", "as-at-run-time");
        let read = |path: &str| tree.read_text(&format!("app/{path}"));
        assert_eq!(read("inside.txt").as_deref(), Some("django"));
        assert_eq!(read("folder/base.txt").as_deref(), Some("django"));
        assert_eq!(read("as-at-run-time").as_deref(), Some("django"));
        for outside in [
            "absolute",
            "above",
            "loop",
            "requirements",
            "none",
            "/etc/passwd",
        ] {
            assert_eq!(read(outside), None, "{outside}");
        }
        assert!(tree.has("app/absolute") && !tree.has_file("app/absolute"));
        assert_eq!(tree.list("app/requirements"), ["base.txt"]);
    }
}
