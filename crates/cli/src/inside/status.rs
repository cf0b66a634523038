//! The line with a command's status, at the end of its output.
//!
//! The platform writes what `heroku run --exit-code` writes: U+FFFF and the status. Only the last
//! such line counts, and it is not output.

/// U+FFFF in UTF-8.
const MARKER: &[u8] = b"\xef\xbf\xbf";
/// What stands between the marker and the status.
const WORDS: &str = " heroku-command-exit-status: ";
/// What follows a marker in a line with a status is shorter.
const LONGEST_LINE: usize = 64;

/// Output on its way, without the line.
#[derive(Debug, Default)]
pub(super) struct Output {
    held: Vec<u8>,
}

impl Output {
    /// What is certainly output.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let mut sure = Vec::new();
        loop {
            match find(&self.held, MARKER) {
                Some(start) if self.held.len() - start > LONGEST_LINE => {
                    sure.extend(self.held.drain(..start + MARKER.len()));
                }
                Some(start) => {
                    sure.extend(self.held.drain(..start));
                    return sure;
                }
                None => {
                    let kept = begun(&self.held);
                    let length = self.held.len() - kept;
                    sure.extend(self.held.drain(..length));
                    return sure;
                }
            }
        }
    }

    /// The rest of the output, and the status if it was told.
    pub(super) fn end(mut self) -> (Vec<u8>, Option<u8>) {
        let Some((start, status)) = split(&self.held) else {
            return (self.held, None);
        };
        self.held.truncate(start);
        (self.held, Some(status))
    }
}

/// Where the line with the status begins at the end of `bytes`, and the status.
pub(super) fn split(bytes: &[u8]) -> Option<(usize, u8)> {
    let start = bytes
        .windows(MARKER.len())
        .rposition(|window| window == MARKER)?;
    let line = str::from_utf8(bytes.get(start + MARKER.len()..)?).ok()?;
    let status = line.strip_prefix(WORDS)?.trim_end_matches(['\r', '\n']);
    Some((start, status.parse().ok()?))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// How many bytes at the end may be the beginning of a marker.
fn begun(bytes: &[u8]) -> usize {
    let lengths = (1..MARKER.len()).rev();
    lengths
        .into_iter()
        .find(|&length| bytes.ends_with(&MARKER[..length]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, output: &str, status: Option<u8>) {
        for cut in 0..text.len() {
            let (first, second) = text.as_bytes().split_at(cut);
            let mut passed = Output::default();
            let mut seen = passed.take(first);
            seen.extend(passed.take(second));
            let (rest, found) = passed.end();
            seen.extend(rest);
            assert_eq!(String::from_utf8_lossy(&seen), output);
            assert_eq!(found, status);
        }
    }

    #[test]
    fn only_the_last_line_tells_the_status() {
        let line = |status: &str| format!("\u{ffff} heroku-command-exit-status: {status}\n");
        check(&format!("out\n{}", line("0")), "out\n", Some(0));
        check(
            "out\r\n\u{ffff} heroku-command-exit-status: 7\r\n",
            "out\r\n",
            Some(7),
        );
        check(
            &format!("{}x{}", line("1"), line("2")),
            &format!("{}x", line("1")),
            Some(2),
        );
        check("out\u{ffff}", "out\u{ffff}", None);
        let long = format!("\u{ffff}{}", "x".repeat(100));
        check(&format!("{long}{}", line("255")), &long, Some(255));
        check(&line("256"), &line("256"), None);
        check("plain", "plain", None);
    }
}
