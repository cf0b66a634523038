//! Checks a value against the part of JSON Schema (draft 4) that the published hyper-schema uses.
//!
//! A keyword that is not known here is a fault: nothing passes unlooked at.

use serde_json::{Value, json};

/// Keywords that say nothing about a value.
const SILENT: &[&str] = &[
    "$schema",
    "default",
    "deprecated",
    "definitions",
    "description",
    "example",
    "id",
    "links",
    "readOnly",
    "stability",
    "strictProperties",
    "title",
];
/// Keywords that [`faults`] checks.
const CHECKED: &[&str] = &[
    "additionalProperties",
    "anyOf",
    "enum",
    "format",
    "items",
    "maxLength",
    "minItems",
    "pattern",
    "patternProperties",
    "properties",
    "required",
    "type",
];
/// Patterns of the schema that cannot hold here, or that are not regular expressions.
const PATTERNS_LEFT_OUT: &[(&str, &str)] = &[
    (
        r"^https://git\.heroku\.com/[a-z][a-z0-9-]{2,29}\.git$",
        "the host is the operator's",
    ),
    (
        r"^https?://[a-z][a-z0-9-]{3,43}\.herokuapp\.com/$",
        "the domain is the operator's",
    ),
    (
        r"^[a-z0-9](?:[a-z0-9]|-(?!-))+[a-z0-9]$",
        "it looks ahead, which `regex` does not",
    ),
];
/// Words of the schema's enumerations that cannot hold here.
const WORDS_LEFT_OUT: &[(&str, &str)] = &[(
    "provider.region",
    "regions of a cloud; the operator's machine is in none",
)];

/// What the value is: an answer must have every property that the schema names, a request only
/// those that it requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Answer,
}

/// Everything about `value` that does not fit `schema`, each with the place it was found at.
pub(super) fn faults(value: &Value, schema: &Value, side: Side) -> Vec<String> {
    let mut checker = Checker {
        side,
        faults: Vec::new(),
    };
    checker.check(value, schema, "$");
    checker.faults
}

struct Checker {
    side: Side,
    faults: Vec<String>,
}

impl Checker {
    fn check(&mut self, value: &Value, schema: &Value, place: &str) {
        for keyword in schema
            .as_object()
            .into_iter()
            .flat_map(serde_json::Map::keys)
        {
            let keyword = keyword.as_str();
            if !SILENT.contains(&keyword) && !CHECKED.contains(&keyword) {
                self.fault(place, format_args!("nobody checks `{keyword}`"));
            }
        }
        if let Some(any) = schema["anyOf"].as_array() {
            let fits = |schema: &Value| faults(value, schema, self.side).is_empty();
            if !any.iter().any(fits) {
                self.fault(place, format_args!("{value} fits no alternative"));
            }
        }
        if !is_of_type(value, &schema["type"]) {
            self.fault(place, format_args!("{value} is not {}", schema["type"]));
            return;
        }
        let words = schema["enum"].as_array();
        if words.is_some_and(|words| !words.contains(value))
            && !WORDS_LEFT_OUT.iter().any(|(end, _)| place.ends_with(end))
        {
            self.fault(place, format_args!("{value} is not in {}", schema["enum"]));
        }
        match value {
            Value::String(text) => self.check_text(text, schema, place),
            Value::Array(items) => self.check_items(items, schema, place),
            Value::Object(_) => self.check_properties(value, schema, place),
            _ => {}
        }
    }

    fn check_text(&mut self, text: &str, schema: &Value, place: &str) {
        if let Some(format) = schema["format"]
            .as_str()
            .filter(|format| !is_in(text, format))
        {
            self.fault(place, format_args!("`{text}` is no {format}"));
        }
        if let Some(pattern) = schema["pattern"]
            .as_str()
            .filter(|pattern| !fits(text, pattern))
        {
            self.fault(place, format_args!("`{text}` does not fit {pattern}"));
        }
        let longest = schema["maxLength"].as_u64().unwrap_or(u64::MAX);
        if text.chars().count() as u64 > longest {
            self.fault(place, format_args!("`{text}` is longer than {longest}"));
        }
    }

    fn check_items(&mut self, items: &[Value], schema: &Value, place: &str) {
        if (items.len() as u64) < schema["minItems"].as_u64().unwrap_or(0) {
            self.fault(
                place,
                format_args!("fewer items than {}", schema["minItems"]),
            );
        }
        for (index, item) in items.iter().enumerate() {
            if schema["items"].is_object() {
                self.check(item, &schema["items"], &format!("{place}[{index}]"));
            }
        }
    }

    fn check_properties(&mut self, value: &Value, schema: &Value, place: &str) {
        let required = schema["required"].as_array().into_iter().flatten();
        for name in required.filter_map(Value::as_str) {
            if value.get(name).is_none() {
                self.fault(place, format_args!("`{name}` is required"));
            }
        }
        let known = schema["properties"].as_object();
        for (name, schema) in known.into_iter().flatten() {
            match value.get(name) {
                Some(property) => self.check(property, schema, &format!("{place}.{name}")),
                None if self.side == Side::Answer => {
                    self.fault(place, format_args!("`{name}` is missing"));
                }
                None => {}
            }
        }
        let patterns = schema["patternProperties"].as_object();
        for (name, property) in value.as_object().into_iter().flatten() {
            let by_name = |(pattern, _): &(&String, &Value)| fits(name, pattern);
            let described = patterns.into_iter().flatten().find(by_name);
            if let Some((_, schema)) = described {
                self.check(property, schema, &format!("{place}.{name}"));
            } else if schema["additionalProperties"] == false
                && self.side == Side::Request
                && !known.is_some_and(|known| known.contains_key(name))
            {
                self.fault(place, format_args!("`{name}` is not to be sent"));
            }
        }
    }

    fn fault(&mut self, place: &str, what: std::fmt::Arguments<'_>) {
        self.faults.push(format!("{place}: {what}"));
    }
}

fn is_of_type(value: &Value, types: &Value) -> bool {
    let is = |kind: &Value| match kind.as_str() {
        Some("null") => value.is_null(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    };
    match types {
        Value::Null => true,
        Value::Array(types) => types.iter().any(is),
        kind => is(kind),
    }
}

fn is_in(text: &str, format: &str) -> bool {
    match format {
        "uuid" => text.parse::<uuid::Uuid>().is_ok(),
        "date-time" => text.len() == 20 && text.ends_with('Z') && is_time(text),
        "date" => text.len() == 10 && is_time(&format!("{text}T00:00:00Z")),
        "email" => text
            .split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty()),
        // The schema says so of host names, too.
        "uri" => text.parse::<http::Uri>().is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        _ => false,
    }
}

fn is_time(text: &str) -> bool {
    api::rfc3339::deserialize(json!(text)).is_ok()
}

fn fits(text: &str, pattern: &str) -> bool {
    PATTERNS_LEFT_OUT
        .iter()
        .any(|(left_out, _)| *left_out == pattern)
        || regex::Regex::new(pattern).unwrap().is_match(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &Value, schema: &Value, side: Side, expected: &[&str]) {
        assert_eq!(faults(value, schema, side), expected, "{value} {schema}");
    }

    #[test]
    fn the_checker_finds_faults() {
        let text = |more: &str, is: &str| json!({ "type": ["string"], more: is });
        check(
            &json!("x"),
            &text("format", "uuid"),
            Side::Answer,
            &["$: `x` is no uuid"],
        );
        let (time, date) = (text("format", "date-time"), text("format", "date"));
        check(&json!("2026-02-19T08:00:00Z"), &time, Side::Answer, &[]);
        let odd = "2026-02-19T08:00:00.5Z";
        check(
            &json!(odd),
            &time,
            Side::Answer,
            &[&format!("$: `{odd}` is no date-time")],
        );
        check(
            &json!("2026-02-30"),
            &date,
            Side::Answer,
            &["$: `2026-02-30` is no date"],
        );
        check(
            &json!("a"),
            &text("pattern", "^b$"),
            Side::Answer,
            &["$: `a` does not fit ^b$"],
        );
        check(
            &json!(null),
            &json!({ "type": ["null", "string"] }),
            Side::Answer,
            &[],
        );
        check(
            &json!(1.5),
            &json!({ "type": ["integer"] }),
            Side::Answer,
            &["$: 1.5 is not [\"integer\"]"],
        );
        check(
            &json!("c"),
            &json!({ "enum": ["a", "b"] }),
            Side::Answer,
            &["$: \"c\" is not in [\"a\",\"b\"]"],
        );
        check(
            &json!("c"),
            &json!({ "not": {} }),
            Side::Answer,
            &["$: nobody checks `not`"],
        );
        check(
            &json!("abc"),
            &json!({ "maxLength": 2 }),
            Side::Answer,
            &["$: `abc` is longer than 2"],
        );
        check(
            &json!([]),
            &json!({ "minItems": 1 }),
            Side::Answer,
            &["$: fewer items than 1"],
        );
    }

    #[test]
    fn the_checker_looks_inside() {
        let list = json!({ "type": ["array"], "items": { "type": ["string"] } });
        check(
            &json!(["a", 1]),
            &list,
            Side::Answer,
            &["$[1]: 1 is not [\"string\"]"],
        );
        let any = json!({ "anyOf": [{ "type": ["null"] }, { "format": "uuid" }] });
        check(
            &json!("x"),
            &any,
            Side::Answer,
            &["$: \"x\" fits no alternative"],
        );
    }

    #[test]
    fn an_answer_has_all_and_a_request_what_is_required() {
        let schema = json!({
            "type": ["object"], "additionalProperties": false, "required": ["a"],
            "properties": { "a": { "type": ["string"] }, "b": { "type": ["string"] } },
        });
        check(&json!({ "a": "" }), &schema, Side::Request, &[]);
        check(
            &json!({ "a": "" }),
            &schema,
            Side::Answer,
            &["$: `b` is missing"],
        );
        check(&json!({}), &schema, Side::Request, &["$: `a` is required"]);
        check(
            &json!({ "a": "", "c": 1 }),
            &schema,
            Side::Request,
            &["$: `c` is not to be sent"],
        );
        let vars = json!({ "patternProperties": { "^\\w+$": { "type": ["string"] } } });
        check(
            &json!({ "A": 1 }),
            &vars,
            Side::Answer,
            &["$.A: 1 is not [\"string\"]"],
        );
    }
}
