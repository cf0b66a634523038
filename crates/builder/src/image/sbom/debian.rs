//! The stack's packages, from dpkg's own list.

use std::path::Path;

use super::{Package, field, read};

/// Every installed package of the root filesystem.
pub(super) fn packages(root: &Path) -> Vec<Package> {
    let Some(status) = read(&root.join("var/lib/dpkg/status")) else {
        return Vec::new();
    };
    status.split("\n\n").filter_map(package).collect()
}

fn package(paragraph: &str) -> Option<Package> {
    if !field(paragraph, "Status")?.ends_with(" installed") {
        return None;
    }
    let package = Package::new(
        "deb/debian",
        field(paragraph, "Package")?,
        field(paragraph, "Version")?,
    )?;
    let architecture = field(paragraph, "Architecture").unwrap_or("all");
    Some(package.qualified(&format!("arch={architecture}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installed_packages_are_listed() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("var/lib/dpkg");
        std::fs::create_dir_all(&folder).unwrap();
        let status = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\n\
                      Version: 5.2+dfsg-1\n\nPackage: gone\nStatus: deinstall ok config-files\n\
                      Architecture: all\nVersion: 1\n";
        std::fs::write(folder.join("status"), status).unwrap();
        let purls: Vec<String> = packages(root.path())
            .into_iter()
            .map(|package| package.purl)
            .collect();
        assert_eq!(purls, ["pkg:deb/debian/bash@5.2%2Bdfsg-1?arch=amd64"]);
    }
}
