//! What a case is: bytes, and what must become of them.

/// The host of the app that every case is about.
pub(crate) const HOST: &str = "example.localhost";

/// A request that shows up wherever somebody mistakes a body, or what follows a request, for one.
pub(crate) fn smuggled() -> String {
    format!("GET /smuggled HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
}

/// Bytes from a client.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) must: Must,
}

/// What must become of them.
#[derive(Clone, Debug)]
pub(crate) enum Must {
    /// Nothing reaches a dyno; the answer, if one arrives before the connection ends, is a 4xx or
    /// 5xx.
    Refuse,
    /// Exactly these requests reach it, and each is answered.
    Forward(Vec<Asked>),
    /// One or the other: what RFC 9112 leaves open.
    Either(Vec<Asked>),
}

/// A request as a dyno must see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: Vec<u8>,
    /// Headers and trailers that must not be there.
    pub(crate) without: Vec<&'static str>,
    /// Headers that must be there once, with this value.
    pub(crate) with: Vec<(&'static str, &'static str)>,
}

/// `GET` or another method without a body.
pub(crate) fn asked(method: &str, target: &str) -> Asked {
    with_body(method, target, "")
}

/// One with a body.
pub(crate) fn with_body(method: &str, target: &str, body: &str) -> Asked {
    Asked {
        method: method.to_owned(),
        target: target.to_owned(),
        body: body.as_bytes().to_vec(),
        without: Vec::new(),
        with: Vec::new(),
    }
}

impl Asked {
    pub(crate) fn without(mut self, names: &[&'static str]) -> Self {
        self.without.extend(names);
        self
    }

    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.with.push((name, value));
        self
    }
}

impl Case {
    pub(crate) fn refuse(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(name, bytes, Must::Refuse)
    }

    pub(crate) fn forward(
        name: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
        asked: impl Into<Vec<Asked>>,
    ) -> Self {
        Self::new(name, bytes, Must::Forward(asked.into()))
    }

    pub(crate) fn either(
        name: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
        asked: impl Into<Vec<Asked>>,
    ) -> Self {
        Self::new(name, bytes, Must::Either(asked.into()))
    }

    fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>, must: Must) -> Self {
        Self {
            name: name.into(),
            bytes: bytes.into(),
            must,
        }
    }
}

/// Bytes as they are in a name: printable, short.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    if text.len() <= 100 {
        return text;
    }
    format!("{}… {} bytes", &text[..80], bytes.len())
}
