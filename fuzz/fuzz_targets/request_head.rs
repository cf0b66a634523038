//! Any bytes as a request's head: never a panic; what is written for the dyno is strict, and the
//! router itself reads it as it read the original.
#![no_main]

use libfuzzer_sys::fuzz_target;
use router::fuzzing::{Body, request};
use router_fuzz::{strict_lines, values};

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some(taken)) = request(bytes) else {
        return;
    };
    assert!(taken.bytes <= bytes.len());
    let lines = strict_lines(&taken.written);
    assert_eq!(values(&lines, "host").len(), 1, "one host");
    match taken.body {
        Body::Bytes(length) if length > 0 => {
            assert_eq!(
                values(&lines, "content-length"),
                [length.to_string().as_bytes()]
            );
        }
        Body::Chunked => assert_eq!(values(&lines, "transfer-encoding"), [b"chunked"]),
        _ => assert!(values(&lines, "transfer-encoding").is_empty()),
    }
    let again = match request(&taken.written) {
        Ok(again) => again.expect("it is whole"),
        // The router adds some of its own.
        Err(reason) if reason == "there are too many headers" => return,
        Err(reason) => panic!("what is written is refused: {reason}"),
    };
    assert_eq!(again.bytes, taken.written.len());
    assert_eq!(again.host, taken.host);
    assert_eq!(again.body, taken.body);
});
