//! Any bytes as a chunked body: the same in pieces of any size, and hyper's server agrees on the
//! content of all that is taken.
#![no_main]

use libfuzzer_sys::fuzz_target;
use router::fuzzing::chunked;
use router_fuzz::hyper_reads;

fuzz_target!(|bytes: &[u8]| {
    let whole = chunked(bytes, bytes.len().max(1));
    for piece in [1, 3, 7] {
        assert_eq!(chunked(bytes, piece), whole, "in pieces of {piece}");
    }
    let Ok(Some(decoded)) = whole else {
        return;
    };
    assert!(decoded.bytes <= bytes.len());
    let mut request = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    request.extend_from_slice(&bytes[..decoded.bytes]);
    let read = hyper_reads(&request).expect("hyper takes the head");
    assert_eq!(
        read.body.as_deref(),
        Some(&decoded.content[..]),
        "hyper reads another body"
    );
});
