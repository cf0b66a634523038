//! What becomes of the layers of a Cloud Native Buildpack: what the next build finds of them, what
//! dynos get.
//!
//! Pure functions on what a buildpack wrote. Source: the buildpack specification, "Layer Types".
//! Read [`Types`] first.

use serde::{Deserialize, Serialize};

/// What a layer is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Types {
    /// Later buildpacks of this build see it.
    #[serde(default)]
    pub(crate) build: bool,
    /// The next build finds it again.
    #[serde(default)]
    pub(crate) cache: bool,
    /// Dynos have it.
    #[serde(default)]
    pub(crate) launch: bool,
}

/// `<layer>.toml`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Description {
    #[serde(default)]
    pub(crate) types: Types,
    #[serde(default)]
    pub(crate) metadata: toml::Table,
}

/// What the next build finds of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restored {
    Nothing,
    /// Its description, by which the buildpack may decide to use it again as it is.
    Description,
    /// Its description and its files.
    Whole,
}

/// Where the files of a layer come from after a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The buildpack has left them.
    Made,
    /// It has left a description only: they are those of the build before.
    Before,
    /// It has left a description only, of a layer that never was.
    Missing,
}

impl Types {
    /// What the next build finds of a layer of these types.
    pub(crate) fn restored(self) -> Restored {
        match self {
            Self { cache: true, .. } => Restored::Whole,
            Self {
                launch: true,
                build: false,
                ..
            } => Restored::Description,
            _ => Restored::Nothing,
        }
    }

    /// Whether anything of the layer outlives the build.
    pub(crate) fn is_kept(self) -> bool {
        self.cache || self.launch
    }

    /// Where its files come from; `was_there` says whether the build before had them.
    pub(crate) fn origin(self, has_files: bool, was_there: bool) -> Origin {
        if has_files {
            Origin::Made
        } else if self.launch && !self.build && !self.cache && was_there {
            Origin::Before
        } else {
            Origin::Missing
        }
    }
}

impl Description {
    /// Reads `<layer>.toml`.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    /// As the next build finds it: what it is for is decided anew.
    pub(crate) fn restored(&self) -> toml::Table {
        let mut table = toml::Table::new();
        table.insert("metadata".to_owned(), self.metadata.clone().into());
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(text: &str) -> Types {
        Types {
            build: text.contains('b'),
            cache: text.contains('c'),
            launch: text.contains('l'),
        }
    }

    #[test]
    fn what_the_next_build_finds() {
        let check = |text: &str, expected| assert_eq!(types(text).restored(), expected, "{text}");
        check("", Restored::Nothing);
        check("b", Restored::Nothing);
        check("l", Restored::Description);
        check("bl", Restored::Nothing);
        check("c", Restored::Whole);
        check("bc", Restored::Whole);
        check("cl", Restored::Whole);
        check("bcl", Restored::Whole);
    }

    #[test]
    fn where_files_come_from() {
        let check = |text: &str, has_files, was_there, expected| {
            let found = types(text).origin(has_files, was_there);
            assert_eq!(found, expected, "{text} {has_files} {was_there}");
        };
        for text in ["l", "bl", "cl", "c", "b"] {
            check(text, true, false, Origin::Made);
            check(text, true, true, Origin::Made);
            check(text, false, false, Origin::Missing);
        }
        check("l", false, true, Origin::Before);
        check("bl", false, true, Origin::Missing);
        check("cl", false, true, Origin::Missing);
    }

    #[test]
    fn descriptions_lose_their_types() {
        let text = "[types]\nlaunch = true\n[metadata]\nversion = \"1\"\n[metadata.deep]\na = 1\n";
        let description = Description::parse(text).unwrap();
        assert_eq!(description.types, types("l"));
        let restored = description.restored();
        assert_eq!(restored["metadata"]["deep"]["a"].as_integer(), Some(1));
        assert!(!restored.contains_key("types"));
        assert_eq!(Description::parse("").unwrap(), Description::default());
        assert!(Description::parse("types = 1").is_err());
    }
}
