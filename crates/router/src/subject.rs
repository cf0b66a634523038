//! What placing a request and logging it need to know of it, whichever protocol it came by.

/// A request to an app.
pub(crate) trait Subject {
    fn described(&self) -> Described<'_>;

    /// [`Described::host`] alone.
    fn host(&self) -> &str;
}

/// Its words, as they are logged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Described<'a> {
    pub(crate) method: &'a str,
    /// Path and query.
    pub(crate) path: &'a str,
    /// Lower case, without port: the key of the route.
    pub(crate) host: &'a str,
    pub(crate) request_id: &'a str,
    pub(crate) forwarded_for: &'a str,
    pub(crate) is_secure: bool,
}

/// A path is cut to so many bytes where it is told as a cause.
const MAX_PATH_BYTES: usize = 200;

impl Described<'_> {
    /// What woke a dyno or an app: method, path without query, request id.
    pub(crate) fn cause(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        let path = path
            .get(..path.floor_char_boundary(MAX_PATH_BYTES))
            .unwrap_or_default();
        format!("{} {path} request_id={}", self.method, self.request_id)
    }
}

/// Whether nobody acts twice on a repetition (RFC 9110 §9.2.2).
pub(crate) fn is_idempotent(method: &str) -> bool {
    matches!(
        method,
        "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS" | "TRACE"
    )
}
