//! Whom files of layers are given to.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, lchown},
    path::Path,
};

/// Gives a file, directory or link to `owner`. An ordinary user may give nothing away, and what it
/// makes is its own from the start.
pub(crate) fn give(path: &Path, owner: u32) -> io::Result<()> {
    match lchown(path, Some(owner), Some(owner)) {
        Err(error)
            if error.kind() == io::ErrorKind::PermissionDenied
                && fs::symlink_metadata(path)?.uid() == owner =>
        {
            Ok(())
        }
        other => other,
    }
}
