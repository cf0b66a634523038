//! Times, durations and marks as people read them, and text made safe for HTML. Pure.

use std::time::Duration;

use api::{clock::Time, status::Standing};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// `08:00 UTC on 19 February`.
pub(super) fn clock_time(time: Time) -> String {
    let text = time.to_rfc3339();
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    format!("{} UTC on {}", part(11..16), date(part(0..10)))
}

/// `2026-02-19` → `19 February`.
pub(super) fn date(iso: &str) -> String {
    let mut parts = iso.splitn(3, '-').skip(1);
    let month = parts.next().and_then(|month| month.parse::<usize>().ok());
    let name = month.and_then(|month| MONTHS.get(month.checked_sub(1)?));
    let day = parts.next().unwrap_or_default().trim_start_matches('0');
    match name {
        Some(name) => format!("{day} {name}"),
        None => iso.to_owned(),
    }
}

/// `12 minutes`, `1 hour 30 minutes`, `3 days`: the two largest units that count.
pub(super) fn ago(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    let both = |first: (u64, &str), second: (u64, &str)| match second.0 {
        0 => count(first),
        _ => format!("{} {}", count(first), count(second)),
    };
    match () {
        () if days > 0 => both((days, "day"), (hours, "hour")),
        () if hours > 0 => both((hours, "hour"), (minutes, "minute")),
        () if minutes > 0 => count((minutes, "minute")),
        () => count((rest, "second")),
    }
}

fn count((number, unit): (u64, &str)) -> String {
    match number {
        1 => format!("1 {unit}"),
        _ => format!("{number} {unit}s"),
    }
}

/// With a capital letter at its beginning.
pub(super) fn title(standing: Standing) -> &'static str {
    match standing {
        Standing::Operational => "Operational",
        Standing::Asleep => "Asleep",
        Standing::Maintenance => "Maintenance",
        Standing::Unknown => "Unknown",
        Standing::Degraded => "Degraded",
        Standing::NoWord => "No word",
        Standing::Down => "Down",
    }
}

/// A sign for those who do not see the colour.
pub(super) fn sign(standing: Standing) -> &'static str {
    match standing {
        Standing::Operational => "✓",
        Standing::Asleep => "☾",
        Standing::Maintenance => "◆",
        Standing::Unknown | Standing::NoWord => "?",
        Standing::Degraded => "!",
        Standing::Down => "✕",
    }
}

/// Text for HTML and XML, also within quotation marks. Control characters but line ends are left
/// out: XML has no way to say them.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(letter),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {}
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (seconds, expected) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "1 minute"),
            (719, "11 minutes"),
            (3600, "1 hour"),
            (5_400, "1 hour 30 minutes"),
            (7_260, "2 hours 1 minute"),
            (90_000, "1 day 1 hour"),
            (172_800, "2 days"),
        ] {
            assert_eq!(ago(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn times() {
        let time = Time::from_micros(1_772_323_380_000_000);
        assert_eq!(clock_time(time), "00:03 UTC on 1 March");
        assert_eq!(date("2026-13-01"), "2026-13-01");
    }

    #[test]
    fn text_cannot_leave_its_place() {
        assert_eq!(
            escaped("<b title=\"x\" id='y'>a & b\u{1b}[1m\u{0}\n</b>"),
            "&lt;b title=&quot;x&quot; id=&#39;y&#39;&gt;a &amp; b[1m\n&lt;/b&gt;"
        );
    }
}
