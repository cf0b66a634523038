//! What a client sends to a dyno, and when it has sent all.
//!
//! At the end of its own input the CLI sends byte 0x04. A terminal makes that the end of input;
//! with pipes it has to be done here: a 0x04 that nothing follows.

const END_OF_TRANSMISSION: u8 = 0x04;

/// State of one client's input.
#[derive(Debug)]
pub(super) struct Input {
    has_terminal: bool,
    holds_end: bool,
    has_ended: bool,
}

impl Input {
    pub(super) fn new(has_terminal: bool) -> Self {
        Self {
            has_terminal,
            holds_end: false,
            has_ended: false,
        }
    }

    /// Bytes for the dyno out of bytes from the client.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.has_ended {
            return Vec::new();
        }
        if self.has_terminal {
            return bytes.to_owned();
        }
        let mut passed = Vec::with_capacity(bytes.len() + 1);
        if self.holds_end {
            // Something followed, so it was a byte like any other.
            passed.push(END_OF_TRANSMISSION);
        }
        passed.extend_from_slice(bytes);
        self.holds_end = passed.last() == Some(&END_OF_TRANSMISSION);
        if self.holds_end {
            passed.pop();
        }
        passed
    }

    /// Whether it ends here if nothing follows.
    pub(super) fn may_have_ended(&self) -> bool {
        self.holds_end && !self.has_ended
    }

    /// Nothing more goes to the dyno.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(has_terminal: bool, sent: &[&str], passed: &str, may_have_ended: bool) {
        let mut input = Input::new(has_terminal);
        let bytes: Vec<u8> = sent
            .iter()
            .flat_map(|bytes| input.take(bytes.as_bytes()))
            .collect();
        assert_eq!(String::from_utf8(bytes).unwrap(), passed, "{sent:?}");
        assert_eq!(input.may_have_ended(), may_have_ended, "{sent:?}");
    }

    #[test]
    fn only_a_last_0x04_through_pipes_is_an_end() {
        check(false, &["hi\n"], "hi\n", false);
        check(false, &["hi\n", "\x04"], "hi\n", true);
        check(false, &["hi\n\x04"], "hi\n", true);
        check(false, &["a\x04b"], "a\x04b", false);
        check(false, &["a\x04", "b"], "a\x04b", false);
        check(false, &["\x04", "\x04"], "\x04", true);
        check(true, &["hi\n", "\x04"], "hi\n\x04", false);
    }
}
