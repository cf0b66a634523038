//! Which Java an app asks for, and which of those that can be had it gets.
//!
//! Pure. A major version is what matters: its newest release is taken, as on Heroku. What a build
//! file compiles for is the least that the app needs, not the version that it runs on.

use crate::{
    buildpacks::{lines, sources::Package, tool_versions},
    error::BuildError,
    source_tree::SourceTree,
};

/// The versions with long support, newest first: an app that asks for none gets one of them.
const LONG_SUPPORT: [u64; 5] = [25, 21, 17, 11, 8];
/// For a build tool that runs on any.
pub(in crate::buildpacks) const NEWEST: u64 = u64::MAX;

/// What is wanted, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(super) wish: Wish,
    /// As it was written.
    pub(super) text: String,
    /// `system.properties`; empty for the default.
    pub(super) origin: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// `21`, or `21.0.5`, of which the first number decides.
    Release(Vec<u64>),
    /// The least that will do, and the newest that the build tool runs on.
    AtLeast(u64, u64),
}

/// A JDK that can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer<O> {
    /// `[21, 0, 5]`
    pub(super) version: Vec<u64>,
    pub(super) origin: O,
}

/// The app's wish: the files that say it outright, then its build file. Nothing newer than `newest`
/// is wished for where the app does not say it outright.
///
/// # Errors
/// `Source` for a text that is no version.
pub(super) fn requested(
    tree: &SourceTree,
    build_files: &[&str],
    newest: u64,
) -> Result<Request, BuildError> {
    let stated = [
        ("system.properties", runtime_property(tree)),
        (".java-version", first_line(tree, ".java-version")),
        (".tool-versions", tool_versions::pinned(tree, "java")),
        (".sdkmanrc", property(tree, ".sdkmanrc", "java")),
        ("mise.toml", tool_versions::mise(tree, "java")),
    ];
    for (origin, text) in stated {
        let Some(text) = text else { continue };
        let parts = parse(&text).ok_or_else(|| invalid(origin, &text))?;
        return Ok(Request {
            wish: Wish::Release(parts),
            text,
            origin,
        });
    }
    for (path, origin) in [
        ("pom.xml", "pom.xml"),
        ("build.gradle.kts", "build.gradle.kts"),
        ("build.gradle", "build.gradle"),
        ("app/build.gradle.kts", "app/build.gradle.kts"),
        ("app/build.gradle", "app/build.gradle"),
    ] {
        if !build_files.contains(&path) {
            continue;
        }
        let wish = tree
            .read_text(path)
            .and_then(|text| compiled_for(&text, newest));
        if let Some((text, wish)) = wish {
            return Ok(Request { wish, text, origin });
        }
    }
    let mut supported = LONG_SUPPORT.into_iter();
    let default = supported.find(|major| *major <= newest).unwrap_or(newest);
    Ok(Request {
        wish: Wish::Release(vec![default]),
        text: default.to_string(),
        origin: "",
    })
}

fn runtime_property(tree: &SourceTree) -> Option<String> {
    property(tree, "system.properties", "java.runtime.version")
}

fn first_line(tree: &SourceTree, path: &str) -> Option<String> {
    let text = tree.read_text(path)?;
    let mut lines = text.lines().map(str::trim);
    lines
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
}

/// A value of a properties file: `name=value` or `name: value`.
pub(in crate::buildpacks) fn property(tree: &SourceTree, path: &str, name: &str) -> Option<String> {
    let text = tree.read_text(path)?;
    text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix(name)?.trim_start();
        let value = rest.strip_prefix(['=', ':'])?.trim();
        (!value.is_empty()).then(|| value.to_owned())
    })
}

/// Reads a version with or without its maker: `21`, `1.8.0_402`, `temurin-21.0.5+11`, `21.0.5-tem`.
pub(super) fn parse(text: &str) -> Option<Vec<u64>> {
    let is_version = |part: &&str| part.starts_with(|c: char| c.is_ascii_digit());
    let version = text.trim().split('-').find(is_version)?;
    let version = version.split('+').next()?;
    let mut parts: Vec<u64> = Vec::new();
    for part in version.split(['.', '_', 'u']) {
        match part.parse() {
            Ok(number) => parts.push(number),
            // `21.0.5.fx`, `21.x`
            Err(_) if !parts.is_empty() => break,
            Err(_) => return None,
        }
    }
    // Java 8 is called 1.8 as well.
    if parts.len() > 1 && parts[0] == 1 {
        parts.remove(0);
    }
    (parts[0] > 0 && parts[0] < 1000).then_some(parts)
}

/// What a build file compiles for.
fn compiled_for(text: &str, newest: u64) -> Option<(String, Wish)> {
    /// Asked for exactly: Gradle finds no other compiler.
    const EXACT: [(&str, char); 2] = [("JavaLanguageVersion.of(", ')'), ("jvmToolchain(", ')')];
    const LEAST: [(&str, char); 10] = [
        ("<maven.compiler.release>", '<'),
        ("<java.version>", '<'),
        ("<release>", '<'),
        ("<maven.compiler.target>", '<'),
        ("<maven.compiler.source>", '<'),
        ("<kotlin.compiler.jvmTarget>", '<'),
        ("JavaVersion.VERSION_", '\n'),
        ("sourceCompatibility = '", '\''),
        ("sourceCompatibility = \"", '"'),
        ("sourceCompatibility = ", '\n'),
    ];
    let find = |marks: &[(&str, char)]| {
        marks.iter().find_map(|(mark, end)| {
            let (_, rest) = text.split_once(mark)?;
            let value = rest.split(*end).next()?.trim();
            let value = value.replace('_', ".");
            let parts = parse(&value)?;
            Some((value, parts[0]))
        })
    };
    find(&EXACT)
        .map(|(text, major)| (text, Wish::Release(vec![major])))
        .or_else(|| find(&LEAST).map(|(text, major)| (text, Wish::AtLeast(major, newest))))
}

/// The version that a package holds: `21.0.5+11-1` is 21.0.5, `8u504-ga-1` is 8.0.504; `None` for
/// one that is not out yet.
pub(super) fn of_package(package: &Package) -> Option<Vec<u64>> {
    let upstream = package.version.split(['+', '~', '-']).next()?;
    let mut parts: Vec<u64> = Vec::new();
    for part in upstream.split(['.', 'u']) {
        parts.push(part.parse().ok()?);
    }
    if parts.len() == 2 && upstream.contains('u') {
        parts.insert(1, 0);
    }
    let is_early = package.version.contains("ea-");
    (!(is_early && parts.len() == 1)).then_some(parts)
}

/// The best offer: the first source that has the version, and of it the newest.
pub(super) fn choose<'a, O>(request: &Request, offers: &'a [Offer<O>]) -> Option<&'a Offer<O>> {
    let first_newest = |major: u64| {
        let mut fitting = offers.iter().filter(|offer| offer.version[0] == major);
        fitting.next()
    };
    match &request.wish {
        Wish::Release(parts) => offers
            .iter()
            .find(|offer| offer.version.starts_with(parts))
            .or_else(|| first_newest(parts[0])),
        Wish::AtLeast(least, newest) => {
            let majors = offers.iter().map(|offer| offer.version[0]);
            let fitting = *least..=*newest.max(least);
            let least = majors.filter(|major| fitting.contains(major)).min()?;
            first_newest(least)
        }
    }
}

/// What the app's owner should know of the choice.
pub(super) fn warning(request: &Request, version: &[u64]) -> Option<String> {
    match &request.wish {
        Wish::Release(parts) if !version.starts_with(parts) => Some(format!(
            "Java {} is not available on this platform; {} is used instead.",
            request.text,
            shown(version)
        )),
        _ => None,
    }
}

/// `21.0.5`
pub(super) fn shown(version: &[u64]) -> String {
    let parts: Vec<String> = version.iter().map(ToString::to_string).collect();
    parts.join(".")
}

fn invalid(origin: &str, text: &str) -> BuildError {
    let text: String = text.chars().take(80).collect();
    BuildError::Source {
        problem: format!("The Java version in {origin} is not valid: {text}"),
        advice: lines(&["hint: write `java.runtime.version=21` into system.properties."]),
    }
}

/// Nobody has it.
pub(super) fn unavailable<O>(request: &Request, offers: &[Offer<O>]) -> BuildError {
    let mut versions: Vec<&[u64]> = offers.iter().map(|offer| &offer.version[..]).collect();
    versions.sort();
    versions.dedup();
    let listed: Vec<String> = versions.into_iter().map(shown).collect();
    BuildError::Source {
        problem: format!(
            "Java {}, which {} asks for, cannot be had.",
            request.text, request.origin
        ),
        advice: vec![
            "It was looked for in the runtime mirror directory and in Debian's packages. Available:"
                .to_owned(),
            String::new(),
            format!("  {}", listed.join(", ")),
            String::new(),
            "hint: ask for one of these, or have the operator of this platform add it with".to_owned(),
            "`landfall runtimes:add`.".to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    fn check(files: &[(&str, &str)], expected: &str) {
        let build_files = ["pom.xml", "build.gradle", "build.gradle.kts"];
        let shown = match requested(&source_of(files).1, &build_files, 25) {
            Ok(request) => {
                let wish = match request.wish {
                    Wish::Release(parts) => shown(&parts),
                    Wish::AtLeast(major, _) => format!(">={major}"),
                };
                format!("{wish} of {}", request.origin)
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected, "{files:?}");
    }

    #[test]
    fn wishes_are_read_where_people_write_them() {
        let system = |text| ("system.properties", text);
        check(
            &[system("java.runtime.version=17")],
            "17 of system.properties",
        );
        check(
            &[system(
                "# x\nmaven.version=3.9.1\njava.runtime.version = 1.8.0_402\n",
            )],
            "8.0.402 of system.properties",
        );
        check(
            &[system("java.runtime.version=zulu-21.0.5")],
            "21.0.5 of system.properties",
        );
        check(
            &[system("java.runtime.version=newest")],
            "The Java version in system.properties is not valid: newest",
        );
        check(
            &[(".java-version", "openjdk64-21.0.2\n")],
            "21.0.2 of .java-version",
        );
        check(
            &[(
                ".tool-versions",
                "nodejs 24.1.0\njava temurin-21.0.5+11.0.LTS\n",
            )],
            "21.0.5 of .tool-versions",
        );
        check(
            &[(".sdkmanrc", "# sdk\njava=21.0.5-tem")],
            "21.0.5 of .sdkmanrc",
        );
        check(
            &[("mise.toml", "[tools]\njava = \"corretto-17\"")],
            "17 of mise.toml",
        );
    }

    #[test]
    fn build_files_say_the_least_that_will_do() {
        check(
            &[(
                "pom.xml",
                "<maven.compiler.release>17</maven.compiler.release>",
            )],
            ">=17 of pom.xml",
        );
        check(
            &[("pom.xml", "<java.version>1.8</java.version>")],
            ">=8 of pom.xml",
        );
        check(
            &[("pom.xml", "<release>${java.version}</release>")],
            "25 of ",
        );
        check(
            &[("build.gradle.kts", "kotlin { jvmToolchain(21) }")],
            "21 of build.gradle.kts",
        );
        check(
            &[(
                "build.gradle",
                "sourceCompatibility = JavaVersion.VERSION_1_8\n",
            )],
            ">=8 of build.gradle",
        );
        check(
            &[("build.gradle", "sourceCompatibility = '17'\n")],
            ">=17 of build.gradle",
        );
        check(&[("pom.xml", "")], "25 of ");
        check(
            &[(".java-version", "17"), ("pom.xml", "<java.version>21<")],
            "17 of .java-version",
        );
    }

    fn check_package(version: &str, expected: Option<&str>) {
        let package = Package {
            name: String::new(),
            version: version.to_owned(),
            suite: String::new(),
        };
        let found = of_package(&package).map(|version| shown(&version));
        assert_eq!(found.as_deref(), expected, "{version}");
    }

    #[test]
    fn packages_say_what_they_hold() {
        check_package("21.0.12.1+1-1~deb13u1", Some("21.0.12.1"));
        check_package("25.0.3+9-2~deb13u1", Some("25.0.3"));
        check_package("8u504-ga-1", Some("8.0.504"));
        check_package("11.0.33~8ea-1", Some("11.0.33"));
        check_package("26+35-1", Some("26"));
        check_package("27~34ea-1", None);
        check_package("unknown", None);
    }

    fn check_choice(wish: Wish, offers: &[&str], expected: Option<&str>) {
        let request = Request {
            wish,
            text: String::new(),
            origin: "pom.xml",
        };
        let offers: Vec<Offer<()>> = offers
            .iter()
            .map(|text| Offer {
                version: parse(text).unwrap(),
                origin: (),
            })
            .collect();
        let found = choose(&request, &offers).map(|offer| shown(&offer.version));
        assert_eq!(found.as_deref(), expected, "{request:?}");
    }

    #[test]
    fn the_first_source_with_the_version_is_taken() {
        let release = |text: &str| Wish::Release(parse(text).unwrap());
        let all = ["21.0.5", "21.0.12", "25.0.3", "17.0.19"];
        check_choice(release("21"), &all, Some("21.0.5"));
        check_choice(release("21.0.12"), &all, Some("21.0.12"));
        check_choice(release("21.0.1"), &all, Some("21.0.5"));
        check_choice(release("11"), &all, None);
        check_choice(Wish::AtLeast(8, NEWEST), &all, Some("17.0.19"));
        check_choice(Wish::AtLeast(18, NEWEST), &all, Some("21.0.5"));
        check_choice(Wish::AtLeast(18, 20), &all, None);
        check_choice(Wish::AtLeast(26, NEWEST), &all, None);
    }
}
