//! Every metric that the router shows: name, kind, labels and what it means.
//!
//! The table in `docs/guide/metrics.md` is this list; a test compares the two. Times are in seconds,
//! sizes in bytes, as Prometheus asks.

/// Metrics of one name.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) labels: &'static [&'static str],
    pub(crate) help: &'static str,
}

/// As in the text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

const APP: &[&str] = &["app"];
const DYNO: &[&str] = &["app", "process_type", "dyno"];

macro_rules! families {
    ($($id:ident: $kind:ident $name:literal $labels:expr, $help:literal;)*) => {
        $(pub(crate) const $id: Family = Family {
            name: $name,
            kind: Kind::$kind,
            labels: $labels,
            help: $help,
        };)*

        /// In the order of the page.
        #[cfg(test)]
        pub(crate) const ALL: &[&Family] = &[$(&$id),*];
    };
}

families! {
    REQUESTS: Counter "landfall_router_requests_total" &["app", "class"],
        "Requests that have ended, by the class of their status (1xx is an upgraded connection).";
    ERRORS: Counter "landfall_router_errors_total" &["app", "code"],
        "Requests that ended with an H-code, as in the access line.";
    REQUEST_BYTES: Counter "landfall_router_request_bytes_total" APP,
        "Bytes of request bodies.";
    RESPONSE_BYTES: Counter "landfall_router_response_bytes_total" APP,
        "Bytes of response bodies.";
    QUEUE_SECONDS: Histogram "landfall_router_queue_seconds" APP,
        "How long requests waited for their app to boot or wake, of those that had to.";
    WAITING: Gauge "landfall_router_requests_waiting" APP,
        "Requests that wait for their app to boot or wake now.";
    SERVICE_SECONDS: Histogram "landfall_router_service_seconds" DYNO,
        "From the connection to a dyno to the end of its response: service in the access line.";
    CONNECT_SECONDS: Histogram "landfall_router_connect_seconds" DYNO,
        "How long new connections to a dyno took, with the time to wake it.";
    CONNECT_FAILURES: Counter "landfall_router_connect_failures_total" DYNO,
        "Connections that a dyno refused or did not take in time, whatever became of the request.";
    IN_FLIGHT: Gauge "landfall_router_requests_in_flight" DYNO,
        "Requests and upgraded connections that a dyno has now.";
    UNROUTED: Counter "landfall_router_unrouted_requests_total" &["reason"],
        "Requests that belong to no app: malformed, no_app, no_routes (none have come yet).";
    CONNECTIONS: Gauge "landfall_router_connections" &[],
        "Connections of clients that are open now.";
    ACCEPTED: Counter "landfall_router_connections_total" &[],
        "Connections of clients that were accepted.";
    APPS: Gauge "landfall_router_apps" &[],
        "Apps in the routes.";
    VERSION: Gauge "landfall_router_routes_version" &[],
        "The version of the routes; 0 before the first.";
    CHANGED: Gauge "landfall_router_routes_changed_timestamp_seconds" &[],
        "When the routes last changed since the router started.";
    CONNECTED: Gauge "landfall_router_server_connected" &[],
        "Whether the server is connected to the router.";
    HEARD: Gauge "landfall_router_server_heard_timestamp_seconds" &[],
        "When the server last said something since the router started.";
    EXPIRY: Gauge "landfall_router_certificate_expiry_timestamp_seconds" &["host"],
        "When the certificate that a host is shown expires.";
    LINES_DROPPED: Counter "landfall_router_access_lines_dropped_total" &[],
        "Access lines that were lost because the disk was too slow.";
    SPANS_EXPORTED: Counter "landfall_router_spans_exported_total" &[],
        "Spans that a collector took; there is none unless traces are on.";
    SPANS_DROPPED: Counter "landfall_router_spans_dropped_total" &[],
        "Spans that no collector took in time, likewise.";
    INFO: Gauge "landfall_router_info" &["version"],
        "Always 1.";
    CPU: Counter "process_cpu_seconds_total" &[],
        "Processor time of the router's process, of user and system.";
    RESIDENT: Gauge "process_resident_memory_bytes" &[],
        "Memory of the router's process.";
    OPEN_FDS: Gauge "process_open_fds" &[],
        "Open files and sockets of the router's process.";
    MAX_FDS: Gauge "process_max_fds" &[],
        "How many it may have open.";
    STARTED: Gauge "process_start_time_seconds" &[],
        "When the router's process started.";
}
