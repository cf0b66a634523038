//! Incidents and notes as an Atom feed (RFC 4287). Pure.

use std::fmt::Write as _;

use api::status::{Incident, Status};

use super::words::{ago, clock_time, escaped, title};

/// Entries of the feed.
const ENTRIES: usize = 50;

/// The feed; `base` is the page's URL with a slash at its end.
pub(super) fn feed(status: &Status, base: &str) -> String {
    let changed = |incident: &Incident| incident.ended_at.unwrap_or(incident.began_at);
    let updated = status.incidents.iter().map(changed).max();
    let updated = updated.unwrap_or(api::clock::Time::from_micros(0));
    let base = escaped(base);
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\">\n\
         <title>Incidents at {base}</title>\n<id>{base}</id>\n<updated>{updated}</updated>\n\
         <author><name>The router</name></author>\n\
         <link rel=\"self\" href=\"{base}incidents.atom\"/>\n<link href=\"{base}\"/>\n"
    );
    for incident in status.incidents.iter().take(ENTRIES) {
        let end = match incident.ended_at {
            Some(ended) => format!(
                "It ended at {}, after {}.",
                clock_time(ended),
                ago(ended.since(incident.began_at))
            ),
            None => "It is not over.".to_owned(),
        };
        write!(
            text,
            "<entry><title>{name}: {state}</title>\n<id>urn:landfall:incident:{id}</id>\n\
             <published>{began}</published><updated>{updated}</updated>\n<link href=\"{base}#incidents\"/>\n\
             <content type=\"text\">{what} {end}</content></entry>\n",
            name = escaped(&incident.component),
            state = title(incident.state),
            id = incident.id,
            began = incident.began_at,
            updated = changed(incident),
            what = escaped(&incident.what),
        )
        .expect("a String takes all text");
    }
    text.push_str("</feed>\n");
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use api::{clock::Time, status::Standing};

    use super::*;

    #[test]
    fn an_incident_that_is_over() {
        let began = Time::from_micros(1_771_502_400_000_000);
        let status = Status {
            state: Standing::Operational,
            summary: Vec::new(),
            observed_at: began,
            components: Vec::new(),
            notes: Vec::new(),
            incidents: vec![Incident {
                id: "0f".to_owned(),
                component: "a<b".to_owned(),
                state: Standing::Down,
                what: "No dyno & no word.".to_owned(),
                began_at: began,
                ended_at: Some(began.after(Duration::from_mins(3))),
            }],
        };
        let feed = feed(&status, "http://status.localhost:8080/");
        let (_, entry) = feed.split_once("<entry>").unwrap();
        let expected = "<title>a&lt;b: Down</title>\n<id>urn:landfall:incident:0f</id>\n\
            <published>2026-02-19T12:00:00Z</published><updated>2026-02-19T12:03:00Z</updated>\n\
            <link href=\"http://status.localhost:8080/#incidents\"/>\n\
            <content type=\"text\">No dyno &amp; no word. It ended at 12:03 UTC on 19 February, after 3 \
            minutes.</content></entry>\n</feed>\n";
        assert_eq!(entry, expected);
        let updated = "<updated>2026-02-19T12:03:00Z</updated>\n<author>";
        assert!(feed.contains(updated), "{feed}");
    }
}
