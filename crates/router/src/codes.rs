//! Heroku's H-codes: what can go wrong with a request, in its log line and on its page.
//!
//! Source: Dev Center, "Heroku Error Codes". Pure values; what provokes a code is in `proxy`.

use http::StatusCode;

/// What went wrong with a request to an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Code {
    /// App crashed
    H10,
    /// Backlog too deep
    H11,
    /// Request timeout
    H12,
    /// Connection closed without response
    H13,
    /// No web processes running
    H14,
    /// Idle connection
    H15,
    /// Poorly formatted HTTP response
    H17,
    /// Server Request Interrupted
    H18,
    /// Backend connection timeout
    H19,
    /// App boot timeout
    H20,
    /// Backend connection refused
    H21,
    /// Connection limit reached
    H22,
    /// Forced close
    H24,
    /// HTTP restriction
    H25,
    /// Request Error
    H26,
    /// Client Request Interrupted
    H27,
    /// Client Connection Idle
    H28,
    /// Misdirected Request
    H31,
    /// Maintenance mode
    H80,
    /// Blank app
    H81,
    /// Platform error
    H99,
}

/// How a code reads in the log and to the person who made the request.
pub(crate) struct Meaning {
    /// Before `code=` in the access line: `at=…` and, where one side broke off, `sock=…`.
    pub(crate) at: &'static str,
    /// `desc="…"`
    pub(crate) description: &'static str,
    pub(crate) status: StatusCode,
    /// The `id` of the JSON page.
    pub(crate) id: &'static str,
}

impl Code {
    pub(crate) const COUNT: usize = 21;
    /// In the order of their declaration: `as usize` is a code's place.
    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::H10,
        Self::H11,
        Self::H12,
        Self::H13,
        Self::H14,
        Self::H15,
        Self::H17,
        Self::H18,
        Self::H19,
        Self::H20,
        Self::H21,
        Self::H22,
        Self::H24,
        Self::H25,
        Self::H26,
        Self::H27,
        Self::H28,
        Self::H31,
        Self::H80,
        Self::H81,
        Self::H99,
    ];

    /// `H10`
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::H10 => "H10",
            Self::H11 => "H11",
            Self::H12 => "H12",
            Self::H13 => "H13",
            Self::H14 => "H14",
            Self::H15 => "H15",
            Self::H17 => "H17",
            Self::H18 => "H18",
            Self::H19 => "H19",
            Self::H20 => "H20",
            Self::H21 => "H21",
            Self::H22 => "H22",
            Self::H24 => "H24",
            Self::H25 => "H25",
            Self::H26 => "H26",
            Self::H27 => "H27",
            Self::H28 => "H28",
            Self::H31 => "H31",
            Self::H80 => "H80",
            Self::H81 => "H81",
            Self::H99 => "H99",
        }
    }

    pub(crate) fn meaning(self) -> Meaning {
        let error = |description, id| Meaning {
            at: "at=error",
            description,
            status: StatusCode::SERVICE_UNAVAILABLE,
            id,
        };
        match self {
            Self::H10 => error("App crashed", "app_crashed"),
            Self::H11 => error("Backlog too deep", "backlog_too_deep"),
            Self::H12 => error("Request timeout", "request_timeout"),
            Self::H13 => error("Connection closed without response", "connection_closed"),
            Self::H14 => error("No web processes running", "no_web_processes"),
            Self::H15 => error("Idle connection", "idle_connection"),
            Self::H17 => error("Poorly formatted HTTP response", "bad_response"),
            Self::H18 => Meaning {
                at: "sock=backend at=error",
                ..error("Server Request Interrupted", "server_interrupted")
            },
            Self::H19 => error("Backend connection timeout", "connection_timeout"),
            Self::H20 => error("App boot timeout", "boot_timeout"),
            Self::H21 => error("Backend connection refused", "connection_refused"),
            Self::H22 => error("Connection limit reached", "connection_limit"),
            Self::H24 => error("Forced close", "forced_close"),
            Self::H25 => Meaning {
                status: StatusCode::BAD_GATEWAY,
                ..error("HTTP restriction", "http_restriction")
            },
            Self::H26 => Meaning {
                status: StatusCode::EXPECTATION_FAILED,
                ..error("Request Error", "request_error")
            },
            Self::H27 => Meaning {
                at: "sock=client at=warning",
                status: client_closed_request(),
                ..error("Client Request Interrupted", "client_interrupted")
            },
            Self::H28 => Meaning {
                at: "sock=client at=warning",
                status: client_closed_request(),
                ..error("Client Connection Idle", "client_idle")
            },
            Self::H31 => Meaning {
                status: StatusCode::MISDIRECTED_REQUEST,
                ..error("Misdirected Request", "misdirected_request")
            },
            Self::H80 => Meaning {
                at: "at=info",
                ..error("Maintenance mode", "maintenance")
            },
            Self::H81 => Meaning {
                at: "at=info",
                status: StatusCode::BAD_GATEWAY,
                ..error("Blank app", "blank_app")
            },
            Self::H99 => error("Platform error", "platform_error"),
        }
    }
}

/// The codes that the router may log, in order: `H10`, … Which are missing, and why, says
/// `docs/guide/errors.md`.
pub fn code_names() -> impl Iterator<Item = &'static str> {
    Code::ALL.into_iter().map(Code::as_str)
}

/// 499, nginx's status for a client that went away; Heroku logs the same.
fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).expect("499 is a status code")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_description_and_id() {
        let mut seen = std::collections::HashSet::new();
        for (place, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, place);
            assert!(seen.insert(code.meaning().description), "{code:?}");
            assert!(seen.insert(code.meaning().id), "{code:?}");
        }
    }
}
