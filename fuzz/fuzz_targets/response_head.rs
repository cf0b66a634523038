//! Any bytes as a dyno's response head: never a panic; what is written for the client is strict and
//! frames the body in one way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use router::fuzzing::response;
use router_fuzz::{strict_lines, values};

fuzz_target!(|bytes: &[u8]| {
    for is_head in [false, true] {
        let Ok(Some(taken)) = response(bytes, is_head) else {
            continue;
        };
        assert!(taken.bytes <= bytes.len());
        let lines = strict_lines(&taken.written);
        assert!(values(&lines, "content-length").len() <= 1);
        assert!(
            values(&lines, "transfer-encoding")
                .iter()
                .all(|value| *value == b"chunked")
        );
        let status = taken.written.get(9..12).expect("a status");
        if status.starts_with(b"1") || status == b"204" {
            assert!(
                values(&lines, "content-length").is_empty(),
                "a length where there is no body"
            );
            assert!(
                values(&lines, "transfer-encoding").is_empty(),
                "chunks where there is no body"
            );
        }
    }
});
