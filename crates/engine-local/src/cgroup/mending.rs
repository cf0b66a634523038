//! Groups that somebody has taken away, and those of platforms that are gone.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Cgroups, MOUNT, SHIMS, removal::remove_empty, version_1};

impl Cgroups {
    /// Makes the slot's groups again where somebody has removed or changed them. Returns whether
    /// that was so.
    pub(crate) fn mend(&self) -> io::Result<bool> {
        let mut missing = self.0.directories(SHIMS);
        missing.retain(|directory| !directory.is_dir());
        for directory in &missing {
            fs::create_dir_all(directory)?;
        }
        let was_changed = self.0.hand_down_again()?;
        Ok(was_changed || !missing.is_empty())
    }
}

/// Whether processes live in the groups of a slot.
pub(crate) fn is_inhabited(name: &str) -> bool {
    groups(name).iter().any(|group| has_processes(group))
}

/// Removes the groups of a slot whose platform is gone, unless a process lives in them. Returns
/// whether none is left.
pub(crate) async fn remove_deserted(name: &str) -> io::Result<bool> {
    if is_inhabited(name) {
        return Ok(false);
    }
    remove_empty(&groups(name)).await?;
    Ok(true)
}

fn groups(name: &str) -> Vec<PathBuf> {
    let parents = parents(Path::new(MOUNT), name);
    parents.iter().flat_map(|parent| below(parent)).collect()
}

/// Where groups of this name are, in whatever hierarchies there are, and those of its dynos that
/// are at a hierarchy's root.
fn parents(mount: &Path, name: &str) -> Vec<PathBuf> {
    let hierarchies = entries(mount).chain([mount.to_owned()]);
    let flat = version_1::flat(name);
    hierarchies
        .flat_map(|hierarchy| {
            let is_ours = |path: &PathBuf| {
                let name = path.file_name().unwrap_or_default();
                name.as_encoded_bytes().starts_with(flat.as_bytes())
            };
            let at_root = entries(&hierarchy).filter(is_ours);
            at_root.chain([hierarchy.join(name)]).collect::<Vec<_>>()
        })
        .filter(|group| group.is_dir())
        .collect()
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}

/// A group and all below it, the innermost first.
fn below(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    let inner = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut groups: Vec<PathBuf> = inner.flat_map(|entry| below(&entry.path())).collect();
    groups.push(group.to_owned());
    groups
}

fn has_processes(group: &Path) -> bool {
    // What cannot be read may have processes.
    fs::read_to_string(group.join("cgroup.procs")).map_or(true, |processes| !processes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_in_every_hierarchy_innermost_first() {
        let mount = tempfile::tempdir().unwrap();
        for group in [
            "memory/landfall/007/a",
            "unified/landfall/007",
            "pids/other",
            "cpu/landfall.007.a",
            "cpu/landfall.0070.a",
        ] {
            fs::create_dir_all(mount.path().join(group)).unwrap();
        }
        let mut found: Vec<PathBuf> = parents(mount.path(), "landfall/007")
            .iter()
            .flat_map(|parent| below(parent))
            .collect();
        found.sort_by_key(|path| std::cmp::Reverse(path.as_os_str().len()));
        let expected = [
            "memory/landfall/007/a",
            "unified/landfall/007",
            "memory/landfall/007",
            "cpu/landfall.007.a",
        ];
        assert_eq!(found, expected.map(|path| mount.path().join(path)));
        assert!(found.iter().all(|group| has_processes(group)));
        fs::write(found[0].join("cgroup.procs"), "").unwrap();
        assert!(!has_processes(&found[0]));
        fs::write(found[0].join("cgroup.procs"), "12\n").unwrap();
        assert!(has_processes(&found[0]));
    }
}
