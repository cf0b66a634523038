//! Prefixes of paths, of which the longest that fits decides.

/// Values by prefix.
#[derive(Debug)]
pub(crate) struct Prefixes<T>(Vec<(String, T)>);

impl<T> Prefixes<T> {
    pub(crate) fn new(values: impl IntoIterator<Item = (String, T)>) -> Self {
        let mut values: Vec<_> = values
            .into_iter()
            .map(|(prefix, value)| (prefix.trim_end_matches('/').to_owned(), value))
            .collect();
        values.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self(values)
    }

    /// The value of the longest prefix that fits.
    pub(crate) fn find(&self, path: &str) -> Option<&T> {
        self.0
            .iter()
            .find(|(prefix, _)| is_below(path, prefix))
            .map(|(_, value)| value)
    }
}

/// Whether the path is the prefix or below it; `prefix` has no slash at its end.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_that_fits_decides() {
        let of = |prefix: &str| (prefix.to_owned(), prefix.to_owned());
        let prefixes = Prefixes::new([of("/"), of("/api"), of("/api/v2/")]);
        for (path, expected) in [
            ("/", "/"),
            ("/apis", "/"),
            ("/api", "/api"),
            ("/api/", "/api"),
            ("/api/v1", "/api"),
            ("/api/v2", "/api/v2/"),
            ("/api/v2/x", "/api/v2/"),
            ("/api/v20", "/api"),
        ] {
            assert_eq!(prefixes.find(path).unwrap(), expected, "{path}");
        }
        assert!(Prefixes::new([of("/api")]).find("/other").is_none());
    }
}
