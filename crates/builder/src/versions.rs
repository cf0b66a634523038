//! Version wishes as apps write them: npm's ranges and Python's specifiers.
//!
//! Pure; it must not know where versions come from. Read [`NpmRange`] and [`PythonRange`].

use semver::Version;

/// An npm range: `18.x`, `>=18 <21`, `^20.1 || ~22.3.0`, `14 - 16`, `*`.
///
/// Source: <https://github.com/npm/node-semver#ranges>. Prereleases are not known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NpmRange(Vec<Vec<Bound>>);

/// One comparison: below, at or above a version.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Bound {
    AtLeast(Version),
    Below(Version),
    Not(Version, Version),
}

impl Bound {
    fn holds(&self, version: &Version) -> bool {
        match self {
            Self::AtLeast(bound) => version >= bound,
            Self::Below(bound) => version < bound,
            Self::Not(from, to) => version < from || version >= to,
        }
    }
}

impl NpmRange {
    /// `None` if the text is no range.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.split("||")
            .map(parse_npm_part)
            .collect::<Option<Vec<_>>>()
            .map(Self)
    }

    pub(crate) fn matches(&self, version: &Version) -> bool {
        self.0
            .iter()
            .any(|bounds| bounds.iter().all(|bound| bound.holds(version)))
    }
}

/// A version with parts left out: `18`, `18.x`, `v18.2`, `*`.
struct Partial {
    parts: Vec<u64>,
}

impl Partial {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim_start_matches(['v', '=']);
        let core = text.split(['-', '+']).next().unwrap_or(text);
        let mut parts = Vec::new();
        for part in core.split('.') {
            if matches!(part, "x" | "X" | "*" | "") {
                break;
            }
            parts.push(part.parse().ok()?);
        }
        (parts.len() <= 3).then_some(Self { parts })
    }

    fn part(&self, index: usize) -> u64 {
        self.parts.get(index).copied().unwrap_or(0)
    }

    fn lowest(&self) -> Version {
        Version::new(self.part(0), self.part(1), self.part(2))
    }

    /// The first version past those that share the first `kept` parts.
    fn past(&self, kept: usize) -> Option<Version> {
        match kept.min(self.parts.len()) {
            0 => None,
            1 => Some(Version::new(self.part(0) + 1, 0, 0)),
            2 => Some(Version::new(self.part(0), self.part(1) + 1, 0)),
            _ => Some(Version::new(self.part(0), self.part(1), self.part(2) + 1)),
        }
    }

    /// From the lowest version up to [`Self::past`].
    fn span(&self, kept: usize) -> Vec<Bound> {
        let mut bounds = vec![Bound::AtLeast(self.lowest())];
        bounds.extend(self.past(kept).map(Bound::Below));
        bounds
    }
}

fn parse_npm_part(text: &str) -> Option<Vec<Bound>> {
    if let Some((from, to)) = text.split_once(" - ") {
        let (from, to) = (Partial::parse(from.trim())?, Partial::parse(to.trim())?);
        let mut bounds = vec![Bound::AtLeast(from.lowest())];
        bounds.extend(to.past(3).map(Bound::Below));
        return Some(bounds);
    }
    let mut bounds = Vec::new();
    let mut words = text.split([' ', ',']).filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let operator_length = word.len() - word.trim_start_matches(['<', '>', '=', '^', '~']).len();
        let (operator, version) = word.split_at(operator_length);
        // `>= 18` is written with a space as well.
        let version = if version.is_empty() && !operator.is_empty() {
            words.next()?
        } else {
            version
        };
        bounds.extend(npm_comparison(operator, &Partial::parse(version)?)?);
    }
    Some(bounds)
}

fn npm_comparison(operator: &str, version: &Partial) -> Option<Vec<Bound>> {
    let lowest = version.lowest();
    let past = version.past(3);
    Some(match operator {
        "" | "=" => version.span(3),
        ">=" => vec![Bound::AtLeast(lowest)],
        ">" => past.map(Bound::AtLeast).into_iter().collect(),
        "<" => vec![Bound::Below(lowest)],
        "<=" => past.map(Bound::Below).into_iter().collect(),
        "~" | "~>" => version.span(2),
        "^" => {
            let first_above_zero = version.parts.iter().position(|part| *part > 0);
            version.span(first_above_zero.map_or(version.parts.len(), |index| index + 1))
        }
        _ => return None,
    })
}

/// Python version specifiers (`>=3.12,<3.15`, `~=3.13`, `==3.13.*`) and Poetry's (`^3.12`).
///
/// Source: PEP 440, "Version specifiers".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PythonRange(Vec<Vec<Bound>>);

impl PythonRange {
    /// `None` if the text is no specifier.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let alternatives = text.split("||").map(|alternative| {
            let parts = alternative
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty());
            let bounds: Option<Vec<Vec<Bound>>> = parts.map(parse_specifier).collect();
            bounds.map(|bounds| bounds.concat())
        });
        alternatives.collect::<Option<Vec<_>>>().map(Self)
    }

    pub(crate) fn matches(&self, version: &Version) -> bool {
        self.0
            .iter()
            .any(|bounds| bounds.iter().all(|bound| bound.holds(version)))
    }
}

fn parse_specifier(text: &str) -> Option<Vec<Bound>> {
    let version_at = text
        .find(|c: char| c.is_ascii_digit() || c == '*')
        .unwrap_or(text.len());
    let (operator, version) = text.split_at(version_at);
    let is_wild = version.ends_with('*');
    let partial = Partial::parse(version)?;
    Some(match operator.trim() {
        "==" | "===" | "" => partial.span(3),
        // `!=3.13` names 3.13.0 alone, `!=3.13.*` the whole line.
        "!=" if is_wild => partial
            .past(3)
            .map(|past| Bound::Not(partial.lowest(), past))
            .into_iter()
            .collect(),
        "!=" => {
            let lowest = partial.lowest();
            let past = Version::new(lowest.major, lowest.minor, lowest.patch + 1);
            vec![Bound::Not(lowest, past)]
        }
        "~=" => partial.span(partial.parts.len().saturating_sub(1).max(1)),
        // `>3.12` and `<=3.12` compare with 3.12.0, unlike npm's.
        ">" => {
            let lowest = partial.lowest();
            vec![Bound::AtLeast(Version::new(
                lowest.major,
                lowest.minor,
                lowest.patch + 1,
            ))]
        }
        "<=" => {
            let lowest = partial.lowest();
            vec![Bound::Below(Version::new(
                lowest.major,
                lowest.minor,
                lowest.patch + 1,
            ))]
        }
        operator => return npm_comparison(operator, &partial),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    fn check_npm(range: &str, inside: &[&str], outside: &[&str]) {
        let parsed = NpmRange::parse(range).unwrap_or_else(|| panic!("{range:?}"));
        for text in inside {
            assert!(parsed.matches(&version(text)), "{text} is in {range:?}");
        }
        for text in outside {
            assert!(
                !parsed.matches(&version(text)),
                "{text} is not in {range:?}"
            );
        }
    }

    #[test]
    fn npm_ranges() {
        check_npm("20", &["20.0.0", "20.9.1"], &["19.9.9", "21.0.0"]);
        check_npm("20.x", &["20.0.0", "20.9.1"], &["21.0.0"]);
        check_npm("v20.11", &["20.11.9"], &["20.12.0"]);
        check_npm("20.11.1", &["20.11.1"], &["20.11.2"]);
        check_npm(">=18", &["18.0.0", "24.0.0"], &["17.9.9"]);
        check_npm(">= 18 < 21", &["18.0.0", "20.9.9"], &["21.0.0"]);
        check_npm(">18", &["19.0.0"], &["18.9.9"]);
        check_npm("<=18", &["18.9.9"], &["19.0.0"]);
        check_npm("^20.1", &["20.1.0", "20.9.0"], &["20.0.9", "21.0.0"]);
        check_npm("^0.12.1", &["0.12.9"], &["0.13.0"]);
        check_npm("^0.0.3", &["0.0.3"], &["0.0.4"]);
        check_npm("~20.1.2", &["20.1.9"], &["20.2.0"]);
        check_npm("~20", &["20.9.9"], &["21.0.0"]);
        check_npm(
            "18 || ^20.3.0 || >=22",
            &["18.1.0", "20.3.0", "23.0.0"],
            &["19.0.0", "21.0.0"],
        );
        check_npm("16 - 18", &["16.0.0", "18.9.9"], &["15.0.0", "19.0.0"]);
        check_npm("*", &["1.0.0", "99.0.0"], &[]);
        check_npm("", &["1.0.0"], &[]);
        check_npm("x", &["1.0.0"], &[]);
        check_npm(
            "^18.17.0 || >=20.5.0",
            &["18.17.0", "20.5.0"],
            &["18.16.0", "20.4.0"],
        );
        for text in ["latest", "lts/*", "node", "1.2.3.4", ">>1"] {
            assert_eq!(NpmRange::parse(text), None, "{text:?}");
        }
    }

    fn check_python(range: &str, inside: &[&str], outside: &[&str]) {
        let parsed = PythonRange::parse(range).unwrap_or_else(|| panic!("{range:?}"));
        for text in inside {
            assert!(parsed.matches(&version(text)), "{text} is in {range:?}");
        }
        for text in outside {
            assert!(
                !parsed.matches(&version(text)),
                "{text} is not in {range:?}"
            );
        }
    }

    #[test]
    fn python_specifiers() {
        check_python(">=3.12", &["3.12.0", "3.14.1"], &["3.11.9"]);
        check_python(">=3.12,<3.14", &["3.13.9"], &["3.14.0"]);
        check_python(">=3.12, <4", &["3.14.0"], &["4.0.0"]);
        check_python("~=3.12", &["3.12.0", "3.14.0"], &["4.0.0", "3.11.0"]);
        check_python("~=3.12.1", &["3.12.9"], &["3.13.0", "3.12.0"]);
        check_python("==3.13.*", &["3.13.7"], &["3.14.0"]);
        check_python("==3.13.2", &["3.13.2"], &["3.13.3"]);
        check_python("!=3.13.*", &["3.12.0", "3.14.0"], &["3.13.1"]);
        check_python(">=3.9,!=3.9.7", &["3.9.6"], &["3.9.7"]);
        check_python("^3.12", &["3.12.0", "3.14.0"], &["4.0.0"]);
        check_python(">3.12", &["3.12.1"], &["3.12.0"]);
        check_python("<=3.13", &["3.13.0", "3.12.9"], &["3.13.1"]);
        check_python("3.13", &["3.13.7"], &["3.12.0"]);
        assert_eq!(PythonRange::parse("three"), None);
    }
}
