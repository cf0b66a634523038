//! A log line as drains get it: syslog (RFC 5424) as Heroku writes it, counted by its octets (RFC 6587).

use logs::{LogLine, LogSource};

/// local7.info, as Heroku marks what apps say, and local3.info for what the platform says.
const APP_PRIORITY: u8 = 190;
const PLATFORM_PRIORITY: u8 = 158;

/// Adds the line's frame: `83 <190>1 2026-02-19T08:00:00.006329+00:00 host app web.1 - text\n`. The
/// host is the drain's token over syslog, and `host` over HTTP, where a header has the token.
pub(super) fn push(frames: &mut Vec<u8>, host: &str, line: &LogLine) {
    let priority = match line.source {
        LogSource::App => APP_PRIORITY,
        LogSource::Heroku => PLATFORM_PRIORITY,
    };
    let text = line.text.trim_end_matches(['\n', '\r']);
    let text = text.replace(['\n', '\r', '\0'], " ");
    let (at, source, dyno) = (line.at.to_log_timestamp(), line.source, &line.dyno);
    let message = format!("<{priority}>1 {at} {host} {source} {dyno} - {text}\n");
    frames.extend_from_slice(message.len().to_string().as_bytes());
    frames.push(b' ');
    frames.extend_from_slice(message.as_bytes());
}

#[cfg(test)]
mod tests {
    use api::clock::Time;

    use super::*;

    fn check(source: LogSource, text: &str, expected: &str) {
        let line = LogLine {
            at: Time::from_micros(1_771_488_000_006_329),
            source,
            dyno: "web.1".to_owned(),
            text: text.to_owned(),
            cursor: None,
        };
        let mut frames = Vec::new();
        push(&mut frames, "host", &line);
        assert_eq!(String::from_utf8(frames).unwrap(), expected);
    }

    #[test]
    fn frames_count_their_octets() {
        let app = "64 <190>1 2026-02-19T08:00:00.006329+00:00 host app web.1 - h\u{e9}llo\n";
        check(LogSource::App, "h\u{e9}llo", app);
        let heroku = "61 <158>1 2026-02-19T08:00:00.006329+00:00 host heroku web.1 - \n";
        check(LogSource::Heroku, "\n", heroku);
        let two = "63 <190>1 2026-02-19T08:00:00.006329+00:00 host app web.1 - a b \u{1}\n";
        check(LogSource::App, "a\nb\0\u{1}", two);
    }
}
