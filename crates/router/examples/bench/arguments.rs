//! Arguments of the form `name=value`.

use std::{collections::BTreeMap, str::FromStr};

use anyhow::{Context, Result};

/// What was said.
pub(crate) struct Arguments(BTreeMap<String, String>);

impl Arguments {
    /// From the words of a command line.
    pub(crate) fn new(words: impl Iterator<Item = String>) -> Result<Self> {
        let pairs = words.map(|word| {
            let (name, value) = word.split_once('=').context("say name=value")?;
            Ok((name.to_owned(), value.to_owned()))
        });
        pairs.collect::<Result<_>>().map(Self)
    }

    /// What has to be said.
    pub(crate) fn text(&self, name: &str) -> Result<&str> {
        let value = self.0.get(name).map(String::as_str);
        value.with_context(|| format!("{name}=… is missing"))
    }

    /// The same, as a number or address.
    pub(crate) fn value<T: FromStr>(&self, name: &str) -> Result<T>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        let text = self.text(name)?;
        text.parse()
            .with_context(|| format!("{name}={text} cannot be"))
    }

    /// What may be left out.
    pub(crate) fn value_or<T: FromStr>(&self, name: &str, otherwise: T) -> Result<T>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        if self.0.contains_key(name) {
            self.value(name)
        } else {
            Ok(otherwise)
        }
    }
}
