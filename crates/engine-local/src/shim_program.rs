//! The shim's program file: a copy of its own for each version, because a shim outlives the server
//! that started it, and so may the file it runs from.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// How much of the hash names the directory, bytes.
const NAME_BYTES: usize = 8;

/// Copies `program` to `<data>/shim/<hash>/landfall-shim`, unless it is there.
pub(crate) fn install(program: &Path, data: &Path) -> io::Result<PathBuf> {
    let content = fs::read(program)?;
    let hash = Sha256::digest(&content);
    let name = hash
        .iter()
        .take(NAME_BYTES)
        .fold(0, |name, byte| name << 8 | u64::from(*byte));
    let directory = data.join("shim").join(format!("{name:016x}"));
    let installed = directory.join("landfall-shim");
    if installed.exists() {
        return Ok(installed);
    }
    fs::create_dir_all(&directory)?;
    let draft = directory.join(format!("draft-{}", std::process::id()));
    fs::write(&draft, content)?;
    fs::set_permissions(&draft, Permissions::from_mode(0o755))?;
    fs::rename(&draft, &installed)?;
    Ok(installed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_gets_a_place_of_its_own() {
        let data = tempfile::tempdir().unwrap();
        let program = data.path().join("built");
        fs::write(&program, "one").unwrap();
        let one = install(&program, data.path()).unwrap();
        assert_eq!(install(&program, data.path()).unwrap(), one);
        fs::write(&program, "two").unwrap();
        let two = install(&program, data.path()).unwrap();
        assert_ne!(one, two);
        assert_eq!(fs::read_to_string(one).unwrap(), "one");
        assert_eq!(
            fs::metadata(two).unwrap().permissions().mode() & 0o777,
            0o755
        );
    }
}
