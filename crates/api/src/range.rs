//! The `Range` header that asks for part of a list, and `Next-Range` that asks for what follows.
//!
//! `version ]3..; order=desc, max=10` reads: from version 3 on, without 3, downwards, ten at
//! most. Every part may be left out; clients write the options in any order, with and without
//! spaces and empty ones. Pure text in and out; read [`Range`] first.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// Items in a page unless the request says otherwise.
pub const DEFAULT_MAX: usize = 200;
/// Items in a page at most.
pub const LARGEST_MAX: usize = 1000;

/// Which part of a list is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The property to sort by; the list's first if absent.
    pub field: Option<String>,
    /// Where to begin, in walking order.
    pub start: Option<Bound>,
    /// Where to end, in walking order.
    pub end: Option<Bound>,
    /// Which way to walk.
    pub order: Order,
    /// How many items, 1 to [`LARGEST_MAX`].
    pub max: Option<usize>,
}

/// One end of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// A value of the field.
    pub value: String,
    /// The id of one item among those with that value: tells equal times apart.
    pub id: Option<String>,
    /// Whether an item exactly there is left out.
    pub is_exclusive: bool,
}

/// Which way to walk through a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Smallest first.
    #[default]
    Ascending,
    /// Largest first.
    Descending,
}

/// The header is not a range of this kind.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a range such as `id ..; order=desc, max=10`")]
pub struct RangeError(pub String);

impl Range {
    /// How many items to give.
    pub fn limit(&self) -> usize {
        self.max.unwrap_or(DEFAULT_MAX)
    }
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let refused = || RangeError(text.to_owned());
        let (bounds, options) = text.split_once(';').unwrap_or((text, ""));
        let mut range = Self::default();
        let bounds = match bounds.trim().split_once(' ') {
            Some((field, bounds)) => {
                range.field = Some(field.to_owned());
                bounds.trim()
            }
            None => bounds.trim(),
        };
        let (start, end) = bounds.split_once("..").ok_or_else(refused)?;
        range.start = bound(start.strip_prefix(']'), start.trim_start_matches('['));
        range.end = bound(end.strip_suffix('['), end.trim_end_matches(']'));
        for option in options
            .split([',', ';'])
            .map(str::trim)
            .filter(|option| !option.is_empty())
        {
            match option
                .split_once('=')
                .map(|(name, value)| (name.trim(), value.trim()))
            {
                Some(("order", "asc")) => range.order = Order::Ascending,
                Some(("order", "desc")) => range.order = Order::Descending,
                Some(("max", max)) => {
                    let max: usize = max.parse().map_err(|_| refused())?;
                    range.max = Some(max.min(LARGEST_MAX));
                }
                _ => return Err(refused()),
            }
        }
        if range.max == Some(0) {
            Err(refused())
        } else {
            Ok(range)
        }
    }
}

fn bound(exclusive: Option<&str>, inclusive: &str) -> Option<Bound> {
    let text = exclusive.unwrap_or(inclusive);
    let (value, id) = match text.split_once('~') {
        Some((value, id)) => (value, Some(id.to_owned())),
        None => (text, None),
    };
    (!value.is_empty()).then(|| Bound {
        value: value.to_owned(),
        id,
        is_exclusive: exclusive.is_some(),
    })
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = &self.field {
            write!(f, "{field} ")?;
        }
        if let Some(start) = &self.start {
            write!(f, "{}{start}", if start.is_exclusive { "]" } else { "" })?;
        }
        f.write_str("..")?;
        if let Some(end) = &self.end {
            write!(f, "{end}{}", if end.is_exclusive { "[" } else { "" })?;
        }
        write!(f, "; max={}", self.limit())?;
        if self.order == Order::Descending {
            f.write_str(", order=desc")
        } else {
            Ok(())
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value)?;
        self.id.as_ref().map_or(Ok(()), |id| write!(f, "~{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let range = text.parse::<Range>();
        assert_eq!(
            range.as_ref().map(ToString::to_string).ok().as_deref(),
            expected,
            "{text:?}"
        );
        if let Ok(range) = range {
            assert_eq!(
                range.to_string().parse::<Range>().unwrap().to_string(),
                range.to_string()
            );
        }
    }

    #[test]
    fn every_form_that_clients_send() {
        for (text, expected) in [
            ("id ..; max=1000;", "id ..; max=1000"),
            (
                "version ..; max=1, order=desc",
                "version ..; max=1, order=desc",
            ),
            (
                "version ..; order=desc,max=1",
                "version ..; max=1, order=desc",
            ),
            ("version ..; order=desc", "version ..; max=200, order=desc"),
            (
                "seq ..; order=desc,max=1000",
                "seq ..; max=1000, order=desc",
            ),
            (
                "created_at ..; max=10, order=desc",
                "created_at ..; max=10, order=desc",
            ),
            ("id ..; ;", "id ..; max=200"),
            ("domain ..; ;", "domain ..; max=200"),
            ("]abc..; max=5", "]abc..; max=5"),
            ("name a..b[; order=asc", "name a..b[; max=200"),
            ("name [a..b]", "name a..b; max=200"),
            (
                "created_at ]2026-02-19T08:00:00Z~7..",
                "created_at ]2026-02-19T08:00:00Z~7..; max=200",
            ),
            ("id ..;max=4000", "id ..; max=1000"),
            ("..", "..; max=200"),
        ] {
            check(text, Some(expected));
        }
    }

    #[test]
    fn what_is_no_range() {
        for text in [
            "",
            "id",
            "bytes=0-",
            "id ..; max=0",
            "id ..; max=x",
            "id ..; order=up",
            "x; ..",
        ] {
            check(text, None);
        }
    }
}
