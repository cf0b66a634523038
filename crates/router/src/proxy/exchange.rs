//! One request and its answer, kept until the access line is written. However a request ends —
//! answered, failed, or dropped because the client left — exactly one line comes of it.

use std::{rc::Rc, time::Duration};

use api::{ids::AppId, names::DynoName};
use tokio::time::Instant;

use super::head::Head;
use crate::{access::Line, codes::Code, lane::Lane, table::Backend, wire::AccessRecord};

/// A request to an app, not yet logged.
pub(crate) struct Exchange {
    lane: Rc<Lane>,
    app: AppId,
    head: Rc<Head>,
    dyno: Option<DynoName>,
    connect: Option<Duration>,
    served_since: Option<Instant>,
    /// Once the response's head has gone out.
    status: Option<u16>,
    bytes: u64,
    is_logged: bool,
}

impl Exchange {
    pub(crate) fn new(lane: Rc<Lane>, app: AppId, head: Rc<Head>) -> Self {
        Self {
            lane,
            app,
            head,
            dyno: None,
            connect: None,
            served_since: None,
            status: None,
            bytes: 0,
            is_logged: false,
        }
    }

    pub(crate) fn lane(&self) -> &Rc<Lane> {
        &self.lane
    }

    /// A dyno is about to be tried.
    pub(crate) fn trying(&mut self, backend: &Backend) {
        self.dyno = Some(backend.name.clone());
        self.connect = None;
        self.served_since = None;
    }

    /// The dyno that is tried took the connection.
    pub(crate) fn connected(&mut self, connect: Duration) {
        self.connect = Some(connect);
        self.served_since = Some(Instant::now());
    }

    /// The response's head is on its way to the client.
    pub(crate) fn responding(&mut self, status: u16) {
        self.status = Some(status);
    }

    /// So many bytes of the response's body went through.
    pub(crate) fn count(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// The answer went through.
    pub(crate) fn finish(mut self) {
        let status = self.status.unwrap_or_default();
        self.log(None, status);
    }

    /// It went wrong.
    pub(crate) fn fail(mut self, code: Code) {
        self.log(Some(code), code.meaning().status.as_u16());
    }

    fn log(&mut self, code: Option<Code>, status: u16) {
        self.is_logged = true;
        let head = &self.head;
        let line = Line {
            code,
            method: head.method.as_str(),
            path: head
                .target
                .path_and_query()
                .map_or("/", |target| target.as_str()),
            host: &head.host,
            request_id: head.request_id.to_str().unwrap_or_default(),
            forwarded_for: head.forwarded_for.to_str().unwrap_or_default(),
            dyno: self.dyno.as_ref(),
            connect: self.connect,
            service: self.served_since.map(|since| since.elapsed()),
            status,
            bytes: self.bytes,
            is_secure: head.peer.is_secure,
        };
        let record = AccessRecord {
            app: self.app,
            at: self.lane.clock.now(),
            line: line.to_string(),
        };
        self.lane.recorder.record(&record);
    }
}

impl Drop for Exchange {
    /// Dropped without an end: the client left. During a response that is its good right, before
    /// one it is H27.
    fn drop(&mut self) {
        match self.status {
            _ if self.is_logged => {}
            Some(status) => self.log(None, status),
            None => self.log(Some(Code::H27), Code::H27.meaning().status.as_u16()),
        }
    }
}
