//! Whether a proxy does what all shall do, before it is measured.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{programs::Programs, proxies::Proxy};
use crate::out;

/// A buffered log is written after a second at most.
const LIMITS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(50));

/// Bodies byte by byte, headers for the app, one access line a request.
pub(super) fn check(programs: &Programs, proxy: &Proxy) -> Result<()> {
    let before = proxy.lines()?;
    let mut requests = 0;
    for is_tls in [false, true] {
        let mut ask = |path: &str, upload: usize| {
            requests += 1;
            programs
                .ask(&[
                    "ask".to_owned(),
                    format!("address={}", proxy.address(is_tls)),
                    format!("tls={is_tls}"),
                    format!("path={path}"),
                    format!("upload={upload}"),
                    "host=7".to_owned(),
                ])
                .with_context(|| format!("{}: {path}, TLS {is_tls}", proxy.name))
        };
        for (path, length) in [("/1k", 1024), ("/64k", 64 * 1024)] {
            let answer = ask(path, 0)?;
            ensure!(
                answer["length"] == length && answer["is_pattern"] == true,
                "{}: {path} came back as another: {answer}",
                proxy.name
            );
            ensure!(
                head(&answer).contains("\r\nvia:"),
                "{}: no Via in the answer: {answer}",
                proxy.name
            );
        }
        ensure!(
            ask("/sink", 64 * 1024)?["body"] == "taken",
            "{}: POST",
            proxy.name
        );
        check_head(&ask("/head", 0)?, proxy, is_tls)?;
    }
    let mut lines = 0;
    out::wait_until(
        &format!("{requests} access lines of {}", proxy.name),
        LIMITS,
        || {
            lines = proxy.lines()? - before;
            Ok((lines >= requests).then_some(()))
        },
    )?;
    ensure!(
        lines == requests,
        "{}: {lines} lines for {requests} requests",
        proxy.name
    );
    Ok(())
}

/// What the app was told.
fn check_head(answer: &Value, proxy: &Proxy, is_tls: bool) -> Result<()> {
    let told = answer["body"].as_str().unwrap_or_default().to_lowercase();
    let address = proxy.address(is_tls);
    let port = address.rsplit(':').next().unwrap_or_default();
    let protocol = if is_tls { "https" } else { "http" };
    for expected in [
        "\nhost: h7.localhost\r".to_owned(),
        "\nx-forwarded-for: 127.0.0.1\r".to_owned(),
        format!("\nx-forwarded-proto: {protocol}\r"),
        format!("\nx-forwarded-port: {port}\r"),
        "\nx-request-id: ".to_owned(),
        "\nx-request-start: 1".to_owned(),
        "\nvia: 1.1 ".to_owned(),
        "\ncookie: session=".to_owned(),
    ] {
        ensure!(
            told.contains(&expected),
            "{}: the app was not told {expected:?} but:\n{told}",
            proxy.name
        );
    }
    Ok(())
}

fn head(answer: &Value) -> String {
    answer["head"].as_str().unwrap_or_default().to_lowercase()
}
