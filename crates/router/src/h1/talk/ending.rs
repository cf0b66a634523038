//! How a talk with a dyno ends for the client: after a whole response, in a tunnel, with a page.

use std::{future::poll_fn, task::Poll, time::Duration};

use http::HeaderValue;

use super::{Failure, Hop, Sending, Talk};
use crate::{
    codes::Code,
    exchange::{BAD_CHUNK, Exchange},
    h1::{
        carry::{Ended, ended},
        incoming::Incoming,
        pump::Ends,
        reply::{self, Manner},
        tunnel::{self, Tunnel},
    },
    pages::{Denied, Page},
    proxy::Refusal,
    subject::Subject,
};

/// How much of a body that no dyno wants is read, to keep the connection.
const MAX_DISCARDED_BYTES: u64 = 256 * 1024;
/// And for how long.
const DISCARD_TIME: Duration = Duration::from_secs(5);

impl Talk<'_> {
    /// How the client's connection goes on after a whole response.
    pub(super) async fn after(&mut self, keeps: bool) -> Ended {
        if self.sending == Sending::Done {
            return if keeps { Ended::Next } else { Ended::Close };
        }
        if !keeps || !self.discard().await {
            return Ended::Linger;
        }
        Ended::Next
    }

    /// Reads what is left of a body that no dyno wants. Returns whether that was the whole of it.
    async fn discard(&mut self) -> bool {
        self.connection.timer.set(DISCARD_TIME);
        let limit = self.upload.counted + MAX_DISCARDED_BYTES;
        let mut nowhere = tokio::io::sink();
        poll_fn(|context| {
            let mut ends = Ends {
                source: &mut self.connection.stream,
                sink: &mut nowhere,
                buffer: &mut self.connection.inbound,
                lead: self.incoming.lead(),
                buffers: &self.connection.lane.buffers,
            };
            let is_due = self.connection.timer.poll_due(context);
            match self.upload.poll(context, &mut ends) {
                Poll::Ready(ended) => Poll::Ready(ended.is_ok()),
                Poll::Pending if is_due || self.upload.counted > limit => Poll::Ready(false),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    pub(super) async fn tunnel(self, hop: Hop, mut exchange: Exchange<&Incoming>) -> Ended {
        let rest = self.notes.get(self.noted..).unwrap_or_default();
        if self.connection.write(rest).await.is_err() {
            exchange.finish();
            return Ended::Close;
        }
        let tunnel = Tunnel {
            connection: self.connection,
            dyno: hop.dyno,
            lease: &hop.lease,
            from_dyno: hop.reply,
        };
        let end = tunnel::run(tunnel).await;
        exchange.count(end.bytes_to_client);
        match end.code {
            Some(code) => exchange.fail(code),
            None => exchange.finish(),
        }
        Ended::Close
    }

    /// Answers with a page.
    pub(super) async fn fail(
        mut self,
        failure: Failure,
        mut exchange: Exchange<&Incoming>,
    ) -> Ended {
        exchange.count_in(self.upload.counted);
        let described = self.incoming.described();
        let page = match failure {
            Failure::Code(code) => Page::Failed(code),
            Failure::Malformed => Page::Refused(Refusal::Malformed),
            Failure::TooLong => Page::Edge(Denied::Body),
        };
        let extras = self.admitted.extras.as_deref();
        let url = match failure {
            Failure::Code(code) => {
                exchange.because(self.cause);
                exchange.fail(code);
                extras.and_then(|extras| extras.page_url(code))
            }
            Failure::Malformed => {
                exchange.because(Some(BAD_CHUNK));
                exchange.refuse(Code::H26, page.status());
                None
            }
            Failure::TooLong => {
                exchange.responding(page.status().as_u16());
                exchange.finish();
                None
            }
        };
        if failure == Failure::Code(Code::H27) {
            return Ended::Close;
        }
        let lane = &self.connection.lane;
        let is_over = !self.incoming.has_body() || self.sending == Sending::Done;
        let keeps = self.incoming.wants.keep_alive && is_over && !lane.is_stopping();
        let date = lane.dates.at(lane.clock.now());
        let manner = Manner {
            version: self.incoming.version,
            keeps,
            asked: self.incoming.asked,
            date: &date,
            hsts: self.admitted.hsts.as_ref().map(HeaderValue::as_bytes),
        };
        let id = Some(described.request_id);
        let accept = self.incoming.accept;
        reply::page_or(page, url, (accept, id), &manner, &mut self.notes);
        let rest = self.notes.get(self.noted..).unwrap_or_default();
        let written = self.connection.write(rest).await;
        ended(written.is_ok(), keeps, self.incoming.body)
    }
}
