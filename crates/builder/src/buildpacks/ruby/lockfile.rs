//! What `Gemfile` and `Gemfile.lock` say, read as text: neither is ever evaluated here.

use std::collections::BTreeMap;

use crate::{error::BuildError, source_tree::SourceTree};

/// Most files of gems inside the source that the install step is shown one by one.
const MAX_GEM_FILES: usize = 2000;
/// Deepest directory of a gem inside the source.
const MAX_DEPTH: usize = 12;

/// A `Gemfile` with its lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bundle {
    /// Gem → version.
    pub(super) gems: BTreeMap<String, String>,
    /// The version of `RUBY VERSION`, with the engine if it is another.
    pub(super) ruby: Option<String>,
    /// `BUNDLED WITH`.
    pub(super) bundler: Option<String>,
    /// Directories of gems that are part of the source.
    paths: Vec<String>,
    gemfile: String,
}

impl Bundle {
    pub(super) fn read(tree: &SourceTree) -> Result<Self, BuildError> {
        let gemfile = tree.read_text("Gemfile").unwrap_or_default();
        let Some(lock) = tree.read_text("Gemfile.lock") else {
            return Err(BuildError::Source {
                problem: "Gemfile.lock is missing: it says which version of each gem is installed."
                    .to_owned(),
                advice: vec![
                    "hint: run `bundle lock --add-platform x86_64-linux`, and commit Gemfile.lock."
                        .to_owned(),
                    "See that .gitignore does not name it.".to_owned(),
                ],
            });
        };
        Self::parse(gemfile, &lock)
    }

    fn parse(gemfile: String, lock: &str) -> Result<Self, BuildError> {
        if lock.lines().any(|line| line.starts_with("<<<<<<<")) {
            return Err(BuildError::Source {
                problem: "Gemfile.lock holds the marks of a merge that was not finished."
                    .to_owned(),
                advice: vec!["hint: run `bundle lock`, and commit the result.".to_owned()],
            });
        }
        let mut bundle = Self {
            gemfile,
            ..Self::default()
        };
        let mut platforms = Vec::new();
        let mut section = "";
        for line in lock.lines() {
            if !line.starts_with(' ') {
                section = line.trim();
                continue;
            }
            let text = line.trim();
            match section {
                "GEM" | "PATH" | "GIT" => bundle.add_source_line(section, line),
                "PLATFORMS" => platforms.push(text.to_owned()),
                "RUBY VERSION" => bundle.ruby = text.strip_prefix("ruby ").map(str::to_owned),
                "BUNDLED WITH" => bundle.bundler = Some(text.to_owned()),
                _ => {}
            }
        }
        check_platforms(&platforms)?;
        Ok(bundle)
    }

    fn add_source_line(&mut self, section: &str, line: &str) {
        if let Some(path) = line.strip_prefix("  remote: ") {
            if section == "PATH" {
                self.paths.push(path.trim_end_matches('/').to_owned());
            }
            return;
        }
        // Four spaces before a gem, six before what it depends on.
        let Some(spec) = line.strip_prefix("    ") else {
            return;
        };
        if let Some((name, version)) = spec.split_once(" (")
            && !name.starts_with(' ')
        {
            let version = version.trim_end_matches(')').to_owned();
            self.gems.insert(name.to_owned(), version);
        }
    }

    pub(super) fn has(&self, gem: &str) -> bool {
        self.gems.contains_key(gem)
    }

    /// The first number of a gem's version.
    pub(super) fn major(&self, gem: &str) -> Option<u32> {
        self.gems.get(gem)?.split('.').next()?.parse().ok()
    }

    /// What the Gemfile's `ruby` line asks for: requirements as they stand, or a file that holds it.
    pub(super) fn ruby_line(&self) -> Option<RubyLine> {
        let line = self
            .gemfile
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default().trim())
            .find_map(|line| {
                let rest = line.strip_prefix("ruby")?;
                rest.starts_with([' ', '(', '"', '\'']).then_some(rest)
            })?;
        let is_engine = line.contains("engine");
        let line = line.split("patchlevel").next().unwrap_or(line);
        let quoted: Vec<String> = line
            .split(['"', '\''])
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        if line.trim_start_matches([' ', '(']).starts_with("file:") {
            return quoted.into_iter().next().map(RubyLine::File);
        }
        let plain = quoted
            .into_iter()
            .filter(|text| text.starts_with(|first: char| !first.is_ascii_alphabetic()));
        let plain: Vec<String> = plain.collect();
        if is_engine {
            return Some(RubyLine::OtherEngine(line.trim().to_owned()));
        }
        (!plain.is_empty()).then_some(RubyLine::Requirements(plain))
    }

    /// The files that installing gems reads, or `None` when it may read any.
    pub(super) fn files(&self, tree: &SourceTree) -> Option<Vec<String>> {
        let reads_more = [
            "eval_gemfile",
            "File.",
            "Dir",
            "require",
            "gemspec",
            "instance_eval",
            "IO.",
        ];
        if reads_more.iter().any(|text| self.gemfile.contains(text)) {
            return None;
        }
        let mut files = vec!["Gemfile".to_owned(), "Gemfile.lock".to_owned()];
        for name in [".ruby-version", ".tool-versions"] {
            if tree.has_file(name) {
                files.push(name.to_owned());
            }
        }
        let inside = self.paths.iter().map(String::as_str);
        for folder in inside.chain(["vendor/cache"]) {
            if folder == "." || folder.starts_with(['/', '.']) {
                return None;
            }
            tree.add_files(folder, (MAX_DEPTH, MAX_GEM_FILES), &mut files)?;
        }
        files.sort();
        files.dedup();
        Some(files)
    }
}

/// The Gemfile's `ruby` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RubyLine {
    Requirements(Vec<String>),
    File(String),
    OtherEngine(String),
}

/// A lock that was only ever made for another system has no gems for this one.
fn check_platforms(platforms: &[String]) -> Result<(), BuildError> {
    let arch = std::env::consts::ARCH;
    let fits = |platform: &String| {
        platform == "ruby"
            || (platform.starts_with(&format!("{arch}-linux")) && !platform.ends_with("-musl"))
    };
    if platforms.is_empty() || platforms.iter().any(fits) {
        return Ok(());
    }
    Err(BuildError::Source {
        problem: format!(
            "Gemfile.lock has gems for {} only, and this stack is {arch}-linux.",
            platforms.join(", ")
        ),
        advice: vec![format!(
            "hint: run `bundle lock --add-platform {arch}-linux`, and commit Gemfile.lock."
        )],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    const LOCK: &str = "PATH\n  remote: vendor/gems/own/\n  specs:\n    own (0.1.0)\n\n\
        GEM\n  remote: https://gems.example/\n  specs:\n    puma (6.4.2)\n      nio4r (~> 2.0)\n    \
        nio4r (2.7.0)\n\nPLATFORMS\n  x86_64-linux\n  arm64-darwin-22\n\nDEPENDENCIES\n  own!\n  puma\n\n\
        RUBY VERSION\n   ruby 3.3.4p94\n\nBUNDLED WITH\n   2.5.9\n";

    #[test]
    fn locks_are_read() {
        let bundle = Bundle::parse(String::new(), LOCK).unwrap();
        assert_eq!(
            bundle.gems.keys().collect::<Vec<_>>(),
            ["nio4r", "own", "puma"]
        );
        assert_eq!(bundle.major("puma"), Some(6));
        assert_eq!(bundle.ruby.as_deref(), Some("3.3.4p94"));
        assert_eq!(bundle.bundler.as_deref(), Some("2.5.9"));
        assert_eq!(bundle.paths, ["vendor/gems/own"]);
        assert_eq!(Bundle::parse(String::new(), "").unwrap(), Bundle::default());
    }

    #[test]
    fn locks_that_cannot_be_used_are_refused() {
        for (lock, expected) in [
            ("<<<<<<< HEAD\n", "Gemfile.lock holds the marks"),
            (
                "PLATFORMS\n  arm64-darwin\n",
                "Gemfile.lock has gems for arm64-darwin only",
            ),
            (
                "PLATFORMS\n  x64-mingw-ucrt\n",
                "Gemfile.lock has gems for x64-mingw-ucrt only",
            ),
        ] {
            let error = Bundle::parse(String::new(), lock).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    fn check(gemfile: &str, expected: Option<&RubyLine>) {
        let bundle = Bundle::parse(gemfile.to_owned(), "").unwrap();
        assert_eq!(bundle.ruby_line().as_ref(), expected, "{gemfile:?}");
    }

    #[test]
    fn ruby_lines() {
        let wanted = |texts: &[&str]| {
            let texts = texts.iter().map(|text| (*text).to_owned()).collect();
            RubyLine::Requirements(texts)
        };
        check("source 'x'\nruby '3.3.4'\n", Some(&wanted(&["3.3.4"])));
        check("ruby \"~> 3.3.0\" # newest", Some(&wanted(&["~> 3.3.0"])));
        check(
            "ruby '>= 3.2', '< 4.0'",
            Some(&wanted(&[">= 3.2", "< 4.0"])),
        );
        check(
            "  ruby(\"3.3.4\", patchlevel: \"94\")",
            Some(&wanted(&["3.3.4"])),
        );
        check(
            "ruby file: '.ruby-version'",
            Some(&RubyLine::File(".ruby-version".to_owned())),
        );
        check(
            "ruby '3.1.4', engine: 'jruby', engine_version: '9.4.8.0'",
            Some(&RubyLine::OtherEngine(
                "'3.1.4', engine: 'jruby', engine_version: '9.4.8.0'".to_owned(),
            )),
        );
        check("# ruby '3.3.4'\nrubyracer 'x'\ngem 'ruby-vips'", None);
    }

    #[test]
    fn installing_sees_the_gems_of_the_source_alone() {
        let files = [
            ("Gemfile", "gem 'own', path: 'vendor/gems/own'"),
            ("Gemfile.lock", LOCK),
            ("vendor/gems/own/own.gemspec", ""),
            ("vendor/gems/own/lib/own.rb", ""),
            ("vendor/cache/puma-6.4.2.gem", ""),
            ("app.rb", ""),
        ];
        let (_guard, tree) = source_of(&files);
        let seen = Bundle::read(&tree).unwrap().files(&tree).unwrap();
        assert_eq!(
            seen,
            [
                "Gemfile",
                "Gemfile.lock",
                "vendor/cache/puma-6.4.2.gem",
                "vendor/gems/own/lib/own.rb",
                "vendor/gems/own/own.gemspec"
            ]
        );
        let (_guard, tree) =
            source_of(&[("Gemfile", "eval_gemfile 'more.rb'"), ("Gemfile.lock", "")]);
        assert_eq!(Bundle::read(&tree).unwrap().files(&tree), None);
    }
}
