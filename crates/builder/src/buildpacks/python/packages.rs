//! Which package manager an app uses, and which files of the source its install depends on.
//!
//! Pure but for reading the source.

use std::collections::BTreeSet;

use crate::{buildpacks::lines, error::BuildError, source_tree::SourceTree};

/// Most requirement files that one app may include in each other.
const MAX_INCLUDES: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Installer {
    Pip,
    Pipenv,
    Poetry,
    Uv,
}

/// What an install has to see of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// These files.
    Files(Vec<String>),
    /// All of it: something is installed from within it.
    Source,
}

impl Installer {
    const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Pipenv, "Pipfile.lock", "Pipenv"),
        (Self::Pip, "requirements.txt", "pip"),
        (Self::Poetry, "poetry.lock", "Poetry"),
        (Self::Uv, "uv.lock", "uv"),
    ];

    /// The file that tells it, and that is named when its result is used again.
    pub(super) fn lock_file(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(installer, ..)| *installer == self)
            .map_or("", |(_, file, _)| file)
    }

    /// The one that the source's files tell.
    ///
    /// # Errors
    /// None or several.
    pub(super) fn of(tree: &SourceTree) -> Result<Self, BuildError> {
        let found: Vec<_> = Self::ALL
            .iter()
            .filter(|(_, file, _)| tree.has_file(file))
            .collect();
        match found[..] {
            [(installer, ..)] => Ok(*installer),
            [] => Err(none_found(tree)),
            _ => {
                let mut advice = vec!["The source holds several:".to_owned(), String::new()];
                advice.extend(
                    found
                        .iter()
                        .map(|(_, file, name)| format!("  {file} ({name})")),
                );
                advice.push(String::new());
                advice.push("hint: keep the one of the package manager that you use.".to_owned());
                let problem = "Multiple Python package manager files were found.".to_owned();
                Err(BuildError::Source { problem, advice })
            }
        }
    }

    /// What its install depends on.
    pub(super) fn needs(self, tree: &SourceTree) -> Needs {
        match self {
            Self::Pip => requirements(tree),
            Self::Pipenv => pipenv(tree),
            Self::Poetry => poetry(tree),
            Self::Uv => uv(tree),
        }
    }
}

fn none_found(tree: &SourceTree) -> BuildError {
    if tree.has_file("Pipfile") {
        return BuildError::Source {
            problem: "No 'Pipfile.lock' found!".to_owned(),
            advice: lines(&["hint: run `pipenv lock` and commit the Pipfile.lock it writes."]),
        };
    }
    let mut advice = lines(&[
        "A Python app must have a 'requirements.txt', 'Pipfile.lock', 'poetry.lock' or 'uv.lock'",
        "in the root directory of its source. The root directory holds:",
        "",
    ]);
    advice.extend(
        tree.list("")
            .into_iter()
            .take(40)
            .map(|name| format!("  {name}")),
    );
    advice.push(String::new());
    advice.push("hint: an app without dependencies needs an empty 'requirements.txt'.".to_owned());
    let problem = "Couldn't find any supported Python package manager files.".to_owned();
    BuildError::Source { problem, advice }
}

/// `requirements.txt` and all it includes, unless one of them installs from the source itself.
fn requirements(tree: &SourceTree) -> Needs {
    let mut files = BTreeSet::new();
    let mut left = vec!["requirements.txt".to_owned()];
    while let Some(path) = left.pop() {
        if files.len() >= MAX_INCLUDES {
            return Needs::Source;
        }
        let Some(text) = tree.read_text(&path) else {
            return Needs::Source;
        };
        if !files.insert(path.clone()) {
            continue;
        }
        for line in text.lines() {
            match requirement(line) {
                Requirement::Package => {}
                Requirement::Local => return Needs::Source,
                Requirement::Include(name) => {
                    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                    let joined = if folder.is_empty() {
                        name
                    } else {
                        format!("{folder}/{name}")
                    };
                    match plain_path(&joined) {
                        Some(joined) => left.push(joined),
                        None => return Needs::Source,
                    }
                }
            }
        }
    }
    Needs::Files(files.into_iter().collect())
}

enum Requirement {
    Package,
    Include(String),
    Local,
}

fn requirement(line: &str) -> Requirement {
    let line = line.split(" #").next().unwrap_or(line).trim();
    if line.is_empty() || line.starts_with('#') {
        return Requirement::Package;
    }
    for option in ["--requirement", "--constraint", "-r", "-c"] {
        if let Some(rest) = line.strip_prefix(option) {
            let name = rest.trim_start_matches('=').trim().to_owned();
            return if name.contains("://") {
                Requirement::Package
            } else {
                Requirement::Include(name)
            };
        }
    }
    for option in ["--editable", "-e", "--find-links", "-f"] {
        if let Some(rest) = line.strip_prefix(option) {
            return if rest.contains("://") {
                Requirement::Package
            } else {
                Requirement::Local
            };
        }
    }
    if line.starts_with('-') {
        return Requirement::Package;
    }
    let is_url = line.contains("://");
    let is_local = line.contains("file:")
        || (!is_url
            && (line.starts_with(['.', '/'])
                || line.contains("@ .")
                || line
                    .split([' ', ';'])
                    .next()
                    .is_some_and(|first| first.contains('/') || is_archive(first))));
    if is_local {
        Requirement::Local
    } else {
        Requirement::Package
    }
}

fn is_archive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".whl", ".tar.gz", ".zip"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

/// A path without `.` and `..`; `None` if it leaves the source.
fn plain_path(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!path.starts_with('/')).then(|| parts.join("/"))
}

fn present(tree: &SourceTree, files: &[&str]) -> Needs {
    Needs::Files(
        files
            .iter()
            .filter(|file| tree.has_file(file))
            .map(|file| (*file).to_owned())
            .collect(),
    )
}

fn pipenv(tree: &SourceTree) -> Needs {
    let lock = tree.read_text("Pipfile.lock").unwrap_or_default();
    if lock.contains("\"path\":") || lock.contains("\"file\": \".") {
        return Needs::Source;
    }
    present(tree, &["Pipfile", "Pipfile.lock"])
}

fn poetry(tree: &SourceTree) -> Needs {
    let lock = tree.read_text("poetry.lock").unwrap_or_default();
    let project: Option<toml::Table> = tree
        .read_text("pyproject.toml")
        .and_then(|text| text.parse().ok());
    let package_mode = project.as_ref().and_then(|project| {
        project
            .get("tool")?
            .get("poetry")?
            .get("package-mode")?
            .as_bool()
    });
    let is_package = package_mode.unwrap_or(true);
    if is_package || lock.contains("type = \"directory\"") || lock.contains("type = \"file\"") {
        return Needs::Source;
    }
    present(tree, &["pyproject.toml", "poetry.lock", "poetry.toml"])
}

fn uv(tree: &SourceTree) -> Needs {
    let lock = tree.read_text("uv.lock").unwrap_or_default();
    let is_local = ["{ editable = ", "{ directory = ", "{ path = "];
    if is_local.iter().any(|source| lock.contains(source))
        || lock.matches("{ virtual = ").count() > 1
    {
        return Needs::Source;
    }
    present(
        tree,
        &["pyproject.toml", "uv.lock", "uv.toml", ".python-version"],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    fn check_needs(files: &[(&str, &str)], expected: Option<&[&str]>) {
        let tree = source_of(files);
        let needs = Installer::of(&tree.1).unwrap().needs(&tree.1);
        let expected = expected.map_or(Needs::Source, |files| {
            Needs::Files(files.iter().map(|file| (*file).to_owned()).collect())
        });
        assert_eq!(needs, expected, "{files:?}");
    }

    #[test]
    fn requirements_name_what_they_include() {
        let plain = "django>=6\ngunicorn # server\n--hash=sha256:1\n-i https://index/simple\n";
        check_needs(&[("requirements.txt", plain)], Some(&["requirements.txt"]));
        check_needs(&[("requirements.txt", "")], Some(&["requirements.txt"]));
        let nested = [
            ("requirements.txt", "-r requirements/prod.txt"),
            (
                "requirements/prod.txt",
                "-r base.txt\n-c ../constraints.txt\n",
            ),
            ("requirements/base.txt", "-r prod.txt\nx"),
            ("constraints.txt", "x<2"),
        ];
        let all = [
            "constraints.txt",
            "requirements.txt",
            "requirements/base.txt",
            "requirements/prod.txt",
        ];
        check_needs(&nested, Some(&all));
        let remote = "-e git+https://example.org/x.git#egg=x\nx @ https://example.org/x.whl\ngit+ssh://h/x\n";
        check_needs(&[("requirements.txt", remote)], Some(&["requirements.txt"]));
    }

    #[test]
    fn requirements_within_the_source_depend_on_all_of_it() {
        for local in [
            "-e .",
            "--editable=.",
            ".",
            "./pkg",
            "pkgs/one",
            "x @ ./x",
            "x.whl",
            "x @ file:///app/x",
            "-r missing.txt",
            "-r ../above.txt",
            "--find-links wheels",
        ] {
            check_needs(&[("requirements.txt", local)], None);
        }
    }

    #[test]
    fn locks_tell_whether_the_project_itself_is_installed() {
        let uv = |source: &str| format!("[[package]]\nname = 'a'\nsource = {{ {source} = '.' }}");
        check_needs(
            &[("uv.lock", &uv("virtual")), ("pyproject.toml", "")],
            Some(&["pyproject.toml", "uv.lock"]),
        );
        check_needs(
            &[("uv.lock", &uv("editable")), ("pyproject.toml", "")],
            None,
        );
        let off = "[tool.poetry]\npackage-mode = false";
        check_needs(
            &[("poetry.lock", ""), ("pyproject.toml", off)],
            Some(&["pyproject.toml", "poetry.lock"]),
        );
        check_needs(&[("poetry.lock", ""), ("pyproject.toml", "")], None);
        check_needs(
            &[("Pipfile.lock", "{}"), ("Pipfile", "")],
            Some(&["Pipfile", "Pipfile.lock"]),
        );
        check_needs(&[("Pipfile.lock", "{\"path\": \".\"}")], None);
    }

    fn check_refused(files: &[(&str, &str)], expected: &str) {
        let error = Installer::of(&source_of(files).1).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn one_package_manager_is_needed() {
        check_refused(
            &[("app.py", "")],
            "Couldn't find any supported Python package manager files.",
        );
        check_refused(&[("Pipfile", "")], "No 'Pipfile.lock' found!");
        check_refused(
            &[("requirements.txt", ""), ("uv.lock", "")],
            "Multiple Python package manager files were found.",
        );
    }
}
