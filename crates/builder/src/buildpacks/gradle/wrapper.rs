//! Which Gradle an app asks for: what its wrapper's properties say.
//!
//! Pure. Read [`Distribution::of`] first.

use crate::{
    buildpacks::{java::property, lines},
    error::BuildError,
    source_tree::SourceTree,
};

const PROPERTIES: &str = "gradle/wrapper/gradle-wrapper.properties";

/// A Gradle that an app pins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Distribution {
    /// `8.10.2`
    pub(super) version: String,
    /// Where it is published.
    pub(super) url: String,
    /// What its archive must be, in lower case.
    pub(super) sha256: Option<String>,
}

impl Distribution {
    /// What the wrapper of the app pins; `None` when it has no wrapper.
    ///
    /// # Errors
    /// `Source` for an address or a checksum that is none.
    pub(super) fn of(tree: &SourceTree) -> Result<Option<Self>, BuildError> {
        if !tree.has_file(PROPERTIES) {
            return Ok(None);
        }
        let read = |name: &str| Some(property(tree, PROPERTIES, name)?.replace('\\', ""));
        let text = read("distributionUrl").unwrap_or_default();
        let (url, version) = parse(&text).ok_or_else(|| invalid("distributionUrl", &text))?;
        let sha256 = read("distributionSha256Sum").map(|sum| sum.to_ascii_lowercase());
        if let Some(sum) = &sha256
            && !(sum.len() == 64 && sum.chars().all(|c| c.is_ascii_hexdigit()))
        {
            return Err(invalid("distributionSha256Sum", sum));
        }
        Ok(Some(Self {
            version,
            url,
            sha256,
        }))
    }
}

/// The address and the version that its last part names: `gradle-8.10.2-bin.zip`.
fn parse(text: &str) -> Option<(String, String)> {
    let rest = text.strip_prefix("https://")?;
    let (host, path) = rest.split_once('/')?;
    let is_plain = !host.is_empty()
        && !host.contains('@')
        && text.chars().all(|c| c.is_ascii_graphic() && c != '\\');
    let name = path.rsplit('/').next()?;
    let version = name.strip_prefix("gradle-")?.strip_suffix(".zip")?;
    let version = version
        .strip_suffix("-bin")
        .or_else(|| version.strip_suffix("-all"))?;
    let is_version = version.starts_with(|c: char| c.is_ascii_digit())
        && version
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".-+".contains(c));
    (is_plain && is_version).then(|| (text.to_owned(), version.to_owned()))
}

/// The newest Java that a Gradle runs on, as its compatibility table has it.
pub(super) fn newest_java(version: &str) -> u64 {
    let mut parts = version
        .split(['.', '-'])
        .map(|part| part.parse().unwrap_or(0));
    let release: (u32, u32) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    match release {
        (9.., 1..) | (10.., _) => 25,
        (8, 5..) | (9, 0) => 21,
        (7, 3..) | (8, _) => 17,
        (5.., _) => 11,
        _ => 8,
    }
}

fn invalid(name: &str, text: &str) -> BuildError {
    let text: String = text.chars().take(120).collect();
    BuildError::Source {
        problem: format!("The {name} in {PROPERTIES} is not valid: {text}"),
        advice: lines(&[
            "hint: run `gradle wrapper --gradle-version 8.14` and commit what it writes. The address",
            "begins with https:// and ends in gradle-VERSION-bin.zip; the checksum is a SHA-256.",
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    fn check(text: &str, expected: Result<(&str, bool), &str>) {
        let found = Distribution::of(&source_of(&[(PROPERTIES, text)]).1);
        let shown = found
            .map(|found| {
                let found = found.unwrap();
                (found.version, found.sha256.is_some())
            })
            .map_err(|error| error.to_string());
        let expected = expected
            .map(|(version, pins)| (version.to_owned(), pins))
            .map_err(|problem| format!("The {problem}"));
        assert_eq!(shown, expected, "{text:?}");
    }

    #[test]
    fn wrappers_pin_a_version() {
        let url = "distributionUrl=https\\://gradle.example/distributions/gradle-8.10.2-bin.zip\n";
        check(url, Ok(("8.10.2", false)));
        let sum = format!("{url}distributionSha256Sum={}\n", "aB".repeat(32));
        check(&sum, Ok(("8.10.2", true)));
        check(
            &url.replace("8.10.2-bin", "9.0-rc-1-all"),
            Ok(("9.0-rc-1", false)),
        );
        check(
            &url.replace("https", "file"),
            Err(
                "distributionUrl in gradle/wrapper/gradle-wrapper.properties is not valid: file://gradle.example/distributions/gradle-8.10.2-bin.zip",
            ),
        );
        check(
            "distributionBase=X",
            Err("distributionUrl in gradle/wrapper/gradle-wrapper.properties is not valid: "),
        );
        check(
            &format!("{url}distributionSha256Sum=12\n"),
            Err(
                "distributionSha256Sum in gradle/wrapper/gradle-wrapper.properties is not valid: 12",
            ),
        );
    }

    #[test]
    fn gradles_run_on_javas_of_their_time() {
        let javas = ["9.1.0", "9.0", "8.14.3", "8.4", "7.6", "6.9.4", "4.4.1"].map(newest_java);
        assert_eq!(javas, [25, 21, 21, 17, 17, 11, 8]);
    }
}
