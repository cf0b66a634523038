//! Where in a trace something is, as `traceparent` tells it (W3C Trace Context, level 1). Pure.

use std::fmt;

/// A span's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace: u128,
    pub(super) span: u64,
    flags: u8,
}

const SAMPLED: u8 = 1;

impl Context {
    /// A trace that begins here.
    pub(super) fn new(trace: u128, span: u64) -> Self {
        Self {
            // Zero is no id.
            trace: trace.max(1),
            span: span.max(1),
            flags: SAMPLED,
        }
    }

    /// The same trace one span further.
    pub(super) fn child(&self, span: u64) -> Self {
        Self {
            span: span.max(1),
            flags: self.flags | SAMPLED,
            ..*self
        }
    }

    /// What a header says; `None` if it is malformed. Later versions may say more behind what we
    /// know.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let (known, more) = text.split_at_checked(55)?;
        let mut parts = known.split('-');
        let mut next = |length: usize| parts.next().filter(|part| is_hex(part, length));
        let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        let is_known = match version {
            "ff" => false,
            "00" => more.is_empty(),
            _ => more.is_empty() || more.starts_with('-'),
        };
        let context = Self {
            trace: u128::from_str_radix(trace, 16).ok()?,
            span: u64::from_str_radix(span, 16).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()?,
        };
        (is_known && context.trace != 0 && context.span != 0).then_some(context)
    }

    pub(super) fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Whether the trace is among `share` of `all`, by its number's lower half, which is random.
    pub(super) fn is_among(&self, share: u32, all: u32) -> bool {
        let place = self.trace & u128::from(u64::MAX);
        place * u128::from(all) < u128::from(share) << u64::BITS
    }

    pub(super) fn flags(&self) -> u8 {
        self.flags
    }
}

/// Digits as the header has them: lower case.
fn is_hex(part: &str, length: usize) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    part.len() == length && part.bytes().all(is_digit)
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span, flags } = self;
        write!(f, "00-{trace:032x}-{span:016x}-{flags:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparents() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        const SPAN: &str = "00f067aa0ba902b7";
        for (value, is_read) in [
            (format!("00-{TRACE}-{SPAN}-01"), true),
            (format!("00-{TRACE}-{SPAN}-00"), true),
            (format!("cc-{TRACE}-{SPAN}-01"), true),
            (format!("cc-{TRACE}-{SPAN}-01-more"), true),
            (format!("cc-{TRACE}-{SPAN}-01more"), false),
            (format!("00-{TRACE}-{SPAN}-01-more"), false),
            (format!("ff-{TRACE}-{SPAN}-01"), false),
            (format!("00-{TRACE}-{SPAN}"), false),
            (format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), false),
            (format!("00-{}-{SPAN}-01", "0".repeat(32)), false),
            (format!("00-{TRACE}-{}-01", "0".repeat(16)), false),
            (format!("00-{TRACE}-{SPAN}-+1"), false),
            (String::new(), false),
            ("é".repeat(40), false),
        ] {
            let context = Context::parse(value.as_bytes());
            assert_eq!(context.is_some(), is_read, "{value}");
            if let Some(context) = context.filter(|_| value.starts_with("00")) {
                assert_eq!(context.to_string(), value);
            }
        }
    }
}
