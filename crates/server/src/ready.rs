//! Tells the world that the platform serves: the ready file, whole or absent.

use std::{io, path::Path};

use cli::Ready;

use crate::files::{self, Access};

/// Writes the platform's own copy, then the one that was asked for.
pub(crate) fn announce(ready: &Ready, data: &Path, asked: Option<&Path>) -> io::Result<()> {
    let mut content = serde_json::to_vec_pretty(ready)?;
    content.push(b'\n');
    let own = Ready::path_in(data);
    for path in [Some(own.as_path()), asked].into_iter().flatten() {
        if let Some(directory) = path.parent() {
            files::private_directory(directory)?;
        }
        files::write(path, &content, Access::Owner)?;
    }
    Ok(())
}

/// Takes back what an earlier run said.
pub(crate) fn retract(data: &Path, asked: Option<&Path>) -> io::Result<()> {
    let own = Ready::path_in(data);
    for path in [Some(own.as_path()), asked].into_iter().flatten() {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_whole_and_taken_back() {
        let directory = tempfile::tempdir().unwrap();
        let asked = directory.path().join("asked.json");
        let ready = Ready {
            api_url: "http://localhost:5000".to_owned(),
            git_url: "https://localhost:5000".to_owned(),
            http_addr: "127.0.0.1:8080".to_owned(),
            https_addr: "127.0.0.1:8443".to_owned(),
            ssh_addr: None,
            ssh_host_key: None,
            rendezvous_addr: "localhost:5000".to_owned(),
            ca_pem_path: "/ca.pem".into(),
            admin_email: "admin@localhost".to_owned(),
            admin_token: "secret".to_owned(),
            status_host: "status.localhost".to_owned(),
            status_url: "http://localhost:8080".to_owned(),
            version: "0".to_owned(),
        };
        announce(&ready, directory.path(), Some(&asked)).unwrap();
        assert_eq!(Ready::read(&asked).unwrap(), ready);
        assert_eq!(
            Ready::read(&Ready::path_in(directory.path())).unwrap(),
            ready
        );
        let names: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names.len(), 2, "nothing half-written is left: {names:?}");
        retract(directory.path(), Some(&asked)).unwrap();
        assert!(!asked.exists());
        retract(directory.path(), Some(&asked)).unwrap();
    }
}
