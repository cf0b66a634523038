//! `buildpack.toml`: what a Cloud Native Buildpack says of itself, and the order of a composite.
//!
//! Pure functions on text. Read [`Descriptor`] and [`expand`] first.

use serde::Deserialize;

use super::plan::Member;

/// The buildpack API that is spoken here: 0.7 to 0.12.
const APIS: std::ops::RangeInclusive<u32> = 7..=12;
/// Most groups that an order is spelled out to.
const MAX_GROUPS: usize = 1000;
/// Deepest composite of composites.
const MAX_DEPTH: usize = 8;

/// A `buildpack.toml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Descriptor {
    /// `0.10`.
    pub(crate) api: String,
    pub(crate) buildpack: Identity,
    /// Of a composite: groups of others.
    #[serde(default)]
    pub(crate) order: Vec<Group>,
}

/// Who it is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Identity {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) name: String,
    /// Whether its programs do not have config vars in their environment.
    #[serde(default)]
    pub(crate) clear_env: bool,
}

/// One group of an order.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Group {
    #[serde(default)]
    pub(crate) group: Vec<Reference>,
}

/// One buildpack of a group.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Reference {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) optional: bool,
}

impl Descriptor {
    /// Reads a `buildpack.toml`; `None` if it is not that of a Cloud Native Buildpack.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, String> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            format!("buildpack.toml cannot be read: {}", error.message())
        })?;
        if !table.contains_key("api") {
            return Ok(None);
        }
        let descriptor: Self = table
            .try_into()
            .map_err(|error: toml::de::Error| format!("buildpack.toml: {}", error.message()))?;
        if !is_spoken(&descriptor.api) {
            return Err(format!(
                "buildpack API {} is not spoken here, but 0.{} to 0.{}",
                descriptor.api.escape_debug(),
                APIS.start(),
                APIS.end()
            ));
        }
        let id = &descriptor.buildpack.id;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        if id.is_empty() || id.contains("..") || !id.bytes().all(is_plain) {
            return Err(format!("`{}` is no id of a buildpack", id.escape_debug()));
        }
        Ok(Some(descriptor))
    }

    /// The id as the name of a directory.
    pub(crate) fn folder(&self) -> String {
        self.buildpack.id.replace('/', "_")
    }

    /// As it is shown: `heroku/nodejs 3.0.0`.
    pub(crate) fn shown(&self) -> String {
        format!("{} {}", self.buildpack.id, self.buildpack.version)
            .trim_end()
            .to_owned()
    }
}

fn is_spoken(api: &str) -> bool {
    api.strip_prefix("0.")
        .and_then(|minor| minor.parse::<u32>().ok())
        .is_some_and(|minor| APIS.contains(&minor))
}

/// Spells out a group whose members may be composites: the groups of plain buildpacks to try, in
/// order.
///
/// # Errors
/// The id of a buildpack that is not among `all`, or what is too much.
pub(crate) fn expand(group: &[Reference], all: &[Descriptor]) -> Result<Vec<Vec<Member>>, String> {
    expand_below(group, all, 0)
}

fn expand_below(
    group: &[Reference],
    all: &[Descriptor],
    depth: usize,
) -> Result<Vec<Vec<Member>>, String> {
    if depth > MAX_DEPTH {
        return Err("the order of this buildpack is too deep".to_owned());
    }
    let mut groups: Vec<Vec<Member>> = vec![Vec::new()];
    for reference in group {
        let index = all
            .iter()
            .position(|descriptor| descriptor.buildpack.id == reference.id)
            .ok_or_else(|| format!("the buildpack {} is not part of the package", reference.id))?;
        let is_optional = reference.optional;
        let order = &all[index].order;
        let mut ways: Vec<Vec<Member>> = Vec::new();
        if order.is_empty() {
            ways.push(vec![Member { index, is_optional }]);
        }
        for inner in order {
            ways.extend(expand_below(&inner.group, all, depth + 1)?);
        }
        if !order.is_empty() && is_optional {
            ways.push(Vec::new());
        }
        let longer = groups.iter().flat_map(|before| {
            ways.iter().map(move |way| {
                let mut longer = before.clone();
                longer.extend(way.iter().cloned());
                longer
            })
        });
        groups = longer.take(MAX_GROUPS + 1).collect();
        if groups.len() > MAX_GROUPS {
            return Err("the order of this buildpack has too many groups".to_owned());
        }
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_parsed(text: &str, expected: Result<Option<&str>, &str>) {
        let parsed = Descriptor::parse(text);
        match (parsed, expected) {
            (Ok(found), Ok(wanted)) => {
                let id = found.map(|descriptor| descriptor.buildpack.id);
                assert_eq!(id.as_deref(), wanted, "{text}");
            }
            (Err(found), Err(wanted)) => assert!(found.contains(wanted), "{found}"),
            (found, _) => panic!("{text}: {found:?}"),
        }
    }

    #[test]
    fn what_buildpacks_say_of_themselves() {
        let of = |api: &str, id: &str| format!("api = \"{api}\"\n[buildpack]\nid = \"{id}\"\n");
        check_parsed(&of("0.10", "heroku/x"), Ok(Some("heroku/x")));
        check_parsed(&of("0.7", "x"), Ok(Some("x")));
        check_parsed(&of("0.12", "x"), Ok(Some("x")));
        check_parsed("[buildpack]\nname = \"classic\"\n", Ok(None));
        check_parsed(&of("0.6", "x"), Err("is not spoken"));
        check_parsed(&of("0.13", "x"), Err("is not spoken"));
        check_parsed(&of("1.0", "x"), Err("is not spoken"));
        check_parsed(&of("0.10", "../x"), Err("no id"));
        check_parsed(&of("0.10", ""), Err("no id"));
        check_parsed("api = 1", Err("buildpack.toml"));
        check_parsed("api = ", Err("buildpack.toml"));
    }

    /// `m=a b?|c` is a composite of two groups; `a` is plain.
    fn all(text: &str) -> Vec<Descriptor> {
        text.split(", ")
            .map(|word| {
                let (id, order) = word.split_once('=').unwrap_or((word, ""));
                let groups = order.split('|').filter(|group| !group.is_empty());
                Descriptor {
                    api: "0.10".to_owned(),
                    buildpack: Identity {
                        id: id.to_owned(),
                        ..Identity::default()
                    },
                    order: groups
                        .map(|group| Group {
                            group: references(group),
                        })
                        .collect(),
                }
            })
            .collect()
    }

    fn references(text: &str) -> Vec<Reference> {
        text.split(' ')
            .map(|word| Reference {
                id: word.trim_end_matches('?').to_owned(),
                optional: word.ends_with('?'),
            })
            .collect()
    }

    fn check(group: &str, package: &str, expected: Result<&str, &str>) {
        let all = all(package);
        let word = |member: &Member| {
            let mark = if member.is_optional { "?" } else { "" };
            format!("{}{mark}", all[member.index].buildpack.id)
        };
        let text = |group: &Vec<Member>| group.iter().map(word).collect::<Vec<_>>().join(" ");
        let found = expand(&references(group), &all)
            .map(|groups| groups.iter().map(text).collect::<Vec<_>>().join("|"));
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{package}"),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, _) => panic!("{package}: {found:?}"),
        }
    }

    #[test]
    fn composites_are_spelled_out() {
        check("a", "a", Ok("a"));
        check("a b?", "a, b", Ok("a b?"));
        check("m", "m=a b?|c, a, b, c", Ok("a b?|c"));
        check("m d", "m=a|c, a, c, d", Ok("a d|c d"));
        check("m? d", "m=a, a, d", Ok("a d|d"));
        check("m", "m=n a?|a, n=b|c, a, b, c", Ok("b a?|c a?|a"));
        check("m n", "m=a|b, n=c|d, a, b, c, d", Ok("a c|a d|b c|b d"));
        check("x", "a", Err("x is not part"));
        check("m", "m=x, a", Err("x is not part"));
        check("m", "m=m", Err("too deep"));
    }
}
