//! Client bytes to dyno bytes, against hyper's server at both ends: what we take, hyper takes; what
//! it reads in the client's bytes and in ours is the same request.
#![no_main]

use libfuzzer_sys::fuzz_target;
use router::fuzzing::{Body, request};
use router_fuzz::{REWRITTEN, Read, hyper_reads, values};

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some(taken)) = request(bytes) else {
        return;
    };
    let (Some(from_client), Some(to_dyno)) = (hyper_reads(bytes), hyper_reads(&taken.written))
    else {
        // Its type for targets knows fewer characters than browsers send, such as `.
        for bytes in [bytes, &taken.written] {
            hyper_reads(&with_plain_target(bytes)).expect("hyper refuses what we take");
        }
        return;
    };
    assert_eq!(from_client.method, to_dyno.method);
    assert_eq!(path(&from_client.target), path(&to_dyno.target));
    for read in [&from_client, &to_dyno] {
        check_length(taken.body, read);
    }
    let claimed: Vec<Vec<u8>> = values(&from_client.headers, "connection")
        .iter()
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(|name| name.trim_ascii().to_ascii_lowercase())
        .collect();
    let kept = |read: &Read| -> Vec<(String, Vec<u8>)> {
        let all = read.headers.iter().filter(|(name, _)| {
            let plain = name.replace('_', "-");
            !REWRITTEN.contains(&plain.as_str()) && !claimed.contains(&name.as_bytes().to_vec())
        });
        let mut all: Vec<_> = all.cloned().collect();
        all.sort();
        all
    };
    assert_eq!(kept(&from_client), kept(&to_dyno), "other headers");
    assert_eq!(values(&to_dyno.headers, "x-forwarded-proto"), [b"http"]);
    assert_eq!(values(&to_dyno.headers, "x-forwarded-port"), [b"80"]);
    let chain = values(&to_dyno.headers, "x-forwarded-for");
    assert!(
        matches!(chain[..], [chain] if chain.ends_with(b"192.0.2.1")),
        "the client's address"
    );
});

/// The same request to `/`.
fn with_plain_target(bytes: &[u8]) -> Vec<u8> {
    let mut words = bytes.splitn(3, |byte| *byte == b' ');
    let (method, _, rest) = (words.next(), words.next(), words.next());
    [method.expect("a method"), rest.expect("a version")].join(&b" / "[..])
}

fn check_length(body: Body, read: &Read) {
    match body {
        Body::None => assert_eq!(read.length, Some(0)),
        Body::Bytes(length) => assert_eq!(read.length, Some(length)),
        Body::Chunked => assert_eq!(read.length, None),
        Body::UntilClose => panic!("no request ends with its connection"),
    }
}

/// Path and query, whichever form the target has.
fn path(target: &str) -> &str {
    // A path may hold what looks like the beginning of an address.
    let absolute = target.split_once("://").filter(|_| !target.starts_with('/'));
    let Some((_, rest)) = absolute else {
        return target;
    };
    match rest.find(['/', '?']) {
        Some(start) => &rest[start..],
        None => "/",
    }
}
