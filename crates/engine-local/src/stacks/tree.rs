//! What is done to a fresh root filesystem to make it a stack.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use rustix::io::Errno;

/// Directories that dynos mount over, beside those Debian has.
const DIRECTORIES: &[&str] = &[
    "app", "cache", "dev", "opt", "proc", "run", "sys", "tmp", "dev/pts", "dev/shm",
];
/// Files that dynos mount over.
const FILES: &[&str] = &["etc/hostname", "etc/hosts", "etc/resolv.conf"];
/// What device nodes are mounted over.
const DEVICES: &[&str] = &[
    "null", "zero", "full", "random", "urandom", "tty", "ptmx", "console",
];
/// Set-user-id and set-group-id.
const PRIVILEGES: u32 = 0o6000;

/// Makes every place that a dyno mounts something onto; the tree itself is read-only to dynos.
pub(super) fn add_mount_points(root: &Path) -> io::Result<()> {
    for name in ["dev", "run"] {
        // Whatever the package scripts left there would show through nowhere: start empty.
        remove(&root.join(name))?;
    }
    for name in DIRECTORIES {
        fs::create_dir_all(root.join(name))?;
    }
    let devices = DEVICES.iter().map(|name| format!("dev/{name}"));
    for name in FILES.iter().map(|&name| name.to_owned()).chain(devices) {
        let path = root.join(name);
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) {
            fs::remove_file(&path)?;
        }
        fs::write(&path, "")?;
    }
    fs::write(root.join("etc/machine-id"), "")
}

/// Gives the dyno's process a name, for programs that look their user up.
pub(super) fn add_dyno_user(root: &Path) -> io::Result<()> {
    append(
        &root.join("etc/passwd"),
        "dyno:x:1000:1000::/app:/bin/bash\n",
    )?;
    append(&root.join("etc/group"), "dyno:x:1000:\n")
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    OpenOptions::new()
        .append(true)
        .open(path)?
        .write_all(line.as_bytes())
}

/// Takes set-user-id and set-group-id bits and file capabilities off every file. Links are not
/// followed.
pub(super) fn strip_privileges(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_symlink() {
            continue;
        }
        let mode = metadata.permissions().mode();
        if mode & PRIVILEGES != 0 {
            fs::set_permissions(entry.path(), Permissions::from_mode(mode & 0o1777))?;
        }
        match rustix::fs::lremovexattr(entry.path(), "security.capability") {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
        if metadata.is_dir() {
            strip_privileges(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a tree that may not be there, unless something is mounted in it.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let inside = format!("{}/", path.display());
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    if mounts.lines().any(|line| {
        line.split(' ')
            .nth(4)
            .is_some_and(|at| at.starts_with(&inside))
    }) {
        return Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "something is mounted below it",
        ));
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_has_its_mount_points_and_no_set_user_id_programs() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path();
        fs::create_dir_all(path.join("etc")).unwrap();
        fs::create_dir_all(path.join("usr/bin")).unwrap();
        fs::write(path.join("usr/bin/su"), "").unwrap();
        fs::set_permissions(path.join("usr/bin/su"), Permissions::from_mode(0o4755)).unwrap();
        std::os::unix::fs::symlink("/nowhere", path.join("etc/resolv.conf")).unwrap();
        add_mount_points(path).unwrap();
        strip_privileges(path).unwrap();
        let mode = fs::metadata(path.join("usr/bin/su"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o755);
        assert!(
            fs::symlink_metadata(path.join("etc/resolv.conf"))
                .unwrap()
                .is_file()
        );
        assert!(path.join("dev/null").is_file() && path.join("app").is_dir());
        remove(path).unwrap();
        remove(path).unwrap();
        assert!(!path.exists());
    }
}
