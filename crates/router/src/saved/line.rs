//! A line of the routes file: what one version said of one entry, with a sum that tells whether it
//! is whole. And the file that releases before protocol 3 wrote, which was one JSON value.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use thiserror::Error;

use crate::wire::{
    AppRoutes, Certificate, Challenge, Entry, EntryKey,
    entry::{fingerprint, key_of},
};

const SUM_DIGITS: usize = 16;

/// What a line says.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Record {
    /// Of the table that said so.
    pub(super) version: u64,
    /// An entry is this.
    pub(super) set: Option<Entry>,
    /// An entry is gone.
    pub(super) unset: Option<EntryKey>,
}

/// Why a line tells nothing.
#[derive(Debug, Error)]
pub(super) enum Damage {
    #[error("its sum is not that of its text")]
    Sum,
    #[error("it is no route: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// Appends a line that sets an entry, given as JSON.
pub(super) fn set(bytes: &mut Vec<u8>, version: u64, entry: &[u8]) {
    let head = format!("{{\"version\":{version},\"set\":");
    write(bytes, &[head.as_bytes(), entry, b"}"].concat());
}

/// Appends a line that takes an entry out.
pub(super) fn unset(bytes: &mut Vec<u8>, version: u64, key: &EntryKey) -> serde_json::Result<()> {
    let key = serde_json::to_string(key)?;
    let json = format!("{{\"version\":{version},\"unset\":{key}}}");
    write(bytes, json.as_bytes());
    Ok(())
}

/// Appends a line that says the version alone.
pub(super) fn version(bytes: &mut Vec<u8>, version: u64) {
    write(bytes, format!("{{\"version\":{version}}}").as_bytes());
}

fn write(bytes: &mut Vec<u8>, json: &[u8]) {
    bytes.extend_from_slice(format!("{:016x} ", fingerprint(json)).as_bytes());
    bytes.extend_from_slice(json);
    bytes.push(b'\n');
}

/// Reads a line without its end.
pub(super) fn read(line: &[u8]) -> Result<Record, Damage> {
    let (sum, json) = line.split_at_checked(SUM_DIGITS).ok_or(Damage::Sum)?;
    let json = json.strip_prefix(b" ").ok_or(Damage::Sum)?;
    if sum != format!("{:016x}", fingerprint(json)).as_bytes() {
        return Err(Damage::Sum);
    }
    Ok(serde_json::from_slice(json)?)
}

/// Version and entries of the file as it was before protocol 3. Entries that are malformed are left
/// out and logged.
pub(super) fn read_former(bytes: &[u8]) -> serde_json::Result<(u64, Vec<Entry>)> {
    let mut table: Value = serde_json::from_slice(bytes)?;
    let version = table.get("version").and_then(Value::as_u64).unwrap_or(1);
    let mut list = |name: &str| match table.get_mut(name).map(Value::take) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    };
    let mut entries = Vec::new();
    for told in list("certificates") {
        entries.extend(entry(
            "certificate",
            told,
            Entry::Certificate as fn(Certificate) -> Entry,
        ));
    }
    for told in list("challenges") {
        entries.extend(entry(
            "challenge",
            told,
            Entry::Challenge as fn(Challenge) -> Entry,
        ));
    }
    for told in list("apps") {
        entries.extend(entry("app", told, Entry::App as fn(AppRoutes) -> Entry));
    }
    Ok((version, entries))
}

fn entry<T: DeserializeOwned>(kind: &str, told: Value, entry: fn(T) -> Entry) -> Option<Entry> {
    let key = key_of(&Value::from_iter([(kind, told.clone())]));
    match serde_json::from_value(told) {
        Ok(told) => Some(entry(told)),
        Err(error) => {
            tracing::error!(%error, ?key, "an entry of the saved routes is malformed");
            None
        }
    }
}
