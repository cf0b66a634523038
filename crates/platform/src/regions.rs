//! Regions: one, this platform itself.

use api::{
    clock::Time,
    references::{NameReference, lasting_id},
    regions::{Provider, Region},
};

use crate::error::{Error, Result};

const NAME: &str = "local";
/// 2026-01-01: the API wants to know since when there is a region.
const INTRODUCED: Time = Time::from_micros(1_767_225_600_000_000);

/// Every region.
pub fn all() -> Vec<Region> {
    vec![Region {
        country: "Here".to_owned(),
        created_at: INTRODUCED,
        description: "This platform".to_owned(),
        id: lasting_id("region", NAME),
        locale: "Here".to_owned(),
        name: NAME.to_owned(),
        private_capable: false,
        provider: Provider {
            name: "self-hosted".to_owned(),
            region: NAME.to_owned(),
        },
        updated_at: INTRODUCED,
    }]
}

/// The region with this name or id.
pub fn find(identity: &str) -> Result<Region> {
    let found = all()
        .into_iter()
        .find(|region| region.name == identity || region.id.to_string() == identity);
    found.ok_or_else(|| Error::NotFound {
        resource: "region",
        name: identity.to_owned(),
    })
}

/// The region of every app.
pub fn reference() -> NameReference {
    NameReference::new("region", NAME)
}
