//! Integration tests of the server, one module per subject.
#![expect(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

mod http;
