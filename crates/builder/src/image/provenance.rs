//! How an image came about: an in-toto statement with SLSA's provenance predicate, version 1.
//!
//! It holds nothing of the moment, so it is as reproducible as the image. It is not signed: it says
//! what the platform did, and whoever trusts the registry trusts it.

use serde_json::{Value, json};

use super::{Descriptor, Digest, FORMAT, ImageRequest};

pub(super) const MEDIA_TYPE: &str = "application/vnd.in-toto+json";
/// Names this way to build; what it means is said in `docs/guide/images.md`.
const BUILD_TYPE: &str = "urn:landfall:slug-image:v1";
const BUILDER: &str = "urn:landfall:builder";

/// The statement about the image with this manifest, whose lowest layer is the stack.
pub(super) fn document(
    request: &ImageRequest,
    manifest: &Descriptor,
    stack: Option<&Digest>,
) -> Value {
    let mut dependencies: Vec<Value> = Vec::new();
    if let Some(stack) = stack {
        dependencies.push(json!({
            "name": "stack",
            "uri": format!("urn:landfall:stack:{}", request.stack),
            "digest": { "sha256": stack.digits() },
        }));
    }
    if let Some(commit) = &request.commit {
        let mut source = json!({ "name": "source", "uri": "urn:landfall:source" });
        if is_git_commit(commit) {
            source["digest"] = json!({ "gitCommit": commit });
        } else {
            source["annotations"] = json!({ "version": commit });
        }
        dependencies.push(source);
    }
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{
            "name": request.title,
            "digest": { "sha256": manifest.digest.digits() },
        }],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "language": request.language,
                    "processTypes": request.process_types,
                },
                "internalParameters": {
                    "compression": request.compression,
                    "format": FORMAT,
                    "layers": request.layers,
                    "stack": request.stack,
                },
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": {
                    "id": BUILDER,
                    "version": { "landfall": env!("CARGO_PKG_VERSION") },
                },
            },
        },
    })
}

fn is_git_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
