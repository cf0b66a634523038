//! Names that people choose, checked once at the edge and safe everywhere behind it.
//!
//! Each type can only hold a valid name, so no room needs to escape or re-check one.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a name was refused; the text is shown to the person who chose it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// See [`AppName`].
    #[error(
        "Name must start with a letter, end with a letter or digit and can only contain lowercase letters, numbers, and dashes, between 3 and 30 characters"
    )]
    App,
    /// See [`TeamName`].
    #[error(
        "Team name must start with a letter, end with a letter or digit and can only contain lowercase letters, numbers, and dashes, between 3 and 30 characters; apps, invitations and permissions are no team names"
    )]
    Team,
    /// See [`ProcessType`].
    #[error(
        "Process type `{0}` is not valid: use letters, digits, dashes and underscores, at most 40 characters"
    )]
    ProcessType(String),
    /// See [`DynoName`].
    #[error("`{0}` is not a dyno name such as web.1")]
    Dyno(String),
    /// See [`StackName`].
    #[error("`{0}` is not a stack name such as landfall-13")]
    Stack(String),
    /// See [`ConfigVarName`].
    #[error(
        "Config var name `{0}` is not valid: use letters, digits and underscores, and do not start with a digit"
    )]
    ConfigVar(String),
}

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

text_name! {
    /// An app's name, a DNS label: `^[a-z][a-z0-9-]{1,28}[a-z0-9]$` (Platform API, `app.name`).
    AppName
}
text_name! {
    /// A team's name: as an app's, and no word that follows `/teams/` in a path.
    TeamName
}
text_name! {
    /// A process type from a Procfile: `^[-\w]{1,40}$`.
    ProcessType
}
text_name! {
    /// A dyno's name within its app: process type, dot, number (`web.1`, `run.4821`).
    DynoName
}
text_name! {
    /// A stack's name: `^[a-z][a-z0-9-]{1,40}$`.
    StackName
}
text_name! {
    /// A config var's name, a POSIX environment variable name of at most 200 characters.
    ConfigVarName
}

impl FromStr for AppName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bytes = text.as_bytes();
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
            return Err(NameError::App);
        };
        let valid = (3..=30).contains(&bytes.len())
            && first.is_ascii_lowercase()
            && *last != b'-'
            && bytes
                .iter()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::App)
        }
    }
}

impl FromStr for TeamName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        const TAKEN: [&str; 3] = ["apps", "invitations", "permissions"];
        match text.parse::<AppName>() {
            Ok(AppName(name)) if !TAKEN.contains(&text) => Ok(Self(name)),
            _ => Err(NameError::Team),
        }
    }
}

impl FromStr for ProcessType {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let valid = (1..=40).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::ProcessType(text.to_owned()))
        }
    }
}

impl ProcessType {
    /// The type whose dynos receive requests.
    pub const WEB: &'static str = "web";
    /// The type that runs once, before a release goes live.
    pub const RELEASE: &'static str = "release";

    /// Whether dynos of this type receive requests.
    pub fn is_web(&self) -> bool {
        self.0 == Self::WEB
    }

    /// Whether this is the release phase command, which never runs as a formation.
    pub fn is_release(&self) -> bool {
        self.0 == Self::RELEASE
    }
}

impl FromStr for DynoName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refused = || NameError::Dyno(text.to_owned());
        let (process_type, number) = text.split_once('.').ok_or_else(refused)?;
        let _: ProcessType = process_type.parse().map_err(|_| refused())?;
        let _: u32 = number.parse().map_err(|_| refused())?;
        Ok(Self(text.to_owned()))
    }
}

impl DynoName {
    /// The name of the `number`th dyno of a process type.
    pub fn new(process_type: &ProcessType, number: u32) -> Self {
        Self(format!("{process_type}.{number}"))
    }

    /// The part before the dot.
    pub fn process_type(&self) -> ProcessType {
        ProcessType(
            self.0
                .split_once('.')
                .map_or("", |(process_type, _)| process_type)
                .to_owned(),
        )
    }

    /// The part after the dot.
    pub fn number(&self) -> u32 {
        self.0
            .split_once('.')
            .and_then(|(_, number)| number.parse().ok())
            .unwrap_or(0)
    }
}

impl FromStr for StackName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let valid = (2..=41).contains(&text.len())
            && text.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Stack(text.to_owned()))
        }
    }
}

impl FromStr for ConfigVarName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let valid = (1..=200).contains(&text.len())
            && !text.as_bytes().first().is_some_and(u8::is_ascii_digit)
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::ConfigVar(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr>(text: &str, valid: bool) {
        assert_eq!(text.parse::<T>().is_ok(), valid, "{text:?}");
    }

    #[test]
    fn app_names() {
        check::<AppName>("example", true);
        check::<AppName>("a-1", true);
        for refused in [
            "",
            "ab",
            "1ab",
            "Ab-c",
            "ab-",
            "a_b",
            "a.b",
            "../x",
            &"a".repeat(31),
        ] {
            check::<AppName>(refused, false);
        }
    }

    #[test]
    fn team_names() {
        check::<TeamName>("acme", true);
        for refused in [
            "",
            "ac",
            "Acme",
            "apps",
            "invitations",
            "permissions",
            "a@b",
        ] {
            check::<TeamName>(refused, false);
        }
    }

    #[test]
    fn process_types() {
        check::<ProcessType>("web", true);
        check::<ProcessType>("my_worker-2", true);
        for refused in ["", "a b", "a/b", "a.b", &"w".repeat(41)] {
            check::<ProcessType>(refused, false);
        }
    }

    #[test]
    fn dyno_names() {
        check::<DynoName>("web.1", true);
        for refused in ["web", "web.", "web.x", ".1", "web.1.2", "../x.1"] {
            check::<DynoName>(refused, false);
        }
        let name = DynoName::new(&"worker".parse().unwrap(), 3);
        assert_eq!(
            (name.as_str(), name.process_type().as_str(), name.number()),
            ("worker.3", "worker", 3)
        );
    }

    #[test]
    fn config_var_names() {
        check::<ConfigVarName>("DATABASE_URL", true);
        for refused in ["", "1A", "A-B", "A=B", "A B"] {
            check::<ConfigVarName>(refused, false);
        }
    }
}
