//! The registry's refusals in OCI's words, which clients act on.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use platform::registry::RegistryError;
use serde_json::json;

use super::{Refusal, VERSION, put_header};

/// Why the registry does not do what was asked.
#[derive(Debug)]
pub(super) struct Refused(RegistryError);

impl From<RegistryError> for Refused {
    fn from(error: RegistryError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let message = self.0.to_string();
        let (status, code) = match self.0 {
            RegistryError::BlobUnknown => (StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
            RegistryError::UploadUnknown => (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN"),
            RegistryError::UploadRange(_) => {
                (StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID")
            }
            RegistryError::DigestInvalid(_) => (StatusCode::BAD_REQUEST, "DIGEST_INVALID"),
            RegistryError::ManifestUnknown => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
            RegistryError::ManifestInvalid(_) => (StatusCode::BAD_REQUEST, "MANIFEST_INVALID"),
            RegistryError::ManifestBlobUnknown(_) => {
                (StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN")
            }
            RegistryError::TagInvalid(_) => (StatusCode::BAD_REQUEST, "NAME_INVALID"),
            RegistryError::BrokeOff(_) => (StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID"),
            RegistryError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "DENIED"),
            RegistryError::NotReady(_) => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
            RegistryError::Platform(error) => return Refusal::from(error).into_response(),
        };
        let body = json!({ "errors": [{ "code": code, "message": message }] });
        let mut response = (status, Json(body)).into_response();
        put_header(&mut response, VERSION.0, VERSION.1);
        response
    }
}
