//! Cuts a dyno's output into chunks so that the line with the exit status is one of them.
//!
//! For `heroku run --exit-code` the CLI lets the shell print U+FFFF and the status at the end,
//! and looks for that line within single chunks. Terminals and pipes split where they like, so
//! a line that begins with the marker is held back until it is whole.

/// U+FFFF in UTF-8.
const MARKER: &[u8] = b"\xef\xbf\xbf";
/// A line with the marker is short; a longer one is something else.
const LONGEST_LINE: usize = 256;

/// State of one dyno's output.
#[derive(Debug, Default)]
pub(super) struct Output {
    held: Vec<u8>,
}

impl Output {
    /// Chunks to send now, out of what came.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut rest = std::mem::take(&mut self.held);
        rest.extend_from_slice(bytes);
        let mut chunks = Vec::new();
        while let Some(start) = find(&rest, MARKER) {
            let line = rest.split_off(start);
            push(&mut chunks, rest);
            match line.iter().position(|&byte| byte == b'\n') {
                Some(end) => {
                    let mut line = line;
                    rest = line.split_off(end + 1);
                    push(&mut chunks, line);
                }
                None if line.len() > LONGEST_LINE => {
                    push(&mut chunks, line);
                    return chunks;
                }
                None => {
                    self.held = line;
                    return chunks;
                }
            }
        }
        self.held = rest.split_off(rest.len() - begun_marker(&rest));
        push(&mut chunks, rest);
        chunks
    }

    /// Whether something waits for the rest of its line.
    pub(super) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// What was held back: nothing follows soon.
    pub(super) fn release(&mut self) -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        push(&mut chunks, std::mem::take(&mut self.held));
        chunks
    }
}

fn push(chunks: &mut Vec<Vec<u8>>, chunk: Vec<u8>) {
    if !chunk.is_empty() {
        chunks.push(chunk);
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// How many bytes at the end may be the beginning of a marker.
fn begun_marker(bytes: &[u8]) -> usize {
    (1..MARKER.len())
        .rev()
        .find(|&count| {
            MARKER
                .get(..count)
                .is_some_and(|begun| bytes.ends_with(begun))
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]], sent: &[&[u8]], held: &[u8]) {
        let mut output = Output::default();
        let chunks: Vec<Vec<u8>> = pieces.iter().flat_map(|piece| output.take(piece)).collect();
        assert_eq!(chunks, sent, "{pieces:?}");
        assert_eq!(
            output.release(),
            if held.is_empty() {
                vec![]
            } else {
                vec![held.to_vec()]
            }
        );
    }

    #[test]
    fn ordinary_output_passes_at_once() {
        check(&[b"hello", b" world\n"], &[b"hello", b" world\n"], b"");
        check(
            &["grüße \u{fffd}".as_bytes()],
            &["grüße \u{fffd}".as_bytes()],
            b"",
        );
    }

    #[test]
    fn the_status_line_is_one_chunk_however_it_came() {
        let line = "\u{ffff} heroku-command-exit-status: 7\n".as_bytes();
        for cut in 1..line.len() {
            let (first, last) = line.split_at(cut);
            check(&[first, last], &[line], b"");
            let first = [b"out\n", first].concat();
            check(&[&first, last], &[b"out\n", line], b"");
        }
    }

    #[test]
    fn what_only_begins_like_a_marker_is_given_in_the_end() {
        check(&[b"x\xef\xbf"], &[b"x"], b"\xef\xbf");
        let long = [MARKER, &[b'x'; LONGEST_LINE]].concat();
        check(&[&long], &[&long], b"");
    }
}
