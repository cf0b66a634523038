//! What every answer carries: a `Request-Id`, how it may be cached, and one line in our own log.
//!
//! Clients send `Request-Id` as a list that grows with each call of the process, up to kilobytes;
//! one id is given back: theirs if they sent exactly one, else a new one.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use uuid::Uuid;

use super::error::Refusal;

/// The id given to a request, in its extensions.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) String);

/// Wraps every request.
pub(super) async fn common(mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let method = request.method().clone();
    let path = shown_path(request.uri().path());
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        response = Refusal::UnknownEndpoint.into_response();
    }
    tracing::debug!(%method, path, status = response.status().as_u16(), request_id = id, "answered");
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("request-id", id);
    }
    if engine_local::alone::is_alone() {
        headers.insert("landfall-mode", HeaderValue::from_static("single-tenant"));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("private, no-cache"));
    headers
        .entry(header::X_CONTENT_TYPE_OPTIONS)
        .or_insert(HeaderValue::from_static("nosniff"));
    response
}

fn request_id(headers: &HeaderMap) -> String {
    headers
        .get("request-id")
        .and_then(|id| id.to_str().ok())
        .and_then(|id| id.trim().parse::<Uuid>().ok())
        .unwrap_or_else(Uuid::now_v7)
        .to_string()
}

/// The path for our log; secrets in URLs are left out.
fn shown_path(path: &str) -> String {
    let mut segments = path.split('/').skip(1);
    match (segments.next(), segments.next(), segments.next()) {
        (Some(kind @ ("streams" | "sources" | "slugs")), Some(id), Some(_)) => {
            format!("/{kind}/{id}/…")
        }
        (Some("logs"), Some(_), Some(_)) => "/logs/…".to_owned(),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_id_is_kept_and_a_list_replaced() {
        let id = Uuid::now_v7().to_string();
        let mut headers = HeaderMap::new();
        headers.insert("request-id", id.parse().unwrap());
        assert_eq!(request_id(&headers), id);
        for list in [format!("{id},{id}"), "x".to_owned(), "a".repeat(7000)] {
            headers.insert("request-id", list.parse().unwrap());
            assert_ne!(request_id(&headers), list);
        }
    }

    #[test]
    fn secrets_stay_out_of_the_log() {
        assert_eq!(shown_path("/streams/1/secret"), "/streams/1/…");
        assert_eq!(shown_path("/apps/a/builds/1"), "/apps/a/builds/1");
    }
}
