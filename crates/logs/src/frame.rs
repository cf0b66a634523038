//! Framing of records in files: `length u32 LE | crc32 u32 LE | payload` (CRC-32 of IEEE 802.3, as
//! in gzip), written so that a torn end is seen. Shared by segments and the spool; it must not know
//! what a payload means.

use crc32fast::hash as crc32;

/// No payload is larger; a length above it is damage.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;
/// Bytes before each payload.
pub(crate) const FRAME_HEAD_BYTES: usize = 8;

/// Appends one frame to `buffer`.
pub(crate) fn push_frame(buffer: &mut Vec<u8>, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&crc32(payload).to_le_bytes());
    buffer.extend_from_slice(payload);
}

/// The first payload of `bytes` and what follows its frame; `None` when no whole, undamaged frame
/// starts there. Empty payloads do not exist, so that zeroed disk blocks are no frames.
pub(crate) fn next_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if length == 0 || length > MAX_PAYLOAD_BYTES {
        return None;
    }
    let (payload, rest) = rest.split_at_checked(length)?;
    (crc32(payload) == u32::from_le_bytes(*crc)).then_some((payload, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_standard_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn frames_come_back_and_damage_is_seen() {
        let mut bytes = Vec::new();
        push_frame(&mut bytes, b"one");
        push_frame(&mut bytes, b"two");
        let (first, rest) = next_frame(&bytes).unwrap();
        let (second, rest) = next_frame(rest).unwrap();
        assert_eq!((first, second, rest), (&b"one"[..], &b"two"[..], &b""[..]));
        assert!(
            next_frame(&[0; 64]).is_none(),
            "zeroed blocks are no frames"
        );
        for end in 0..FRAME_HEAD_BYTES + 3 {
            assert!(next_frame(&bytes[..end]).is_none(), "cut at {end}");
        }
        bytes[9] ^= 1;
        assert!(next_frame(&bytes).is_none());
    }
}
