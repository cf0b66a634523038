//! What a Go app says of itself: its `go.mod` with Heroku's comments in it, and where its programs
//! are.
//!
//! Pure reading of the source. Source: Dev Center, "Heroku Go Support"; go.dev/ref/mod, "go.mod
//! files". Read [`Module`] first.

use std::collections::BTreeMap;

use super::version::Request;
use crate::{buildpacks::lines, error::BuildError, source_tree::SourceTree};

/// Most folders below `cmd` that are looked at.
const MAX_COMMANDS: usize = 64;
/// Scripts of the app's own around the build.
const HOOKS: [&str; 2] = ["bin/go-pre-compile", "bin/go-post-compile"];

/// A Go app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Module {
    pub(super) version: Request,
    /// What `go install` is told to build.
    pub(super) packages: Vec<String>,
    /// Names of the programs that are known to come of it.
    programs: Vec<String>,
    /// Whether scripts of the app's own run with the build.
    pub(super) has_hooks: bool,
}

/// What `go.mod` says, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stated {
    module: String,
    go: Option<String>,
    toolchain: Option<String>,
    /// `// +heroku goVersion go1.22`
    heroku_version: Option<String>,
    /// `// +heroku install ./cmd/...`
    heroku_install: Vec<String>,
}

impl Module {
    /// # Errors
    /// `Source` when there is no `go.mod`, or no program in it.
    pub(super) fn read(
        tree: &SourceTree,
        config_vars: &BTreeMap<String, String>,
    ) -> Result<Self, BuildError> {
        let text = tree.read_text("go.mod").ok_or_else(without_modules)?;
        let stated = Stated::read(&text);
        let chosen = config_vars
            .get("GO_INSTALL_PACKAGE_SPEC")
            .map(|spec| spec.split_whitespace().map(str::to_owned).collect())
            .filter(|packages: &Vec<String>| !packages.is_empty())
            .or_else(|| Some(stated.heroku_install.clone()).filter(|chosen| !chosen.is_empty()));
        let found = programs(tree, &stated.module);
        let (packages, programs) = match chosen {
            Some(packages) => (packages, named(&found)),
            None if found.is_empty() => return Err(without_program()),
            None => (
                found.iter().map(|(package, _)| package.clone()).collect(),
                named(&found),
            ),
        };
        if let Some(option) = packages.iter().find(|package| package.starts_with('-')) {
            return Err(BuildError::Source {
                problem: format!("{option} is no Go package."),
                advice: lines(&["hint: name packages such as ./cmd/... after `+heroku install`."]),
            });
        }
        Ok(Self {
            version: stated.request(config_vars),
            packages,
            programs,
            has_hooks: HOOKS.iter().any(|hook| tree.has_file(hook)),
        })
    }

    /// The command that most likely serves: the only program, or the one of that name.
    pub(super) fn web(&self) -> Option<String> {
        let by_name = |name: &str| self.programs.iter().find(|program| *program == name);
        let only = self.programs.first().filter(|_| self.programs.len() == 1);
        let program = only
            .or_else(|| by_name("web"))
            .or_else(|| by_name("server"));
        program.map(|name| format!("/app/bin/{name}"))
    }
}

impl Stated {
    fn read(text: &str) -> Self {
        let mut stated = Self::default();
        for line in text.lines() {
            let line = line.trim();
            if let Some(comment) = line.strip_prefix("//") {
                stated.read_comment(comment.trim());
                continue;
            }
            let code = line.split("//").next().unwrap_or_default();
            let mut words = code.split_whitespace();
            match (words.next(), words.next(), words.next()) {
                (Some("module"), Some(path), None) => {
                    path.trim_matches('"').clone_into(&mut stated.module);
                }
                (Some("go"), Some(version), None) => stated.go = Some(version.to_owned()),
                (Some("toolchain"), Some(version), None) => {
                    stated.toolchain = Some(version.to_owned());
                }
                _ => {}
            }
        }
        stated
    }

    fn read_comment(&mut self, comment: &str) {
        let Some(order) = comment.strip_prefix("+heroku ") else {
            return;
        };
        let mut words = order.split_whitespace();
        match words.next() {
            Some("goVersion") => self.heroku_version = words.next().map(str::to_owned),
            Some("install") => self.heroku_install = words.map(str::to_owned).collect(),
            _ => {}
        }
    }

    /// Heroku's order: the config var, its comment, then Go's own lines.
    fn request(&self, config_vars: &BTreeMap<String, String>) -> Request {
        let wishes = [
            (config_vars.get("GOVERSION"), "GOVERSION"),
            (self.heroku_version.as_ref(), "go.mod (+heroku goVersion)"),
            (
                self.toolchain.as_ref().filter(|name| *name != "default"),
                "go.mod (toolchain)",
            ),
            (self.go.as_ref(), "go.mod"),
        ];
        let first = wishes
            .into_iter()
            .find_map(|(text, origin)| Some((text?.trim(), origin)));
        let (text, origin) = first.unwrap_or_default();
        Request {
            text: text.strip_prefix("go").unwrap_or(text).to_owned(),
            origin,
        }
    }
}

/// Packages with a `main`, and what `go install` calls their programs: the root's, else those of
/// `cmd`.
fn programs(tree: &SourceTree, module: &str) -> Vec<(String, String)> {
    if is_main(tree, "") {
        return vec![(".".to_owned(), program_name(module))];
    }
    let folders = tree.list("cmd").into_iter();
    let folders = folders.filter_map(|name| name.strip_suffix('/').map(str::to_owned));
    folders
        .take(MAX_COMMANDS)
        .filter(|name| is_main(tree, &format!("cmd/{name}")))
        .map(|name| (format!("./cmd/{name}"), name))
        .collect()
}

fn named(found: &[(String, String)]) -> Vec<String> {
    found.iter().map(|(_, program)| program.clone()).collect()
}

/// The last part of a module's path that is no version: `example.com/shop/v2` → `shop`.
fn program_name(module: &str) -> String {
    let is_version = |part: &&str| {
        part.strip_prefix('v')
            .is_some_and(|number| number.parse::<u32>().is_ok_and(|number| number >= 2))
    };
    let mut parts = module.rsplit('/').skip_while(is_version);
    let last = parts.next().unwrap_or(module);
    last.to_owned()
}

fn is_main(tree: &SourceTree, folder: &str) -> bool {
    let is_code = |name: &String| {
        has_ending(name, ".go") && !has_ending(name, "_test.go") && !name.starts_with(['_', '.'])
    };
    let mut files = tree.list(folder).into_iter().filter(is_code);
    files.any(|name| {
        let path = match folder {
            "" => name,
            folder => format!("{folder}/{name}"),
        };
        tree.read_text(&path)
            .is_some_and(|text| declares_main(&text))
    })
}

fn has_ending(name: &str, ending: &str) -> bool {
    name.len() > ending.len() && name.ends_with(ending)
}

/// Whether a file is of package `main`, and not left out of every build.
fn declares_main(text: &str) -> bool {
    let mut is_in_comment = false;
    for line in text.lines() {
        let line = line.trim();
        if is_in_comment {
            is_in_comment = !line.contains("*/");
            continue;
        }
        if line == "//go:build ignore" || line == "// +build ignore" {
            return false;
        }
        if line.starts_with("/*") {
            is_in_comment = !line.contains("*/");
            continue;
        }
        if line.is_empty() || line.starts_with("//") {
            continue;
        }
        // The package clause is the first thing that is said.
        let code = line.split("//").next().unwrap_or_default().trim();
        return code.trim_end_matches(';') == "package main";
    }
    false
}

fn without_modules() -> BuildError {
    BuildError::Source {
        problem: "The app has no go.mod; dep, glide, govendor and godep are not supported."
            .to_owned(),
        advice: lines(&[
            "hint: run `go mod init` and `go mod tidy` in the app's directory; they read the old",
            "files. Then commit go.mod and go.sum.",
        ]),
    }
}

fn without_program() -> BuildError {
    BuildError::Source {
        problem: "No `package main` was found in the root directory or below cmd/.".to_owned(),
        advice: lines(&[
            "hint: say in go.mod which packages to build: `// +heroku install ./path/...`",
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    const MAIN: &str =
        "// Serves.\n\n/*\npackage other\n*/\npackage main // here\n\nfunc main() {}";

    fn read(files: &[(&str, &str)], vars: &[(&str, &str)]) -> Result<Module, String> {
        let vars = vars
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Module::read(&source_of(files).1, &vars).map_err(|error| error.to_string())
    }

    fn check_programs(files: &[(&str, &str)], packages: &[&str], web: Option<&str>) {
        let module = read(files, &[]).unwrap();
        assert_eq!(module.packages, packages);
        assert_eq!(module.web().as_deref(), web);
    }

    #[test]
    fn programs_are_found_in_the_root_or_below_cmd() {
        let shop = ("go.mod", "module example.com/shop/v2\n\ngo 1.25\n");
        check_programs(&[shop, ("main.go", MAIN)], &["."], Some("/app/bin/shop"));
        check_programs(
            &[shop, ("lib.go", "package shop"), ("cmd/api/x.go", MAIN)],
            &["./cmd/api"],
            Some("/app/bin/api"),
        );
        check_programs(
            &[shop, ("cmd/web/x.go", MAIN), ("cmd/worker/x.go", MAIN)],
            &["./cmd/web", "./cmd/worker"],
            Some("/app/bin/web"),
        );
        check_programs(
            &[shop, ("cmd/a/x.go", MAIN), ("cmd/b/x.go", MAIN)],
            &["./cmd/a", "./cmd/b"],
            None,
        );
    }

    #[test]
    fn what_is_no_program_is_not_taken_for_one() {
        let check = |name: &str, text: &str| {
            let files = [("go.mod", "module shop"), (name, text)];
            assert!(read(&files, &[]).is_err(), "{name} {text}");
        };
        check("main_test.go", MAIN);
        check("lib.go", "package mainly");
        check("tool.go", "//go:build ignore\n\npackage main");
        check("deep/er/main.go", MAIN);
        check("cmd/main.go", MAIN);
    }

    #[test]
    fn comments_and_config_vars_say_what_to_build() {
        let text = "// +heroku goVersion go1.24\n// +heroku install ./cmd/... ./tools\nmodule m\ngo 1.22.1\n";
        let files = [("go.mod", text), ("main.go", MAIN)];
        let module = read(&files, &[]).unwrap();
        assert_eq!(module.packages, ["./cmd/...", "./tools"]);
        assert_eq!(module.version.text, "1.24");
        let vars = [
            ("GO_INSTALL_PACKAGE_SPEC", "./a ./b"),
            ("GOVERSION", "go1.26.1"),
        ];
        let module = read(&files, &vars).unwrap();
        assert_eq!(module.packages, ["./a", "./b"]);
        assert_eq!(
            (module.version.text.as_str(), module.version.origin),
            ("1.26.1", "GOVERSION")
        );
        assert!(read(&files, &[("GO_INSTALL_PACKAGE_SPEC", "-exec=sh .")]).is_err());
    }

    #[test]
    fn versions_are_read_from_gos_own_lines() {
        let check = |text: &str, version: &str, origin: &str| {
            let files = [("go.mod", text), ("main.go", MAIN)];
            let request = read(&files, &[]).unwrap().version;
            assert_eq!((request.text.as_str(), request.origin), (version, origin));
        };
        check("module m\ngo 1.22\n", "1.22", "go.mod");
        check("module m\ngo 1.22.3 // why\n", "1.22.3", "go.mod");
        check(
            "module m\ngo 1.22\ntoolchain go1.25.1\n",
            "1.25.1",
            "go.mod (toolchain)",
        );
        check("module m\ngo 1.22\ntoolchain default\n", "1.22", "go.mod");
        check("module m\nrequire go.example v1.0.0\n", "", "");
    }

    #[test]
    fn old_ways_are_told_what_to_do() {
        let error = read(&[("Gopkg.lock", "")], &[]).unwrap_err();
        assert!(error.contains("go.mod"), "{error}");
    }
}
