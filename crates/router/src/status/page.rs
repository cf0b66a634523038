//! The page for people: HTML without scripts, which says in words whatever it shows in colour.
//!
//! Everything that anybody wrote (names, notes) goes through [`escaped`]. Pure. Read [`html`].

use std::{fmt::Write as _, time::Duration};

use api::{
    clock::Time,
    status::{Component, ComponentKind, Day, Incident, Note, Standing, Status},
};

use super::words::{ago, clock_time, date, escaped, sign, title};

pub(super) const STYLE: &str = include_str!("page.css");
/// Incidents that the page lists; the JSON has all.
const INCIDENTS: usize = 30;

/// The whole page; `host` is where it is.
pub(super) fn html(status: &Status, host: &str) -> String {
    let mut page = String::with_capacity(16 * 1024);
    let headline = status.summary.first().map_or("", String::as_str);
    put(
        &mut page,
        format_args!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{state}: {headline}</title>\n\
             <link rel=\"alternate\" type=\"application/atom+xml\" title=\"Incidents\" href=\"/incidents.atom\">\n\
             <link rel=\"alternate\" type=\"application/json\" href=\"/status.json\">\n\
             <style>{STYLE}</style>\n</head>\n<body>\n\
             <header><h1>Status of {host}</h1>\n<p class=\"quiet\">As seen by the router at {seen}</p></header>\n\
             <main>\n",
            state = title(status.state),
            headline = escaped(headline),
            host = escaped(host),
            seen = time(status.observed_at),
        ),
    );
    banner(&mut page, status);
    notes(&mut page, &status.notes);
    let is_app = |component: &&Component| component.kind == ComponentKind::App;
    let (apps, platform): (Vec<_>, Vec<_>) = status.components.iter().partition(is_app);
    components(&mut page, "Platform", &platform);
    components(&mut page, "Apps", &apps);
    incidents(&mut page, status);
    page.push_str(
        "</main>\n<footer>All times are UTC. What nobody watched is shown as unknown, not as working. \
         The same for programs: <a href=\"/status.json\">JSON</a>, \
         <a href=\"/incidents.atom\">Atom feed of incidents</a>.</footer>\n</body>\n</html>\n",
    );
    page
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("a String takes all text");
}

fn time(time: Time) -> String {
    format!("<time datetime=\"{time}\">{}</time>", clock_time(time))
}

fn banner(page: &mut String, status: &Status) {
    put(
        page,
        format_args!(
            "<section class=\"banner {class}\" aria-label=\"Overall: {word}\">\
             <b aria-hidden=\"true\">{sign}</b>\n<div>",
            class = status.state.as_str(),
            word = status.state,
            sign = sign(status.state),
        ),
    );
    for line in &status.summary {
        put(page, format_args!("<p>{}</p>\n", escaped(line)));
    }
    page.push_str("</div></section>\n");
}

fn notes(page: &mut String, notes: &[Note]) {
    if notes.is_empty() {
        return;
    }
    page.push_str("<section aria-labelledby=\"notes\"><h2 id=\"notes\">From the operator</h2>\n");
    for note in notes {
        let standing = Standing::from(note.severity);
        let word = match standing {
            Standing::Operational => "For information",
            other => title(other),
        };
        let about = note
            .app
            .as_deref()
            .map_or_else(String::new, |app| format!(" · <b>{}</b>", escaped(app)));
        let until = note
            .until
            .map_or_else(String::new, |until| format!(", until {}", time(until)));
        let changed = if note.updated_at == note.created_at {
            String::new()
        } else {
            format!(", changed {}", time(note.updated_at))
        };
        put(
            page,
            format_args!(
                "<article class=\"card said {class}\"><p><span class=\"state\">{word}</span>{about}</p>\n\
                 <p class=\"text\">{text}</p>\n<p class=\"quiet\">{written}{changed}{until}</p></article>\n",
                class = standing.as_str(),
                text = escaped(&note.text),
                written = time(note.created_at),
            ),
        );
    }
    page.push_str("</section>\n");
}

fn components(page: &mut String, heading: &str, components: &[&Component]) {
    if components.is_empty() {
        return;
    }
    let id = heading.to_ascii_lowercase();
    put(
        page,
        format_args!("<section aria-labelledby=\"{id}\"><h2 id=\"{id}\">{heading}</h2>\n"),
    );
    for component in components {
        component_card(page, component);
    }
    page.push_str("</section>\n");
}

fn component_card(page: &mut String, component: &Component) {
    // What is said of the platform says so itself.
    let since = match component.kind {
        ComponentKind::App => format!(" Since {}.", time(component.since)),
        ComponentKind::Router | ComponentKind::ControlPlane => String::new(),
    };
    put(
        page,
        format_args!(
            "<article class=\"card {class}\"><div class=\"top\"><h3>{name}</h3>\
             <p class=\"state\"><span aria-hidden=\"true\">{sign}</span> {word}</p></div>\n\
             <p class=\"quiet\">{detail}{since}</p>\n",
            class = component.state.as_str(),
            name = escaped(&component.name),
            sign = sign(component.state),
            word = title(component.state),
            detail = escaped(&component.detail),
        ),
    );
    put(
        page,
        format_args!(
            "<ol class=\"days\" role=\"img\" aria-label=\"{}\">",
            days_label(&component.days)
        ),
    );
    for day in &component.days {
        let gap = if day.has_gap { " gap" } else { "" };
        put(
            page,
            format_args!(
                "<li class=\"{}{gap}\" title=\"{}: {}\"></li>",
                day.state.as_str(),
                date(&day.date),
                day_in_words(day)
            ),
        );
    }
    page.push_str(
        "</ol>\n<p class=\"span\"><span class=\"long\">90 days ago</span>\
         <span class=\"short\">30 days ago</span><span>Today</span></p>\n",
    );
    page.push_str("<details><summary>The days in words</summary><ul>\n");
    for (first, last, words) in runs(&component.days) {
        let span = if first == last {
            date(first)
        } else {
            format!("{} to {}", date(first), date(last))
        };
        put(page, format_args!("<li>{span}: {words}</li>\n"));
    }
    page.push_str("</ul></details></article>\n");
}

/// The row of days in a sentence.
fn days_label(days: &[Day]) -> String {
    let count = |is_so: &dyn Fn(&Day) -> bool| days.iter().filter(|day| is_so(day)).count();
    let trouble = count(&|day| day.state.is_trouble());
    let unknown = count(&|day| day.state == Standing::Unknown || day.has_gap);
    format!(
        "Of {} days: {trouble} with trouble, {unknown} not watched or not wholly",
        days.len()
    )
}

/// `down for 12 minutes, not watched for 3 hours`
fn day_in_words(day: &Day) -> String {
    let seconds = &day.seconds;
    if day.state == Standing::Unknown {
        return "unknown, nobody watched".to_owned();
    }
    let parts = [
        (Standing::Down, seconds.down),
        (Standing::NoWord, seconds.no_word),
        (Standing::Degraded, seconds.degraded),
        (Standing::Maintenance, seconds.maintenance),
        (Standing::Asleep, seconds.asleep),
    ];
    let told = |(standing, seconds): (Standing, u32)| {
        (seconds >= 60).then(|| {
            let length = ago(Duration::from_secs(seconds.into()));
            format!("{standing} for {length}")
        })
    };
    let mut words: Vec<String> = parts.into_iter().filter_map(told).collect();
    if words.is_empty() {
        words.push(Standing::Operational.to_string());
    }
    if day.has_gap {
        let length = ago(Duration::from_secs(seconds.unknown.into()));
        words.push(format!("not watched for {length}"));
    }
    words.join(", ")
}

/// Days that are alike together: the first, the last, and how they were. The newest first.
fn runs(days: &[Day]) -> Vec<(&str, &str, String)> {
    let mut runs: Vec<(&str, &str, String)> = Vec::new();
    for day in days.iter().rev() {
        let words = day_in_words(day);
        match runs.last_mut() {
            Some((first, _, before)) if *before == words => *first = &day.date,
            _ => runs.push((&day.date, &day.date, words)),
        }
    }
    runs
}

fn incidents(page: &mut String, status: &Status) {
    page.push_str(
        "<section aria-labelledby=\"incidents\"><h2 id=\"incidents\">Incidents that the router saw</h2>\n",
    );
    for incident in status.incidents.iter().take(INCIDENTS) {
        incident_card(page, incident);
    }
    let left_out = status.incidents.len().saturating_sub(INCIDENTS);
    if left_out > 0 {
        let text = format!("{left_out} older ones are in the JSON.");
        put(page, format_args!("<p class=\"quiet\">{text}</p>\n"));
    }
    let control_plane = status
        .components
        .iter()
        .find(|at| at.kind == ComponentKind::ControlPlane);
    if control_plane.is_none_or(|at| at.state != Standing::Operational) {
        page.push_str(
            "<p>There may be more than this: without word from the control plane the router knows only \
             what it sees of requests.</p>\n",
        );
    } else if status.incidents.is_empty() {
        page.push_str("<p>None in the time it watched.</p>\n");
    }
    page.push_str("</section>\n");
}

fn incident_card(page: &mut String, incident: &Incident) {
    let lasted = match incident.ended_at {
        Some(ended) => format!(
            "{} to {} ({})",
            time(incident.began_at),
            time(ended),
            ago(ended.since(incident.began_at))
        ),
        None => format!("Since {}, not over", time(incident.began_at)),
    };
    put(
        page,
        format_args!(
            "<article class=\"card said {class}\"><div class=\"top\"><h3>{name}</h3>\
             <p class=\"state\"><span aria-hidden=\"true\">{sign}</span> {word}</p></div>\n\
             <p>{what}</p>\n<p class=\"quiet\">{lasted}</p></article>\n",
            class = incident.state.as_str(),
            name = escaped(&incident.component),
            sign = sign(incident.state),
            word = title(incident.state),
            what = escaped(&incident.what),
        ),
    );
}

#[cfg(test)]
mod tests {
    use api::{status::Seconds, status_notes::Severity};

    use super::*;

    const NOON: Time = Time::from_micros(1_771_502_400_000_000);

    fn day(date: &str, state: Standing, seconds: Seconds) -> Day {
        Day {
            date: date.to_owned(),
            state,
            has_gap: seconds.unknown > 0 && state != Standing::Unknown,
            seconds,
        }
    }

    fn days() -> Vec<Day> {
        let none = Seconds::default();
        let down = Seconds {
            down: 720,
            unknown: 7_200,
            ..none
        };
        vec![
            day("2026-02-16", Standing::Unknown, none),
            day("2026-02-17", Standing::Unknown, none),
            day("2026-02-18", Standing::Down, down),
            day("2026-02-19", Standing::Operational, none),
        ]
    }

    fn status() -> Status {
        Status {
            state: Standing::NoWord,
            summary: vec!["No word from <the> control plane".to_owned()],
            observed_at: NOON,
            components: vec![Component {
                kind: ComponentKind::ControlPlane,
                name: "Control plane".to_owned(),
                state: Standing::NoWord,
                detail: "No word.".to_owned(),
                since: NOON,
                days: days(),
            }],
            notes: vec![Note {
                text: "<script>alert(1)</script>\nDisks & \"fans\"".to_owned(),
                severity: Severity::Info,
                app: Some("shop".to_owned()),
                created_at: NOON,
                updated_at: NOON,
                until: Some(NOON),
            }],
            incidents: Vec::new(),
        }
    }

    #[test]
    fn the_whole_of_a_page() {
        let page = html(&status(), "status.localhost");
        let (_, body) = page.split_once("</head>\n").unwrap();
        // Headings in their order, and each state in words beside its colour.
        for (heading, next) in [
            (
                "<h1>Status of status.localhost</h1>",
                "aria-label=\"Overall: no word\"",
            ),
            ("<h2 id=\"notes\">From the operator</h2>", "For information"),
            (
                "<h2 id=\"platform\">Platform</h2>",
                "<h3>Control plane</h3>",
            ),
            ("<h3>Control plane</h3>", "</span> No word</p>"),
            (
                "class=\"down gap\" title=\"18 February:",
                "down for 12 minutes, not watched for 2 hours",
            ),
            ("<h2 id=\"incidents\">", "There may be more"),
        ] {
            let (_, rest) = body.split_once(heading).expect(heading);
            assert!(rest.contains(next), "{next} after {heading}: {body}");
        }
        assert!(!body.contains("id=\"apps\""), "there are none: {body}");
    }

    #[test]
    fn what_people_wrote_stays_text() {
        let page = html(&status(), "status.localhost");
        assert!(!page.contains("<script"), "{page}");
        assert!(!page.contains("<the>"), "{page}");
        assert!(
            page.contains("&lt;script&gt;alert(1)&lt;/script&gt;\nDisks &amp; &quot;fans&quot;")
        );
        // Without word nobody may say that there is nothing.
        assert!(!page.contains("None in the time it watched"));
    }

    #[test]
    fn days_in_words() {
        let days = days();
        let runs: Vec<_> = runs(&days)
            .into_iter()
            .map(|(first, last, words)| format!("{first} {last} {words}"))
            .collect();
        assert_eq!(
            runs,
            [
                "2026-02-19 2026-02-19 operational",
                "2026-02-18 2026-02-18 down for 12 minutes, not watched for 2 hours",
                "2026-02-16 2026-02-17 unknown, nobody watched",
            ]
        );
        assert_eq!(
            days_label(&days),
            "Of 4 days: 1 with trouble, 3 not watched or not wholly"
        );
    }
}
