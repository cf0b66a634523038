//! What the person's environment says; the one reader of it in this crate.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Where systems keep the bundle of every CA they trust.
const SYSTEM_BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// The environment a command was called with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    variables: BTreeMap<String, String>,
}

impl Surroundings {
    /// This process's own.
    pub(crate) fn of_this_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            variables: std::env::vars_os().filter_map(text).collect(),
        }
    }

    /// Made up, for tests.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        let owned = variables
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            variables: owned.collect(),
        }
    }

    /// A variable that is set to something.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Where `program` is found in `PATH`.
    pub(crate) fn find_program(&self, program: &str) -> Option<PathBuf> {
        std::env::split_paths(self.get("PATH")?)
            .map(|directory| directory.join(program))
            .find(|candidate| candidate.is_file())
    }

    /// The bundle of CAs the machine trusts, if it has one.
    pub(crate) fn system_bundle(&self) -> Option<PathBuf> {
        let named = self.get("SSL_CERT_FILE").map(PathBuf::from);
        named
            .into_iter()
            .chain(SYSTEM_BUNDLES.iter().map(PathBuf::from))
            .find(|bundle| Path::is_file(bundle))
    }
}
