//! Why git is not served, in words that git shows to the person who runs it.

use api::client::ClientError;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::error::SourceError;

/// An answer that git shows to the person, line by line behind `remote:`.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    pub(crate) text: String,
}

impl Refusal {
    pub(crate) fn plain(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }

    pub(crate) fn unauthorized(reason: &str) -> Self {
        let text =
            format!("{reason}\nhint: run `heroku login`; git asks for the token as the password");
        Self::plain(StatusCode::UNAUTHORIZED, text)
    }

    pub(crate) fn no_such_app() -> Self {
        Self::plain(StatusCode::NOT_FOUND, "Couldn't find that app.")
    }

    pub(crate) fn busy() -> Self {
        let text = "Too many others are being served right now.\nhint: try again in a minute";
        Self::plain(StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

impl From<ClientError> for Refusal {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused {
                status: StatusCode::UNAUTHORIZED,
                body,
            } => Self::unauthorized(&body.message),
            ClientError::Refused { status, body } => Self::plain(status, body.message),
            error => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the platform does not answer git"
                );
                Self::plain(StatusCode::BAD_GATEWAY, "The platform does not answer.")
            }
        }
    }
}

impl From<SourceError> for Refusal {
    fn from(error: SourceError) -> Self {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "git cannot be served"
        );
        Self::plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The server cannot serve git right now.",
        )
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.text + "\n").into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        if self.status == StatusCode::UNAUTHORIZED {
            let realm = HeaderValue::from_static("Basic realm=\"Landfall\"");
            headers.insert(header::WWW_AUTHENTICATE, realm);
        }
        response
    }
}
