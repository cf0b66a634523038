//! The one place where a refusal becomes a status, an `id` and a message.
//!
//! Platform errors and what the HTTP edge itself refuses meet in [`Refusal`]. Faults of ours are
//! logged here with their chain and answered without it.

use api::error::ErrorBody;
use api::range::RangeError;
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::StatusCode;

/// Why a request is not answered as asked.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The platform refuses.
    #[error(transparent)]
    Platform(#[from] platform::Error),
    /// No token and no password.
    #[error("no credentials")]
    NoCredentials,
    /// No route of this method and path.
    #[error("unknown endpoint")]
    UnknownEndpoint,
    /// A thing that is not kept by the platform, only named in the API.
    #[error("no such {0}")]
    Unknown(&'static str),
    /// What this platform does not have at all.
    #[error("{message}")]
    Absent {
        /// In the words that clients act on: `add_on`.
        resource: &'static str,
        /// What is missing.
        message: &'static str,
    },
    /// The body is not JSON.
    #[error("unreadable body")]
    UnreadableBody,
    /// The body is JSON of another shape.
    #[error("unexpected body: {0}")]
    UnexpectedBody(String),
    /// The body is longer than is read.
    #[error("body too long")]
    BodyTooLong,
    /// The `Range` header cannot be served.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// Too many requests.
    #[error("rate limit")]
    RateLimited,
    /// The password is right, and a code of the second factor is missing, wrong or used up.
    #[error("two factor")]
    TwoFactor,
    /// A body could not be received or stored.
    #[error("the upload broke off")]
    Upload(#[source] std::io::Error),
}

impl From<store::StoreError> for Refusal {
    fn from(error: store::StoreError) -> Self {
        Self::Platform(error.into())
    }
}

/// Status, `id`, message.
type Words = (StatusCode, &'static str, String);

impl Refusal {
    fn words(&self) -> Words {
        match self {
            Self::Platform(error) => platform_words(error),
            Self::NoCredentials => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "There were no credentials in your `Authorization` header. Try `Authorization: \
                 Bearer <OAuth access token>` or `Authorization: Basic <base64-encoded email + \
                 \":\" + password>`."
                    .to_owned(),
            ),
            Self::UnknownEndpoint => (
                StatusCode::NOT_FOUND,
                "not_found",
                "The requested API endpoint was not found. Are you using the right HTTP verb (i.e. \
                 `GET` vs. `POST`), and did you specify your intended version with the `Accept` \
                 header?"
                    .to_owned(),
            ),
            Self::Unknown(resource) => not_found(resource),
            Self::Absent { message, .. } => {
                (StatusCode::NOT_FOUND, "not_found", (*message).to_owned())
            }
            Self::UnreadableBody => (
                StatusCode::BAD_REQUEST,
                "bad_request",
                "The request body is not valid JSON.".to_owned(),
            ),
            Self::UnexpectedBody(reason) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid_params", reason.clone())
            }
            Self::BodyTooLong => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload_too_large",
                "The request body is too long.".to_owned(),
            ),
            Self::Range(error) => (
                StatusCode::RANGE_NOT_SATISFIABLE,
                "requested_range_not_satisfiable",
                error.to_string(),
            ),
            Self::RateLimited => (
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limit",
                "Your account reached the API rate limit. Please wait a few minutes before making \
                 new requests."
                    .to_owned(),
            ),
            Self::TwoFactor => (
                StatusCode::FORBIDDEN,
                "two_factor",
                "Two-factor code is required.".to_owned(),
            ),
            Self::Upload(_) => (
                StatusCode::BAD_REQUEST,
                "bad_request",
                "The upload broke off before its end.".to_owned(),
            ),
        }
    }

    fn resource(&self) -> Option<String> {
        match self {
            Self::Platform(platform::Error::NotFound { resource, .. }) => {
                Some((*resource).to_owned())
            }
            Self::Unknown(resource) | Self::Absent { resource, .. } => Some((*resource).to_owned()),
            _ => None,
        }
    }
}

fn not_found(resource: &str) -> Words {
    let message = format!("Couldn't find that {}.", resource.replace('_', " "));
    (StatusCode::NOT_FOUND, "not_found", message)
}

fn platform_words(error: &platform::Error) -> Words {
    use platform::Error;
    match error {
        Error::NotFound { resource, .. } => not_found(resource),
        Error::Invalid { message } => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_params",
            message.clone(),
        ),
        Error::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", error.to_string()),
        Error::Forbidden { .. } => (StatusCode::FORBIDDEN, "forbidden", error.to_string()),
        Error::Conflict { message } => (StatusCode::CONFLICT, "conflict", message.clone()),
        Error::Unavailable { message } => (
            StatusCode::SERVICE_UNAVAILABLE,
            "service_unavailable",
            message.clone(),
        ),
        fault => {
            tracing::error!(error = %chain(fault), "a request failed");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal_server_error",
                "Internal server error.".to_owned(),
            )
        }
    }
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, id, message) = self.words();
        let body = ErrorBody {
            id: id.to_owned(),
            message,
            resource: self.resource(),
            url: None,
        };
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let scheme = http::HeaderValue::from_static("Basic realm=\"Landfall\"");
            response
                .headers_mut()
                .insert(http::header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(refusal: &Refusal) -> String {
        let (status, id, message) = refusal.words();
        format!(
            "{} {id} {:?}: {message}",
            status.as_u16(),
            refusal.resource()
        )
    }

    #[test]
    fn refusals_in_words() {
        let all = [
            platform::Error::NotFound {
                resource: "app",
                name: "x".to_owned(),
            }
            .into(),
            platform::Error::Invalid {
                message: "Name is already taken".to_owned(),
            }
            .into(),
            platform::Error::Unauthorized.into(),
            platform::Error::Forbidden {
                what: "the app x".to_owned(),
            }
            .into(),
            Refusal::Unknown("add_on"),
            Refusal::UnreadableBody,
            Refusal::RateLimited,
            Refusal::Range(RangeError("up".to_owned())),
        ];
        insta::assert_snapshot!(all.each_ref().map(shown).join("\n"), @r#"
        404 not_found Some("app"): Couldn't find that app.
        422 invalid_params None: Name is already taken
        401 unauthorized None: Invalid credentials provided.
        403 forbidden None: You do not have access to the app x.
        404 not_found Some("add_on"): Couldn't find that add on.
        400 bad_request None: The request body is not valid JSON.
        429 rate_limit None: Your account reached the API rate limit. Please wait a few minutes before making new requests.
        416 requested_range_not_satisfiable None: `up` is not a range such as `id ..; order=desc, max=10`
        "#);
    }
}
