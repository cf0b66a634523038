//! Which buildpacks of which group build an app: detection's answers, resolved.
//!
//! Pure functions on what `bin/detect` said. Source: the buildpack specification, "Phase 1:
//! Detection". Read [`resolve`] first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Most ways through the alternatives of one group that are tried.
const MAX_TRIALS: usize = 10_000;

/// One buildpack of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its place in the list of all buildpacks.
    pub(crate) index: usize,
    /// Whether the group does without it where it does not fit.
    pub(crate) is_optional: bool,
}

/// What `bin/detect` of one buildpack answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    /// Whether it exited with 0.
    pub(crate) passed: bool,
    /// What it provides and requires.
    pub(crate) plan: Plan,
}

/// A buildpack's build plan, as it wrote it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Plan {
    #[serde(default)]
    pub(crate) provides: Vec<Provide>,
    #[serde(default)]
    pub(crate) requires: Vec<Require>,
    /// Other plans, tried after the first.
    #[serde(default)]
    pub(crate) or: Vec<Sections>,
}

/// One of several plans.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Sections {
    #[serde(default)]
    pub(crate) provides: Vec<Provide>,
    #[serde(default)]
    pub(crate) requires: Vec<Require>,
}

/// Something a buildpack can make.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Provide {
    pub(crate) name: String,
}

/// Something a buildpack needs, with what it says about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Require {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub(crate) metadata: toml::Table,
}

/// The buildpacks that build, in order, and who meets which needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Resolved {
    /// Places in the list of all buildpacks.
    pub(crate) group: Vec<usize>,
    pub(crate) entries: Vec<Entry>,
}

/// One name of the build plan: who provides it, and what is wanted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) providers: Vec<usize>,
    pub(crate) requires: Vec<Require>,
}

impl Plan {
    fn alternatives(&self) -> Vec<Sections> {
        let first = Sections {
            provides: self.provides.clone(),
            requires: self.requires.clone(),
        };
        std::iter::once(first)
            .chain(self.or.iter().cloned())
            .collect()
    }
}

/// The first group that fits, with its build plan.
pub(crate) fn resolve(
    groups: &[Vec<Member>],
    answers: &BTreeMap<usize, Answer>,
) -> Option<Resolved> {
    groups.iter().find_map(|group| {
        let mut passed: Vec<&Member> = Vec::new();
        for member in group {
            let is_new = !passed.iter().any(|other| other.index == member.index);
            match answers.get(&member.index) {
                Some(answer) if answer.passed => {
                    if is_new {
                        passed.push(member);
                    }
                }
                _ if member.is_optional => {}
                _ => return None,
            }
        }
        if passed.is_empty() {
            return None;
        }
        trials(&passed, answers)
            .into_iter()
            .find_map(|trial| attempt(trial))
    })
}

type Trial<'a> = Vec<(&'a Member, Sections)>;

/// All ways through the alternatives; earlier buildpacks' first alternatives are kept longest.
fn trials<'a>(passed: &[&'a Member], answers: &BTreeMap<usize, Answer>) -> Vec<Trial<'a>> {
    let mut trials: Vec<Trial<'a>> = vec![Vec::new()];
    for member in passed {
        let alternatives = answers
            .get(&member.index)
            .map(|answer| answer.plan.alternatives())
            .unwrap_or_default();
        let longer = trials.iter().flat_map(|trial| {
            alternatives.iter().map(move |sections| {
                let mut longer = trial.clone();
                longer.push((*member, sections.clone()));
                longer
            })
        });
        trials = longer.take(MAX_TRIALS).collect();
    }
    trials
}

/// Takes optional buildpacks out until every need is met and everything that is made is needed.
fn attempt(mut trial: Trial<'_>) -> Option<Resolved> {
    loop {
        let needs = Needs::of(&trial);
        let Some(unmet) = needs.unmet() else {
            if trial.is_empty() {
                return None;
            }
            return Some(Resolved {
                group: trial.iter().map(|(member, _)| member.index).collect(),
                entries: needs.entries(),
            });
        };
        let is_optional = |member: &Member| member.is_optional;
        let place = trial.iter().position(|(member, _)| member.index == unmet)?;
        if !is_optional(trial[place].0) {
            return None;
        }
        trial.remove(place);
    }
}

/// Needs by name.
#[derive(Default)]
struct Needs {
    names: BTreeMap<String, Need>,
}

#[derive(Default)]
struct Need {
    providers: Vec<usize>,
    requires: Vec<Require>,
    /// Who provides what nobody has asked for yet.
    unasked: Vec<usize>,
    /// Who requires what nobody before has provided.
    early: Vec<usize>,
}

impl Needs {
    fn of(trial: &Trial<'_>) -> Self {
        let mut needs = Self::default();
        for (member, sections) in trial {
            for provide in &sections.provides {
                let need = needs.names.entry(provide.name.clone()).or_default();
                need.unasked.push(member.index);
            }
            for require in &sections.requires {
                let need = needs.names.entry(require.name.clone()).or_default();
                need.providers.append(&mut need.unasked);
                if need.providers.is_empty() {
                    need.early.push(member.index);
                } else {
                    need.requires.push(require.clone());
                }
            }
        }
        needs
    }

    /// Somebody who requires or provides in vain.
    fn unmet(&self) -> Option<usize> {
        let early = self.names.values().find_map(|need| need.early.first());
        let unasked = || self.names.values().find_map(|need| need.unasked.first());
        early.or_else(unasked).copied()
    }

    fn entries(self) -> Vec<Entry> {
        self.names
            .into_values()
            .map(|need| Entry {
                providers: need.providers,
                requires: need.requires,
            })
            .collect()
    }
}

impl Resolved {
    /// What this buildpack is asked for.
    pub(crate) fn asked_of(&self, index: usize) -> Vec<Require> {
        let mine = self
            .entries
            .iter()
            .filter(|entry| entry.providers.contains(&index));
        mine.flat_map(|entry| entry.requires.clone()).collect()
    }

    /// Takes out what this buildpack has met: all it was asked for but for the names in `unmet`.
    pub(crate) fn meet(&mut self, index: usize, unmet: &[String]) {
        self.entries.retain(|entry| {
            let is_unmet = entry
                .requires
                .iter()
                .any(|require| unmet.contains(&require.name));
            !entry.providers.contains(&index) || is_unmet
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a b? | c`: groups of members by letter, `?` for optional.
    fn groups(text: &str) -> Vec<Vec<Member>> {
        text.split('|')
            .map(|group| {
                group
                    .split_whitespace()
                    .map(|word| Member {
                        index: usize::from(word.as_bytes()[0] - b'a'),
                        is_optional: word.ends_with('?'),
                    })
                    .collect()
            })
            .collect()
    }

    /// `+x-y`: provides x and requires y.
    fn sections_of(text: &str) -> Sections {
        let mut sections = Sections::default();
        for (place, sign) in text.match_indices(['+', '-']) {
            let name = text[place + 1..place + 2].to_owned();
            if sign == "+" {
                sections.provides.push(Provide { name });
            } else {
                let metadata = toml::Table::new();
                sections.requires.push(Require { name, metadata });
            }
        }
        sections
    }

    /// `a:+x-y/-z`: provides x and requires y, or requires z; `!a` did not pass.
    fn answers(text: &str) -> BTreeMap<usize, Answer> {
        text.split_whitespace()
            .map(|word| {
                let passed = !word.starts_with('!');
                let word = word.trim_start_matches('!');
                let (letter, plan) = word.split_once(':').unwrap_or((word, ""));
                let mut sections = plan.split('/').map(sections_of);
                let first = sections.next().unwrap();
                let plan = Plan {
                    provides: first.provides,
                    requires: first.requires,
                    or: sections.collect(),
                };
                let index = usize::from(letter.as_bytes()[0] - b'a');
                (index, Answer { passed, plan })
            })
            .collect()
    }

    fn check(order: &str, said: &str, expected: Option<&str>) {
        let found = resolve(&groups(order), &answers(said)).map(|resolved| {
            let letters: Vec<String> = resolved
                .group
                .iter()
                .map(|index| char::from(b'a' + u8::try_from(*index).unwrap()).to_string())
                .collect();
            letters.join("")
        });
        assert_eq!(found.as_deref(), expected, "{order} with {said}");
    }

    #[test]
    fn groups_are_tried_in_order() {
        check("a", "a", Some("a"));
        check("a", "!a", None);
        check("a b", "a !b", None);
        check("a b?", "a !b", Some("a"));
        check("a? b?", "!a !b", None);
        check("a | b", "!a b", Some("b"));
        check("a b | b", "!a b", Some("b"));
        check("a | b", "a b", Some("a"));
    }

    #[test]
    fn needs_are_met_by_those_before_or_by_oneself() {
        check("a b", "a:+x b:-x", Some("ab"));
        check("a b", "a:-x b:+x", None);
        check("a", "a:+x-x", Some("a"));
        check("a b", "a:+x b", None);
        check("a b", "a b:-x", None);
        check("a? b", "a:+x b", Some("b"));
        check("a b?", "a b:-x", Some("a"));
        check("a? b? c", "a:+x b:-x+y c", Some("c"));
        check("a b c", "a:+x b:+x c:-x", Some("abc"));
        check("a | b", "a:-x b", Some("b"));
    }

    #[test]
    fn alternatives_are_tried_in_order() {
        check("a b", "a:+x/+y b:-y", Some("ab"));
        check("a b", "a:+x/ b", Some("ab"));
        check("a b", "a:+x/+z b:-y/-z", Some("ab"));
        check("a b", "a:+x/+y b:-z", None);
    }

    #[test]
    fn what_is_met_is_not_asked_of_the_next() {
        let mut resolved = resolve(&groups("a b c"), &answers("a:+x b:+x c:-x")).unwrap();
        let names = |resolved: &Resolved, index| {
            let asked = resolved.asked_of(index);
            asked.into_iter().map(|r| r.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&resolved, 0), ["x"]);
        assert_eq!(names(&resolved, 1), ["x"]);
        assert_eq!(names(&resolved, 2), Vec::<String>::new());
        resolved.meet(0, &["x".to_owned()]);
        assert_eq!(names(&resolved, 1), ["x"]);
        resolved.meet(1, &[]);
        assert_eq!(resolved.entries, []);
    }
}
