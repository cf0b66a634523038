//! What a client has already, and which part of a file it wants (RFC 9110 §13 and §14). Pure.

use http::{
    HeaderMap, HeaderName, Method,
    header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE},
};

/// What tells one state of a file from another.
#[derive(Clone, Debug)]
pub(super) struct Validators {
    /// With its quotation marks.
    pub(super) tag: String,
    /// `Last-Modified`, if the file's time means anything.
    pub(super) modified: Option<String>,
}

/// What of a file is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    /// 206: from the first byte on, so many.
    Some {
        first: u64,
        bytes: u64,
    },
    /// 304: the client has it.
    Unchanged,
    /// 416: there are no such bytes.
    Unsatisfiable,
}

/// What to send of a file of `bytes`.
pub(super) fn part(
    method: &Method,
    headers: &HeaderMap,
    validators: &Validators,
    bytes: u64,
) -> Part {
    if is_unchanged(headers, validators) {
        return Part::Unchanged;
    }
    // Several ranges at once may be ignored, and are.
    let range = text(headers, &RANGE).filter(|_| method == Method::GET);
    match range {
        Some(range) if is_same(headers, validators) => of_range(range, bytes),
        _ => Part::Whole,
    }
}

/// A tag goes before a date. A date must be the very one: after a rollback a file is older than what
/// the client has, and still another.
fn is_unchanged(headers: &HeaderMap, validators: &Validators) -> bool {
    let mut tags = headers.get_all(IF_NONE_MATCH).iter().peekable();
    if tags.peek().is_some() {
        return tags
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || tag.trim_start_matches("W/") == validators.tag);
    }
    let since = text(headers, &IF_MODIFIED_SINCE);
    since.is_some() && since == validators.modified.as_deref()
}

/// Whether the file is still the one of which the client has a part.
fn is_same(headers: &HeaderMap, validators: &Validators) -> bool {
    let Some(condition) = text(headers, &IF_RANGE) else {
        return !headers.contains_key(IF_RANGE);
    };
    condition == validators.tag || Some(condition) == validators.modified.as_deref()
}

fn of_range(range: &str, bytes: u64) -> Part {
    let Some(range) = range.strip_prefix("bytes=").map(str::trim) else {
        return Part::Whole;
    };
    let Some((first, last)) = range.split_once('-') else {
        return Part::Whole;
    };
    let number = |text: &str| -> Option<u64> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let some = |first: u64, last: u64| Part::Some {
        first,
        bytes: last - first + 1,
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if last < first => Part::Whole,
        (Some(first), _) if first >= bytes && (last.is_empty() || number(last).is_some()) => {
            Part::Unsatisfiable
        }
        (Some(first), Some(last)) => some(first, last.min(bytes - 1)),
        (Some(first), None) if last.is_empty() => some(first, bytes - 1),
        (None, Some(0)) if first.is_empty() => Part::Unsatisfiable,
        (None, Some(_)) if first.is_empty() && bytes == 0 => Part::Unsatisfiable,
        (None, Some(suffix)) if first.is_empty() => some(bytes.saturating_sub(suffix), bytes - 1),
        _ => Part::Whole,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const DATE: &str = "Thu, 19 Feb 2026 08:00:00 GMT";

    fn check(fields: &[(&'static str, &'static str)], expected: Part) {
        let validators = Validators {
            tag: "\"abc\"".to_owned(),
            modified: Some(DATE.to_owned()),
        };
        let headers: HeaderMap = fields
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        let part = part(&Method::GET, &headers, &validators, 100);
        assert_eq!(part, expected, "{fields:?}");
    }

    #[test]
    fn what_the_client_has() {
        for tags in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*"] {
            check(&[("if-none-match", tags)], Part::Unchanged);
        }
        check(&[("if-none-match", "\"x\"")], Part::Whole);
        check(&[("if-none-match", "abc")], Part::Whole);
        check(&[("if-modified-since", DATE)], Part::Unchanged);
        let (later, other) = ("Fri, 20 Feb 2026 08:00:00 GMT", "\"x\"");
        check(&[("if-modified-since", later)], Part::Whole);
        check(
            &[("if-none-match", other), ("if-modified-since", DATE)],
            Part::Whole,
        );
    }

    #[test]
    fn ranges() {
        let some = |first, bytes| Part::Some { first, bytes };
        for (range, expected) in [
            ("bytes=0-0", some(0, 1)),
            ("bytes=10-19", some(10, 10)),
            ("bytes=90-", some(90, 10)),
            ("bytes=90-1000", some(90, 10)),
            ("bytes=-1", some(99, 1)),
            ("bytes=-1000", some(0, 100)),
            ("bytes=100-", Part::Unsatisfiable),
            ("bytes=100-101", Part::Unsatisfiable),
            ("bytes=99999999999999999999-", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=0-1,5-6", Part::Whole),
            ("bytes=5-1", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=--1", Part::Whole),
            ("bytes=-", Part::Whole),
            ("lines=0-1", Part::Whole),
        ] {
            check(&[("range", range)], expected);
        }
        let range = ("range", "bytes=0-9");
        check(&[range, ("if-range", "\"abc\"")], some(0, 10));
        check(&[range, ("if-range", DATE)], some(0, 10));
        check(&[range, ("if-range", "W/\"abc\"")], Part::Whole);
        check(&[range, ("if-range", "\"x\"")], Part::Whole);
        check(&[range, ("if-none-match", "\"abc\"")], Part::Unchanged);
    }
}
