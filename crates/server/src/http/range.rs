//! Lists, a part at a time: sorts, cuts, and says how to go on.
//!
//! Works on the JSON that is about to be sent, so that any property a client sees can be sorted
//! by. A field that items do not have counts as the list's first field: some clients send one.
//! Read [`page`].

use std::cmp::Ordering;

use api::range::{Bound, Order, Range};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::Value;

/// Part of a list and what its headers say.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    items: Vec<Value>,
    content: Option<String>,
    next: Option<String>,
}

/// The answer with the wanted part of `items`, whose properties `fields` can be sorted by; the
/// first is the default, and `id` tells items with equal values apart.
pub(super) fn list<T: Serialize>(items: &[T], range: &Range, fields: &[&str]) -> Response {
    let items = items
        .iter()
        .filter_map(|item| serde_json::to_value(item).ok())
        .collect();
    let page = page(items, range, fields);
    let status = if page.next.is_some() {
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    };
    let mut response = (status, Json(page.items)).into_response();
    let headers = response.headers_mut();
    let names = [
        (header::ACCEPT_RANGES, Some(fields.join(", "))),
        (header::CONTENT_RANGE, page.content),
        (header::HeaderName::from_static("next-range"), page.next),
    ];
    for (name, value) in names {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(name, value);
        }
    }
    response
}

fn page(mut items: Vec<Value>, range: &Range, fields: &[&str]) -> Page {
    let default = fields.first().copied().unwrap_or("id");
    let wanted = range.field.as_deref().unwrap_or(default);
    let field = if fields.contains(&wanted) {
        wanted
    } else {
        default
    };
    items.sort_by(|a, b| order(compare(a, b, field), range.order));
    items.retain(|item| is_within(item, range, field));
    let limit = range.limit();
    let has_more = items.len() > limit;
    items.truncate(limit);
    let content = items
        .first()
        .zip(items.last())
        .map(|(first, last)| format!("{field} {}..{}", text(&first[field]), text(&last[field])));
    let next = items.last().filter(|_| has_more).map(|last| {
        let id = field.ends_with("_at").then(|| text(&last["id"]));
        let start = Bound {
            value: text(&last[field]),
            id,
            is_exclusive: true,
        };
        let next = Range {
            field: (field != default).then(|| field.to_owned()),
            start: Some(start),
            ..range.clone()
        };
        next.to_string()
    });
    Page {
        items,
        content,
        next,
    }
}

fn is_within(item: &Value, range: &Range, field: &str) -> bool {
    let place = |bound: &Bound| order(compare_to_bound(item, bound, field), range.order);
    let is_past_start = range.start.as_ref().is_none_or(|bound| match place(bound) {
        Ordering::Less => false,
        Ordering::Equal => !bound.is_exclusive,
        Ordering::Greater => true,
    });
    let is_before_end = range.end.as_ref().is_none_or(|bound| match place(bound) {
        Ordering::Less => true,
        Ordering::Equal => !bound.is_exclusive,
        Ordering::Greater => false,
    });
    is_past_start && is_before_end
}

fn compare(a: &Value, b: &Value, field: &str) -> Ordering {
    compare_values(&a[field], &b[field]).then_with(|| text(&a["id"]).cmp(&text(&b["id"])))
}

fn compare_to_bound(item: &Value, bound: &Bound, field: &str) -> Ordering {
    let by_value = match (item[field].as_f64(), bound.value.parse::<f64>()) {
        (Some(number), Ok(bound)) => number.total_cmp(&bound),
        _ => text(&item[field]).as_str().cmp(&bound.value),
    };
    match &bound.id {
        Some(id) => by_value.then_with(|| text(&item["id"]).as_str().cmp(id)),
        None => by_value,
    }
}

fn compare_values(a: &Value, b: &Value) -> Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => text(a).cmp(&text(b)),
    }
}

fn order(ordering: Ordering, order: Order) -> Ordering {
    match order {
        Order::Ascending => ordering,
        Order::Descending => ordering.reverse(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eleven releases, of which 3 and 4 were made in the same second.
    fn releases() -> Vec<Value> {
        (1..=11)
            .map(|version| {
                let second = if version == 4 { 3 } else { version };
                serde_json::json!({
                    "id": format!("id-{version:02}"),
                    "version": version,
                    "created_at": format!("2026-02-19T08:00:{second:02}Z"),
                })
            })
            .collect()
    }

    fn check(range: &str, versions: &[u64], next: Option<&str>) {
        let page = page(
            releases(),
            &range.parse().unwrap(),
            &["id", "version", "created_at"],
        );
        let found: Vec<_> = page
            .items
            .iter()
            .map(|item| item["version"].as_u64().unwrap())
            .collect();
        assert_eq!(
            (found.as_slice(), page.next.as_deref()),
            (versions, next),
            "{range}"
        );
    }

    #[test]
    fn parts_of_a_list() {
        check(
            "version ..; max=1, order=desc",
            &[11],
            Some("version ]11..; max=1, order=desc"),
        );
        check(
            "version ]11..; max=2, order=desc",
            &[10, 9],
            Some("version ]9..; max=2, order=desc"),
        );
        check("version 9..; max=5", &[9, 10, 11], None);
        check("version 3..5", &[3, 4, 5], None);
        check("version ]3..5[", &[4], None);
        check("id ]id-09..; max=1", &[10], Some("]id-10..; max=1"));
        check("hue ..; max=2", &[1, 2], Some("]id-02..; max=2"));
        check("..", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], None);
        check("version 20..", &[], None);
    }

    #[test]
    fn equal_times_are_not_lost_between_pages() {
        let next = "created_at ]2026-02-19T08:00:03Z~id-03..; max=3";
        check("created_at ..; max=3", &[1, 2, 3], Some(next));
        check(
            next,
            &[4, 5, 6],
            Some("created_at ]2026-02-19T08:00:06Z~id-06..; max=3"),
        );
    }

    #[test]
    fn following_next_range_gives_everything_once() {
        for range in [
            "version ..; max=3",
            "created_at ..; order=desc,max=2",
            "id ..;max=4",
        ] {
            let mut range: Range = range.parse().unwrap();
            let mut seen = Vec::new();
            loop {
                let page = page(releases(), &range, &["id", "version", "created_at"]);
                seen.extend(
                    page.items
                        .iter()
                        .map(|item| item["version"].as_u64().unwrap()),
                );
                let Some(next) = page.next else { break };
                range = next.parse().unwrap();
            }
            seen.sort_unstable();
            assert_eq!(seen, (1..=11).collect::<Vec<_>>());
        }
    }
}
