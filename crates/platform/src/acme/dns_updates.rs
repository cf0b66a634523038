//! DNS records set and removed by dynamic update (RFC 2136), signed with a shared key (RFC 8945).
//!
//! One record type, one question, no answers but a code: less than any library for it.

use std::{fmt, net::SocketAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const TTL_SECONDS: u32 = 30;
const UPDATE_TIMEOUT: Duration = Duration::from_secs(10);
/// How far the server's clock may be from ours.
const FUDGE_SECONDS: u16 = 300;
const TYPE_SOA: u16 = 6;
const TYPE_TXT: u16 = 16;
const TYPE_TSIG: u16 = 250;
const CLASS_IN: u16 = 1;
const CLASS_NONE: u16 = 254;
const CLASS_ANY: u16 = 255;
const OPCODE_UPDATE: u16 = 5 << 11;

/// The primary server of some zones, and the key that it knows us by.
#[derive(Clone, Debug)]
pub struct DnsUpdates {
    /// Takes updates over TCP.
    pub server: SocketAddr,
    /// Its zones that we may change, lower case, without a dot at the end.
    pub zones: Vec<String>,
    /// Signs the updates.
    pub key: TsigKey,
}

/// A shared key.
#[derive(Clone)]
pub struct TsigKey {
    name: String,
    algorithm: &'static str,
    key: hmac::Key,
}

impl fmt::Debug for TsigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TsigKey({} {})", self.name, self.algorithm)
    }
}

/// Why a record was not changed.
#[derive(Debug, Error)]
pub enum DnsError {
    /// The server cannot be reached, or broke off.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It took too long.
    #[error("the server did not answer in time")]
    TooSlow,
    /// It said no.
    #[error("the server refused with code {0}{hint}", hint = code_hint(*.0))]
    Refused(u8),
    /// It said something that is no answer to us.
    #[error("the server's answer cannot be read")]
    Unreadable,
    /// The name is in none of the configured zones.
    #[error("{0} is in none of the zones that may be updated")]
    NoZone(String),
    /// The name cannot be a DNS name.
    #[error("{0} is too long for DNS")]
    Name(String),
    /// The key file is not one.
    #[error(
        "the key file must hold `key \"NAME\" {{ algorithm hmac-sha256; secret \"BASE64\"; }};`"
    )]
    KeyFile,
}

fn code_hint(code: u8) -> &'static str {
    match code {
        5 => ": it does not let this key change the zone",
        9 => ": it does not know the key, or has another, or its clock is off",
        10 => ": the name is not in the zone",
        _ => "",
    }
}

/// Whether to set a record or to remove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Add,
    Remove,
}

impl TsigKey {
    /// Reads the form that `tsig-keygen` writes and BIND and Knot read.
    ///
    /// # Errors
    /// [`DnsError::KeyFile`]
    pub fn read(text: &str) -> Result<Self, DnsError> {
        let words: Vec<&str> = text
            .split(|c: char| c.is_whitespace() || matches!(c, '"' | '{' | '}' | ';'))
            .filter(|word| !word.is_empty())
            .collect();
        let after = |word: &str| {
            let at = words.iter().position(|candidate| *candidate == word)?;
            words.get(at + 1).copied()
        };
        let parts = (after("key"), after("algorithm"), after("secret"));
        let (Some(name), Some(algorithm), Some(secret)) = parts else {
            return Err(DnsError::KeyFile);
        };
        let (algorithm, hash) = match algorithm.to_ascii_lowercase().as_str() {
            "hmac-sha256" => ("hmac-sha256", hmac::HMAC_SHA256),
            "hmac-sha384" => ("hmac-sha384", hmac::HMAC_SHA384),
            "hmac-sha512" => ("hmac-sha512", hmac::HMAC_SHA512),
            _ => return Err(DnsError::KeyFile),
        };
        let secret = STANDARD.decode(secret).map_err(|_| DnsError::KeyFile)?;
        Ok(Self {
            name: name.trim_end_matches('.').to_ascii_lowercase(),
            algorithm,
            key: hmac::Key::new(hash, &secret),
        })
    }
}

impl DnsUpdates {
    /// Adds or removes a text record, beside others of its name.
    pub(crate) async fn change(
        &self,
        change: Change,
        (name, text): (&str, &str),
        unix_seconds: u64,
    ) -> Result<(), DnsError> {
        let zone = self.zone(name)?;
        let id = rand::random();
        let message = message(id, zone, (change, name, text))?;
        let signed = sign(message, &self.key, unix_seconds)?;
        let answer = timeout(UPDATE_TIMEOUT, self.ask(&signed));
        let answer = answer.await.map_err(|_| DnsError::TooSlow)??;
        read_answer(&answer, id)
    }

    /// The longest of our zones that the name is in.
    fn zone(&self, name: &str) -> Result<&str, DnsError> {
        let holds = |zone: &&String| {
            name.strip_suffix(zone.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let found = self
            .zones
            .iter()
            .filter(holds)
            .max_by_key(|zone| zone.len());
        found
            .map(String::as_str)
            .ok_or_else(|| DnsError::NoZone(name.to_owned()))
    }

    async fn ask(&self, message: &[u8]) -> Result<Vec<u8>, DnsError> {
        let length = u16::try_from(message.len()).map_err(|_| DnsError::Unreadable)?;
        let mut stream = TcpStream::connect(self.server).await?;
        stream
            .write_all(&[&length.to_be_bytes(), message].concat())
            .await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }
}

/// An update of one record (RFC 2136 §2.5.1 and §2.5.4), unsigned.
fn message(
    id: u16,
    zone: &str,
    (change, name, text): (Change, &str, &str),
) -> Result<Vec<u8>, DnsError> {
    let text_length = u8::try_from(text.len()).map_err(|_| DnsError::Name(text.to_owned()))?;
    let mut bytes = Vec::with_capacity(512);
    // One zone, no prerequisites, one update, nothing additional.
    for field in [id, OPCODE_UPDATE, 1, 0, 1, 0] {
        bytes.extend_from_slice(&field.to_be_bytes());
    }
    push_name(&mut bytes, zone)?;
    push(&mut bytes, &[TYPE_SOA, CLASS_IN]);
    push_name(&mut bytes, name)?;
    let (class, ttl) = match change {
        Change::Add => (CLASS_IN, TTL_SECONDS),
        Change::Remove => (CLASS_NONE, 0),
    };
    push(&mut bytes, &[TYPE_TXT, class]);
    bytes.extend_from_slice(&ttl.to_be_bytes());
    push(&mut bytes, &[u16::from(text_length) + 1]);
    bytes.push(text_length);
    bytes.extend_from_slice(text.as_bytes());
    Ok(bytes)
}

/// Appends the signature as the one additional record (RFC 8945 §4.2 and §4.3.3).
fn sign(mut bytes: Vec<u8>, key: &TsigKey, unix_seconds: u64) -> Result<Vec<u8>, DnsError> {
    let mut name = Vec::new();
    push_name(&mut name, &key.name)?;
    let mut timers = Vec::new();
    push_name(&mut timers, key.algorithm)?;
    timers.extend(unix_seconds.to_be_bytes().iter().skip(2));
    push(&mut timers, &[FUDGE_SECONDS]);
    let mut signed = hmac::Context::with_key(&key.key);
    signed.update(&bytes);
    signed.update(&name);
    signed.update(&CLASS_ANY.to_be_bytes());
    signed.update(&[0; 4]);
    signed.update(&timers);
    // No error, no other data.
    signed.update(&[0; 4]);
    let mac = signed.sign();
    let mac = mac.as_ref();
    let mut data = timers;
    let id: Vec<u8> = bytes.iter().take(2).copied().collect();
    push(
        &mut data,
        &[u16::try_from(mac.len()).map_err(|_| DnsError::KeyFile)?],
    );
    data.extend_from_slice(mac);
    data.extend_from_slice(&id);
    data.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&name);
    push(&mut bytes, &[TYPE_TSIG, CLASS_ANY]);
    bytes.extend_from_slice(&[0; 4]);
    push(
        &mut bytes,
        &[u16::try_from(data.len()).map_err(|_| DnsError::KeyFile)?],
    );
    bytes.extend_from_slice(&data);
    if let Some(additional) = bytes.get_mut(10..12) {
        additional.copy_from_slice(&1_u16.to_be_bytes());
    }
    Ok(bytes)
}

/// The answer's signature is not looked at: who forges a yes only has the authority say no.
fn read_answer(answer: &[u8], id: u16) -> Result<(), DnsError> {
    let (Some(answered), Some(flags)) = (answer.get(..2), answer.get(2..4)) else {
        return Err(DnsError::Unreadable);
    };
    let is_answer = flags.first().is_some_and(|first| first & 0x80 != 0);
    if answered != id.to_be_bytes() || !is_answer {
        return Err(DnsError::Unreadable);
    }
    match flags.last().map(|last| last & 0x0f) {
        Some(0) => Ok(()),
        Some(code) => Err(DnsError::Refused(code)),
        None => Err(DnsError::Unreadable),
    }
}

fn push(bytes: &mut Vec<u8>, fields: &[u16]) {
    for field in fields {
        bytes.extend_from_slice(&field.to_be_bytes());
    }
}

fn push_name(bytes: &mut Vec<u8>, name: &str) -> Result<(), DnsError> {
    let too_long = || DnsError::Name(name.to_owned());
    if name.len() > 253 {
        return Err(too_long());
    }
    for label in name.split('.') {
        let length = u8::try_from(label.len()).map_err(|_| too_long())?;
        if !(1..=63).contains(&length) {
            return Err(too_long());
        }
        bytes.push(length);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "key \"landfall.\" {\n\talgorithm hmac-sha256;\n\tsecret \"c2VjcmV0\";\n};\n";

    #[test]
    fn key_files() {
        let key = TsigKey::read(KEY).unwrap();
        assert_eq!(format!("{key:?}"), "TsigKey(landfall hmac-sha256)");
        for damaged in [
            "",
            "key \"a\"",
            &KEY.replace("sha256", "md5"),
            &KEY.replace("c2V", "*"),
        ] {
            assert!(TsigKey::read(damaged).is_err(), "{damaged}");
        }
    }

    #[test]
    fn zones_of_names() {
        let updates = DnsUpdates {
            server: SocketAddr::from(([127, 0, 0, 1], 53)),
            zones: ["example.com", "eu.example.com"]
                .map(str::to_owned)
                .to_vec(),
            key: TsigKey::read(KEY).unwrap(),
        };
        for (name, expected) in [
            ("_acme-challenge.example.com", Some("example.com")),
            ("_acme-challenge.www.eu.example.com", Some("eu.example.com")),
            ("_acme-challenge.badexample.com", None),
            ("_acme-challenge.example.org", None),
        ] {
            assert_eq!(updates.zone(name).ok(), expected, "{name}");
        }
    }

    #[test]
    fn answers() {
        for (answer, expected) in [
            (&[0x12, 0x34, 0xa8, 0x00][..], Ok(())),
            (
                &[0x12, 0x34, 0xa8, 0x09],
                Err(
                    "the server refused with code 9: it does not know the key, or has another, or its clock is off",
                ),
            ),
            (
                &[0x12, 0x35, 0xa8, 0x00],
                Err("the server's answer cannot be read"),
            ),
            (
                &[0x12, 0x34, 0x28, 0x00],
                Err("the server's answer cannot be read"),
            ),
            (&[0x12], Err("the server's answer cannot be read")),
        ] {
            let read = read_answer(answer, 0x1234).map_err(|error| error.to_string());
            assert_eq!(read, expected.map_err(str::to_owned), "{answer:?}");
        }
    }

    #[test]
    fn names_that_cannot_be() {
        for name in ["", "a..b", &"a".repeat(64), &"a.".repeat(200)] {
            assert!(push_name(&mut Vec::new(), name).is_err(), "{name}");
        }
    }
}
