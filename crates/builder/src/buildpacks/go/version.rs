//! Which Go an app gets of those that can be had.
//!
//! Pure: `scripts/go_catalogue.sh` says what there is, [`choose`] picks. A `go` line is the least
//! that an app needs; as on Heroku, `1.22` means the newest release of that line.

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::{buildpacks::lines, error::BuildError};

/// The first version that can be fetched as a module.
const FIRST_FETCHED: Version = Version::new(1, 21, 0);

/// A wish as it was written, without `go` before it, and where; both empty when there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    /// `1.22` or `1.22.3`
    pub(super) text: String,
    /// `go.mod`
    pub(super) origin: &'static str,
}

/// Versions that can be had. See `scripts/go_catalogue.sh`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Catalogue {
    /// The stack's own.
    pub(super) stack: String,
    /// Those that the module proxy has; empty when it cannot be reached.
    pub(super) upstream: Vec<String>,
}

/// The version to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Toolchain {
    pub(super) version: Version,
    pub(super) is_stacks_own: bool,
    /// What the app's owner should know of the choice.
    pub(super) warning: Option<String>,
}

/// # Errors
/// `Source` for a text that is no version, or one that nobody has.
pub(super) fn choose(request: &Request, catalogue: &Catalogue) -> Result<Toolchain, BuildError> {
    let stack = Version::parse(&catalogue.stack).ok();
    let mut all: Vec<Version> = catalogue
        .upstream
        .iter()
        .filter_map(|text| Version::parse(text).ok())
        .filter(|version| *version >= FIRST_FETCHED)
        .collect();
    all.extend(stack.clone());
    all.sort();
    let wished = Wish::parse(request)?;
    let newest = |fits: &dyn Fn(&Version) -> bool| all.iter().rev().find(|found| fits(found));
    let exact = newest(&|found| wished.is_met_by(found));
    // Go keeps its promise to compile old code, so a later version does where this one is not had.
    let later = || newest(&|found| wished.is_before(found));
    let version = exact
        .or_else(later)
        .ok_or_else(|| unavailable(request))?
        .clone();
    let warning = exact.is_none().then(|| {
        format!(
            "Go {} is not available on this platform; {version} is used instead.",
            request.text
        )
    });
    Ok(Toolchain {
        is_stacks_own: stack.as_ref() == Some(&version),
        version,
        warning,
    })
}

/// What a version text means.
enum Wish {
    Any,
    Line(u64, u64),
    Exact(Version),
}

impl Wish {
    fn parse(request: &Request) -> Result<Self, BuildError> {
        if request.text.is_empty() {
            return Ok(Self::Any);
        }
        let parts: Option<Vec<u64>> = request
            .text
            .split('.')
            .map(|part| part.parse().ok())
            .collect();
        match parts.as_deref() {
            Some([major, minor]) => Ok(Self::Line(*major, *minor)),
            Some([major, minor, patch]) => Ok(Self::Exact(Version::new(*major, *minor, *patch))),
            _ => Err(invalid(request)),
        }
    }

    fn is_met_by(&self, version: &Version) -> bool {
        match self {
            Self::Any => true,
            Self::Line(major, minor) => (version.major, version.minor) == (*major, *minor),
            Self::Exact(wanted) => version == wanted,
        }
    }

    fn is_before(&self, version: &Version) -> bool {
        match self {
            Self::Any => true,
            Self::Line(major, minor) => *version >= Version::new(*major, *minor, 0),
            Self::Exact(wanted) => version >= wanted,
        }
    }
}

fn invalid(request: &Request) -> BuildError {
    let text: String = request.text.chars().take(80).collect();
    BuildError::Source {
        problem: format!("The Go version in {} is not valid: {text}", request.origin),
        advice: lines(&["hint: write a version such as 1.25 or 1.25.3."]),
    }
}

fn unavailable(request: &Request) -> BuildError {
    BuildError::Source {
        problem: format!(
            "Go {}, which {} asks for, cannot be had, nor a later one.",
            request.text, request.origin
        ),
        advice: lines(&["hint: ask for an earlier version, or see whether GOPROXY is right."]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wish: &str, upstream: &[&str], expected: &str) {
        let request = Request {
            text: wish.to_owned(),
            origin: "go.mod",
        };
        let catalogue = Catalogue {
            stack: "1.24.4".to_owned(),
            upstream: upstream.iter().map(|text| (*text).to_owned()).collect(),
        };
        let shown = choose(&request, &catalogue).map_or_else(
            |error| error.to_string(),
            |chosen| {
                let own = if chosen.is_stacks_own { " own" } else { "" };
                let warning = chosen.warning.map_or("", |_| " warns");
                format!("{}{own}{warning}", chosen.version)
            },
        );
        assert_eq!(shown, expected, "{wish} of {upstream:?}");
    }

    #[test]
    fn the_newest_that_fits_is_used() {
        let all = ["1.20.1", "1.22.0", "1.22.12", "1.24.4", "1.25.3", "1.26.0"];
        check("", &all, "1.26.0");
        check("1.22", &all, "1.22.12");
        check("1.22.0", &all, "1.22.0");
        check("1.24", &all, "1.24.4 own");
        check("1.25.3", &all, "1.25.3");
    }

    #[test]
    fn a_later_one_serves_where_a_version_cannot_be_had() {
        let all = ["1.20.1", "1.22.12", "1.25.3"];
        check("1.19", &all, "1.25.3 warns");
        check("1.23.1", &all, "1.25.3 warns");
        check("1.22", &[], "1.24.4 own warns");
        check("1.24.2", &[], "1.24.4 own warns");
        let unavailable = "Go 1.25, which go.mod asks for, cannot be had, nor a later one.";
        check("1.25", &[], unavailable);
        check(
            "nonsense",
            &all,
            "The Go version in go.mod is not valid: nonsense",
        );
    }
}
