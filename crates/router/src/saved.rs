//! The last known routes on disk, so that a router serves without a server.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use crate::wire::RouteTable;

/// Replaces the file; after this the table survives a power cut.
pub(crate) fn save(path: &Path, table: &RouteTable) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    let unfinished = path.with_extension("new");
    // The private keys of certificates are in it.
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(&serde_json::to_vec(table)?)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(directory)?.sync_all()
}

/// The table in the file, `None` if there is no file.
pub(crate) fn load(path: &Path) -> io::Result<Option<RouteTable>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_table_is_loaded_and_damage_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("router/routes.json");
        assert_eq!(load(&path).unwrap(), None);
        let table = RouteTable {
            version: 3,
            ..RouteTable::default()
        };
        save(&path, &table).unwrap();
        assert_eq!(load(&path).unwrap(), Some(table));
        fs::write(&path, "{\"version\":3").unwrap();
        assert!(load(&path).is_err());
    }
}
