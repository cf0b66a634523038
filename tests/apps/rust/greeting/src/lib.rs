//! What a visitor is told.

/// The words for visit number `visit` of `path`.
pub fn words(path: &str, visit: u64) -> String {
    format!("Hello from Rust, visit {visit} of {path}\n")
}
