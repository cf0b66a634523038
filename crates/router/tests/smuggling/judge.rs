//! Whether what happened is what had to happen. Pure.

use crate::case::{Asked, Case, Must};

/// A request as a dyno saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: Vec<u8>,
    /// Headers and trailers, names in lower case; `None` where the dyno cannot tell.
    pub(crate) headers: Option<Vec<(String, String)>>,
}

/// An answer as a client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// What a client read until the connection ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) answers: Vec<Answer>,
    /// Bytes that are no whole answer.
    pub(crate) rest: Vec<u8>,
    /// The connection ended with a reset, which may have taken an answer with it.
    pub(crate) is_reset: bool,
}

/// Takes the answers apart; `methods` are those asked, in order.
pub(crate) fn answers(mut bytes: &[u8], methods: &[&str], is_reset: bool) -> Heard {
    let mut heard = Heard {
        is_reset,
        ..Heard::default()
    };
    while !bytes.is_empty() {
        let method = methods.get(heard.answers.len()).copied().unwrap_or("GET");
        let Some((answer, rest)) = answer(bytes, method) else {
            heard.rest = bytes.to_vec();
            break;
        };
        bytes = rest;
        // Interim answers are followed by the real one.
        if answer.status >= 200 {
            heard.answers.push(answer);
        }
    }
    heard
}

fn answer<'a>(bytes: &'a [u8], method: &str) -> Option<(Answer, &'a [u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end])
        .ok()?
        .to_ascii_lowercase();
    let rest = &bytes[end + 4..];
    let status: u16 = head.strip_prefix("http/1.")?.get(2..5)?.parse().ok()?;
    let header = |name: &str| {
        let mut lines = head.split("\r\n").skip(1);
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
    };
    let is_bodiless = status < 200 || status == 204 || status == 304 || method == "HEAD";
    let (body, rest) = if is_bodiless {
        (Vec::new(), rest)
    } else if header("transfer-encoding").is_some() {
        let chunked = unchunked(rest)?;
        (chunked.body, chunked.rest)
    } else if let Some(length) = header("content-length") {
        let (body, rest) = rest.split_at_checked(length.parse().ok()?)?;
        (body.to_vec(), rest)
    } else {
        (rest.to_vec(), &[][..])
    };
    Some((Answer { status, body }, rest))
}

/// A chunked body.
pub(crate) struct Chunked<'a> {
    pub(crate) body: Vec<u8>,
    /// Lines of trailers, without the empty one.
    pub(crate) trailers: &'a [u8],
    /// What follows it.
    pub(crate) rest: &'a [u8],
}

/// Takes one apart, strictly; `None` if it is malformed or not whole.
pub(crate) fn unchunked(mut bytes: &[u8]) -> Option<Chunked<'_>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[..end]).ok()?;
        let is_hexadecimal = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = is_hexadecimal.then(|| usize::from_str_radix(size, 16).ok())??;
        bytes = &bytes[end + 2..];
        if size == 0 {
            let (trailers, rest) = if let Some(rest) = bytes.strip_prefix(b"\r\n") {
                (&[][..], rest)
            } else {
                let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
                (&bytes[..end], &bytes[end + 4..])
            };
            return Some(Chunked {
                body,
                trailers,
                rest,
            });
        }
        let (chunk, rest) = bytes.split_at_checked(size)?;
        body.extend_from_slice(chunk);
        bytes = rest.strip_prefix(b"\r\n")?;
    }
}

/// What a dyno answers to a request, so that client and dyno can be compared.
pub(crate) fn echo(method: &str, target: &str, body_bytes: usize) -> String {
    format!("{method} {target} {body_bytes}")
}

/// What happened in one case: what its connection heard, and what the dyno saw of it, the marker
/// behind it included.
pub(crate) struct Happened<'a> {
    pub(crate) heard: &'a Heard,
    pub(crate) seen: &'a [Seen],
    /// Target of the request that was sent behind the case on the same connection.
    pub(crate) marker: &'a str,
    /// Whether the dyno may refuse a request by itself.
    pub(crate) dyno_may_refuse: bool,
}

/// The complaint, if there is one.
pub(crate) fn judge(case: &Case, happened: &Happened<'_>) -> Result<(), String> {
    match &case.must {
        Must::Refuse => refused(happened),
        Must::Forward(asked) => forwarded(asked, happened),
        Must::Either(asked) => refused(happened).or_else(|refused| {
            forwarded(asked, happened).map_err(|forwarded| format!("{refused}; {forwarded}"))
        }),
    }
}

fn refused(happened: &Happened<'_>) -> Result<(), String> {
    let (heard, seen) = (happened.heard, without_marker(happened));
    if !seen.is_empty() {
        return Err(format!("not refused, the dyno saw {}", told(seen)));
    }
    let Some((first, others)) = heard.answers.split_first() else {
        if heard.is_reset || heard.rest.is_empty() {
            return Ok(());
        }
        return Err(format!("no answer but {}", heard.rest.escape_ascii()));
    };
    if first.status < 400 {
        return Err(format!("answered {}", first.status));
    }
    // Behind a refused request nothing is answered, or the marker; what stood between them may be
    // refused, too.
    let is_refused = others.iter().all(|other| other.status >= 400);
    let is_marker = matches!(others, [other] if is_marker(other, happened.marker));
    if is_refused || is_marker {
        Ok(())
    } else {
        Err(format!("refused, but then {others:?}"))
    }
}

fn forwarded(asked: &[Asked], happened: &Happened<'_>) -> Result<(), String> {
    let heard = happened.heard;
    let mut seen = without_marker(happened).iter().peekable();
    let mut answers = heard.answers.iter();
    for one in asked {
        let answer = answers.next();
        let refused_by_dyno = happened.dyno_may_refuse && answer.is_some_and(|at| at.status >= 400);
        match seen.next_if(|seen| seen.method == one.method && seen.target == one.target) {
            Some(seen) => check_seen(one, seen)?,
            None if refused_by_dyno => continue,
            None => return Err(format!("the dyno never saw {} {}", one.method, one.target)),
        }
        let expected = echo(&one.method, &one.target, one.body.len());
        match answer {
            Some(answer) if answer.status == 200 && answer.body == expected.as_bytes() => {}
            other => return Err(format!("{expected} was answered {other:?}")),
        }
    }
    if let Some(extra) = seen.next() {
        return Err(format!(
            "the dyno also saw {} {}",
            extra.method, extra.target
        ));
    }
    match (answers.next(), answers.next()) {
        (None, _) => Ok(()),
        (Some(last), None) if is_marker(last, happened.marker) => Ok(()),
        (Some(last), None) if last.status >= 400 => Ok(()),
        (last, _) => Err(format!("more answers than requests: {last:?}")),
    }
}

fn check_seen(asked: &Asked, seen: &Seen) -> Result<(), String> {
    if seen.body != asked.body {
        return Err(format!("the body arrived as {}", seen.body.escape_ascii()));
    }
    let Some(headers) = &seen.headers else {
        return Ok(());
    };
    for name in &asked.without {
        if headers.iter().any(|(other, _)| other == name) {
            return Err(format!("the dyno was told {name}"));
        }
    }
    for (name, value) in &asked.with {
        let values = headers.iter().filter(|(other, _)| other == name);
        let values: Vec<&str> = values.map(|(_, value)| value.as_str()).collect();
        if values != [*value] {
            return Err(format!("the dyno was told {name}: {values:?}, not {value}"));
        }
    }
    Ok(())
}

fn without_marker<'a>(happened: &Happened<'a>) -> &'a [Seen] {
    match happened.seen.split_last() {
        Some((last, before)) if last.target == happened.marker => before,
        _ => happened.seen,
    }
}

fn is_marker(answer: &Answer, marker: &str) -> bool {
    answer.status == 200 && answer.body == echo("GET", marker, 0).as_bytes()
}

fn told(seen: &[Seen]) -> String {
    let lines = seen
        .iter()
        .map(|at| echo(&at.method, &at.target, at.body.len()));
    lines.collect::<Vec<_>>().join(", ")
}
