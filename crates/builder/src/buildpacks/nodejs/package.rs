//! What package.json and the lock file tell.
//!
//! Pure but for reading the source.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{buildpacks::lines, error::BuildError, source_tree::SourceTree};

/// A package manager, and with it a lock file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Installer {
    Npm,
    Pnpm,
    /// Yarn 1.
    Yarn,
    /// Yarn 2 and later.
    Berry,
}

/// What matters of package.json.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about one file"
)]
pub(super) struct Package {
    pub(super) installer: Installer,
    /// The version wish for the package manager, other than npm's.
    pub(super) installer_range: Option<String>,
    pub(super) node: Option<String>,
    pub(super) npm: Option<String>,
    pub(super) has_lock: bool,
    pub(super) has_dependencies: bool,
    /// A script that the package manager runs after the install, with the source around it.
    pub(super) has_root_install_script: bool,
    /// Some dependency, or the package's own workspaces, are part of the source.
    pub(super) is_local: bool,
    lock_file: &'static str,
    scripts: Map<String, Value>,
    /// Names of all dependencies of its own.
    dependencies: BTreeSet<String>,
}

/// Lock files in the order in which Heroku knows them; at most one may be there.
const LOCK_FILES: [(&str, Installer); 4] = [
    ("package-lock.json", Installer::Npm),
    ("npm-shrinkwrap.json", Installer::Npm),
    ("yarn.lock", Installer::Yarn),
    ("pnpm-lock.yaml", Installer::Pnpm),
];

const INSTALL_SCRIPTS: [&str; 6] = [
    "preinstall",
    "install",
    "postinstall",
    "preprepare",
    "prepare",
    "postprepare",
];

impl Installer {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Yarn => "yarn",
            Self::Berry => "berry",
        }
    }

    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Yarn | Self::Berry => "yarn",
        }
    }
}

impl Package {
    pub(super) fn read(tree: &SourceTree) -> Result<Self, BuildError> {
        let bytes = tree.read("package.json").unwrap_or_default();
        let json: Value = serde_json::from_slice(&bytes).map_err(|error| BuildError::Source {
            problem: format!("Unable to parse package.json: {error}"),
            advice: lines(&["hint: correct the JSON and commit it."]),
        })?;
        let (installer, lock_file) = installer_of(tree, &json)?;
        let text = |path: &[&str]| {
            lookup(&json, path)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let declared = text(&["packageManager"]).and_then(|declared| {
            let (name, version) = declared.split_once('@')?;
            let version = version.split('+').next().unwrap_or(version).to_owned();
            (name == installer.program()).then_some(version)
        });
        let engine = text(&["engines", installer.program()]);
        let scripts = json
            .get("scripts")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        let groups = ["dependencies", "devDependencies", "optionalDependencies"];
        let dependencies: Vec<&Map<String, Value>> = groups
            .iter()
            .filter_map(|group| json.get(group)?.as_object())
            .collect();
        let has_workspaces =
            json.get("workspaces").is_some() || tree.has_file("pnpm-workspace.yaml");
        let is_local = has_workspaces
            || lookup(&json, &["pnpm", "patchedDependencies"]).is_some()
            || dependencies
                .iter()
                .flat_map(|group| group.values())
                .any(is_local);
        Ok(Self {
            installer,
            installer_range: declared.or(engine),
            node: text(&["engines", "node"]).or_else(|| version_file(tree)),
            npm: text(&["engines", "npm"]),
            has_lock: lock_file != "package.json",
            has_dependencies: has_workspaces || dependencies.iter().any(|group| !group.is_empty()),
            has_root_install_script: INSTALL_SCRIPTS
                .iter()
                .any(|name| scripts.contains_key(*name)),
            is_local,
            lock_file,
            scripts,
            dependencies: dependencies
                .iter()
                .flat_map(|group| group.keys().cloned())
                .collect(),
        })
    }

    pub(super) fn has_script(&self, name: &str) -> bool {
        self.script(name).is_some()
    }

    /// A script that does something.
    pub(super) fn script(&self, name: &str) -> Option<&str> {
        let script = self.scripts.get(name)?.as_str()?.trim();
        (!script.is_empty()).then_some(script)
    }

    pub(super) fn depends_on(&self, name: &str) -> bool {
        self.dependencies.contains(name)
    }

    /// The file whose change makes another install.
    pub(super) fn lock_file(&self) -> &'static str {
        self.lock_file
    }
}

/// The files that an install sees which does not see the whole source.
pub(super) fn input_files(tree: &SourceTree) -> Vec<String> {
    let others = ["package.json", ".npmrc", ".yarnrc"];
    let all = others
        .into_iter()
        .chain(LOCK_FILES.iter().map(|(file, _)| *file));
    all.filter(|file| tree.has_file(file))
        .map(str::to_owned)
        .collect()
}

fn installer_of(tree: &SourceTree, json: &Value) -> Result<(Installer, &'static str), BuildError> {
    let found: Vec<_> = LOCK_FILES
        .iter()
        .filter(|(file, _)| tree.has_file(file))
        .collect();
    let declared = json
        .get("packageManager")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let is_berry = tree.has_file(".yarnrc.yml")
        || declared
            .strip_prefix("yarn@")
            .is_some_and(|version| !version.starts_with("1."));
    match found[..] {
        [] => Ok((Installer::Npm, "package.json")),
        [(file, Installer::Yarn)] if is_berry => Ok((Installer::Berry, file)),
        [(file, installer)] => Ok((*installer, file)),
        // npm's two are the same file under two names; the shrinkwrap wins.
        [(_, Installer::Npm), (file, Installer::Npm)] => Ok((Installer::Npm, file)),
        _ => {
            let mut advice = vec!["The source holds several:".to_owned(), String::new()];
            advice.extend(found.iter().map(|(file, _)| format!("  {file}")));
            advice.push(String::new());
            advice.push("hint: keep the one of the package manager that you use.".to_owned());
            let problem = "Two different lockfiles found".to_owned();
            Err(BuildError::Source { problem, advice })
        }
    }
}

fn lookup<'a>(json: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(json, |value, name| value.get(name))
}

fn is_local(wish: &Value) -> bool {
    let prefixes = [
        "file:",
        "link:",
        "workspace:",
        "portal:",
        "patch:",
        "./",
        "../",
        "/",
        "~/",
    ];
    wish.as_str()
        .is_some_and(|wish| prefixes.iter().any(|prefix| wish.starts_with(prefix)))
}

/// `.node-version` or `.nvmrc`, which Heroku ignores; better than no wish at all.
fn version_file(tree: &SourceTree) -> Option<String> {
    let text = [".node-version", ".nvmrc"]
        .iter()
        .find_map(|file| tree.read_text(file))?;
    let version = text.lines().next()?.trim().to_owned();
    crate::versions::NpmRange::parse(&version)
        .filter(|_| !version.is_empty())
        .map(|_| version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    fn read(files: &[(&str, &str)]) -> Result<Package, String> {
        Package::read(&source_of(files).1).map_err(|error| error.to_string())
    }

    fn check_installer(files: &[&str], json: &str, expected: (Installer, Option<&str>)) {
        let mut files: Vec<_> = files.iter().map(|path| (*path, "")).collect();
        files.push(("package.json", json));
        let package = read(&files).unwrap();
        assert_eq!(
            (package.installer, package.installer_range.as_deref()),
            expected,
            "{files:?}"
        );
    }

    #[test]
    fn the_lock_file_tells_the_package_manager() {
        check_installer(&[], "{}", (Installer::Npm, None));
        check_installer(&["package-lock.json"], "{}", (Installer::Npm, None));
        check_installer(
            &["npm-shrinkwrap.json", "package-lock.json"],
            "{}",
            (Installer::Npm, None),
        );
        check_installer(&["yarn.lock"], "{}", (Installer::Yarn, None));
        check_installer(
            &["yarn.lock"],
            r#"{"engines":{"yarn":"1.22.x"}}"#,
            (Installer::Yarn, Some("1.22.x")),
        );
        check_installer(
            &["yarn.lock", ".yarnrc.yml"],
            "{}",
            (Installer::Berry, None),
        );
        let pinned = r#"{"packageManager":"yarn@4.1.0+sha512.aa"}"#;
        check_installer(&["yarn.lock"], pinned, (Installer::Berry, Some("4.1.0")));
        let pinned = r#"{"packageManager":"pnpm@9.1.0"}"#;
        check_installer(
            &["pnpm-lock.yaml"],
            pinned,
            (Installer::Pnpm, Some("9.1.0")),
        );
        let two = [
            ("package.json", "{}"),
            ("yarn.lock", ""),
            ("package-lock.json", ""),
        ];
        assert_eq!(read(&two).unwrap_err(), "Two different lockfiles found");
    }

    #[test]
    fn broken_json_is_said() {
        assert!(
            read(&[("package.json", "{,}")])
                .unwrap_err()
                .starts_with("Unable to parse package.json")
        );
    }

    fn check_local(json: &str, expected: bool) {
        let package = read(&[("package.json", json)]).unwrap();
        assert_eq!(
            package.is_local || package.has_root_install_script,
            expected,
            "{json}"
        );
    }

    #[test]
    fn what_installs_from_the_source_is_seen() {
        check_local(r#"{"dependencies":{"express":"^5"}}"#, false);
        check_local(r#"{"dependencies":{"own":"file:./own"}}"#, true);
        check_local(r#"{"devDependencies":{"own":"workspace:*"}}"#, true);
        check_local(r#"{"workspaces":["a"]}"#, true);
        check_local(r#"{"scripts":{"postinstall":"prisma generate"}}"#, true);
        check_local(r#"{"scripts":{"build":"tsc","start":"node ."}}"#, false);
    }
}
