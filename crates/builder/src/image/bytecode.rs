//! Python's byte code without the time at which its source was written.
//!
//! A `.pyc` file names its source's time (PEP 3147, PEP 552), and is not used when the source has
//! another. All files of an image have one time, so this puts it in.

/// Magic number, flags, time and size.
const HEADER_BYTES: usize = 16;

/// Whether a file of this name may be byte code.
pub(super) fn is_named_so(name: &[u8]) -> bool {
    name.ends_with(b".pyc")
}

/// The first bytes of the file as they shall be; unchanged unless they are byte code that is
/// checked by time.
pub(super) fn with_time(mut head: [u8; HEADER_BYTES], seconds: u32) -> [u8; HEADER_BYTES] {
    let is_checked_by_time = head[4..8] == [0; 4];
    if &head[2..4] == b"\r\n" && is_checked_by_time {
        head[8..12].copy_from_slice(&seconds.to_le_bytes());
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &[u8; 16], expected: &[u8; 16]) {
        assert_eq!(&with_time(*head, 0x0403_0201), expected);
    }

    #[test]
    fn only_the_time_is_changed_and_only_of_byte_code() {
        check(
            b"\xa7\x0d\r\n\0\0\0\0TIMEsize",
            b"\xa7\x0d\r\n\0\0\0\0\x01\x02\x03\x04size",
        );
        let by_hash = b"\xa7\x0d\r\n\x03\0\0\0HASHHASH";
        check(by_hash, by_hash);
        check(b"no byte code at ", b"no byte code at ");
    }
}
