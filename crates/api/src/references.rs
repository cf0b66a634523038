//! How one resource names another: the small objects inside the big ones.
//!
//! Read [`AppReference`] and [`UserReference`] first; nearly every resource holds one of each.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    ids::{AccountId, AppId, BuildId, ReleaseId, SlugId},
    names::AppName,
};

/// An app, by id and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppReference {
    /// The app's id.
    pub id: AppId,
    /// The app's name now.
    pub name: AppName,
}

/// An account, by id and email address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserReference {
    /// The account's id.
    pub id: AccountId,
    /// Its email address.
    pub email: String,
}

/// Something small that has a name and a lasting id: a stack, region, generation or dyno size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameReference {
    /// The id that goes with the name.
    pub id: Uuid,
    /// The name.
    pub name: String,
}

impl NameReference {
    /// A reference whose id follows from what kind of thing it is (`stack`) and its name.
    pub fn new(kind: &str, name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            id: lasting_id(kind, &name),
            name,
        }
    }
}

/// A release, by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseReference {
    /// The release's id.
    pub id: ReleaseId,
}

/// A slug, by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlugReference {
    /// The slug's id.
    pub id: SlugId,
}

/// A build, by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildReference {
    /// The build's id.
    pub id: BuildId,
}

/// An id for a thing that has only a name: the same for the same words on every platform and in
/// every version. (FNV-1a over 128 bits, marked as UUID version 8.)
pub fn lasting_id(kind: &str, name: &str) -> Uuid {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash = kind
        .bytes()
        .chain([0])
        .chain(name.bytes())
        .fold(OFFSET, |hash, byte| {
            (hash ^ u128::from(byte)).wrapping_mul(PRIME)
        });
    uuid::Builder::from_custom_bytes(hash.to_be_bytes()).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lasting_ids_never_change() {
        let id = lasting_id("stack", "landfall-13").to_string();
        assert_eq!(id, "f2b2e3eb-420f-8f02-9a69-1f630fe21890");
        assert_ne!(lasting_id("stack", "eco"), lasting_id("dyno-size", "eco"));
        assert_eq!(lasting_id("stack", "x").get_version_num(), 8);
    }
}
