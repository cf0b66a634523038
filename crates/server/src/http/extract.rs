//! What handlers take from a request: who asks, which app, the body, the wanted part of a list.
//!
//! Who and which app come from the guard; without it these refuse.

use api::range::Range;
use axum::{
    body::to_bytes,
    extract::{FromRequest, FromRequestParts, Request},
};
use http::{header, request::Parts};
use platform::{Caller, authorize::Bearer};
use serde::de::DeserializeOwned;
use serde_json::Value;
use store::{App, Pipeline, Team};

use super::{HttpState, error::Refusal};

/// Longest JSON body.
const BODY_LIMIT_BYTES: usize = 1024 * 1024;

/// The caller that the guard let through.
pub(super) struct By(pub(super) Caller);

impl FromRequestParts<HttpState> for By {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &HttpState) -> Result<Self, Refusal> {
        let bearer = parts
            .extensions
            .get::<Bearer>()
            .ok_or(Refusal::NoCredentials)?;
        Ok(Self(bearer.caller.clone()))
    }
}

/// The caller with the token's scopes, for what concerns more apps than the path names.
pub(super) struct With(pub(super) Bearer);

impl FromRequestParts<HttpState> for With {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &HttpState) -> Result<Self, Refusal> {
        let bearer = parts.extensions.get().cloned();
        bearer.map(Self).ok_or(Refusal::NoCredentials)
    }
}

/// The app that the path names, which the caller was found to have access to.
pub(super) struct Of(pub(super) App);

impl FromRequestParts<HttpState> for Of {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &HttpState) -> Result<Self, Refusal> {
        parts
            .extensions
            .get()
            .cloned()
            .map(Self)
            .ok_or(Refusal::Unknown("app"))
    }
}

/// The pipeline that the path names, which the caller was found to have access to.
pub(super) struct OfPipeline(pub(super) Pipeline);

impl FromRequestParts<HttpState> for OfPipeline {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &HttpState) -> Result<Self, Refusal> {
        let pipeline = parts.extensions.get().cloned();
        pipeline.map(Self).ok_or(Refusal::Unknown("pipeline"))
    }
}

/// The team that the path names, which the caller was found to have access to.
pub(super) struct OfTeam(pub(super) Team);

impl FromRequestParts<HttpState> for OfTeam {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &HttpState) -> Result<Self, Refusal> {
        parts
            .extensions
            .get()
            .cloned()
            .map(Self)
            .ok_or(Refusal::Unknown("team"))
    }
}

/// Parameters of the path by name. One that cannot be what it stands for leads nowhere.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<HttpState> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Refusal> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(path)| Self(path))
            .map_err(|_| Refusal::UnknownEndpoint)
    }
}

/// The `Range` header; a list without one begins at its beginning.
pub(super) struct Wanted(pub(super) Range);

impl FromRequestParts<HttpState> for Wanted {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &HttpState) -> Result<Self, Refusal> {
        let Some(header) = parts.headers.get(header::RANGE) else {
            return Ok(Self(Range::default()));
        };
        let text = String::from_utf8_lossy(header.as_bytes());
        Ok(Self(text.parse()?))
    }
}

/// A JSON object as body; one that is missing counts as `{}`, whatever its content type says.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<HttpState> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &HttpState) -> Result<Self, Refusal> {
        let content = to_bytes(request.into_body(), BODY_LIMIT_BYTES)
            .await
            .map_err(|_| Refusal::BodyTooLong)?;
        let content = content.trim_ascii();
        let content = if matches!(content, b"" | b"null") {
            b"{}"
        } else {
            content
        };
        // serde would take a list for an object's fields in their order.
        if content.first() != Some(&b'{') && serde_json::from_slice::<Value>(content).is_ok() {
            let reason = "Invalid parameters: expected a JSON object.".to_owned();
            return Err(Refusal::UnexpectedBody(reason));
        }
        serde_json::from_slice(content).map(Self).map_err(|error| {
            if error.is_data() {
                Refusal::UnexpectedBody(said(&error))
            } else {
                Refusal::UnreadableBody
            }
        })
    }
}

/// What does not fit, without the parser's line and column.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or(&text);
    format!("Invalid parameters: {reason}.")
}
