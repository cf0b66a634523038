//! A root directory made of the host's own programs, where there is no stack.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsFd, unix::fs::symlink},
    path::Path,
};

use crate::sys;

/// What is shown of the host, where it is there: programs, libraries and how they are set up.
const SHOWN: [&str; 9] = [
    "usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "nix",
];
/// What a dyno finds beside it, empty.
const EMPTY: [&str; 13] = [
    "app", "cache", "dev", "home", "layers", "mnt", "opt", "proc", "root", "run", "sys", "tmp",
    "var",
];

/// Shows the host's `source` in the empty directory `root`.
pub(crate) fn show(source: &Path, root: &Path, attributes: u64) -> io::Result<()> {
    for name in SHOWN {
        let (from, to) = (source.join(name), root.join(name));
        let Ok(found) = fs::symlink_metadata(&from) else {
            continue;
        };
        if found.is_symlink() {
            symlink(fs::read_link(&from)?, to)?;
        } else if found.is_dir() {
            fs::create_dir(&to)?;
            // With what is mounted below: without root, one may not look under it.
            let tree = sys::open_tree(&from, true)?;
            sys::set_mount_attributes(tree.as_fd(), attributes, None)?;
            sys::move_mount(tree.as_fd(), File::open(&to)?.as_fd())?;
        }
    }
    EMPTY
        .iter()
        .try_for_each(|name| fs::create_dir(root.join(name)))
}
