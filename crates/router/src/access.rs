//! Access lines: their text, and the way from a request's thread to the spool, on which nothing
//! ever blocks a request.
//!
//! Each thread fills a [`Recorder`]; one more thread owns the spool. Whoever is too fast for the
//! disk loses lines, and the loss is counted.

use std::{
    cell::RefCell,
    fmt::{self, Write as _},
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use api::{
    clock::{Clock, Time},
    names::DynoName,
};
use logs::spool::{Limits, Writer};
use tokio::{sync::Notify, time::sleep};

use crate::{codes::Code, wire::AccessRecord};

/// No line waits longer than this in its thread.
const FLUSH_INTERVAL: Duration = Duration::from_millis(200);
/// Nor when so many bytes wait.
const BATCH_BYTES: usize = 64 * 1024;
/// Batches on their way to the spool's thread, from all threads.
const BATCHES_IN_FLIGHT: usize = 64;
/// A path or a forwarded chain is cut in the log after so many bytes.
const MAX_FIELD_BYTES: usize = 4096;
/// How long to wait before opening a spool again that could not be opened.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

/// One access line in Heroku's form.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) code: Option<Code>,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) host: &'a str,
    pub(crate) request_id: &'a str,
    pub(crate) forwarded_for: &'a str,
    pub(crate) dyno: Option<&'a DynoName>,
    /// How long connecting took; `None` if no dyno was connected.
    pub(crate) connect: Option<Duration>,
    /// From then to the end of the response.
    pub(crate) service: Option<Duration>,
    pub(crate) status: u16,
    /// Of the response's body.
    pub(crate) bytes: u64,
    pub(crate) is_secure: bool,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            None => f.write_str("at=info")?,
            Some(code) => {
                let meaning = code.meaning();
                write!(f, "{} code={} ", meaning.at, code.as_str())?;
                write!(f, "desc=\"{}\"", meaning.description)?;
            }
        }
        write!(f, " method={} path=\"{}\"", self.method, Escaped(self.path))?;
        write!(f, " host={} request_id={}", self.host, self.request_id)?;
        write!(f, " fwd=\"{}\" dyno=", Escaped(self.forwarded_for))?;
        if let Some(dyno) = self.dyno {
            f.write_str(dyno.as_str())?;
        }
        f.write_str(" connect=")?;
        write_ms(f, self.connect)?;
        f.write_str(" service=")?;
        write_ms(f, self.service)?;
        write!(f, " status={} bytes=", self.status)?;
        if self.service.is_some() {
            write!(f, "{}", self.bytes)?;
        }
        write!(
            f,
            " protocol={}",
            if self.is_secure { "https" } else { "http" }
        )
    }
}

fn write_ms(f: &mut fmt::Formatter<'_>, duration: Option<Duration>) -> fmt::Result {
    duration.map_or(Ok(()), |duration| write!(f, "{}ms", duration.as_millis()))
}

/// Text from outside that cannot leave its quotes.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = 0;
        for character in self.0.chars() {
            written += character.len_utf8();
            if written > MAX_FIELD_BYTES {
                return f.write_char('…');
            }
            match character {
                '"' => f.write_str("%22")?,
                '\\' => f.write_str("%5C")?,
                control if control.is_control() => f.write_str("%00")?,
                plain => f.write_char(plain)?,
            }
        }
        Ok(())
    }
}

/// Where a thread puts its lines.
#[derive(Debug)]
pub(crate) struct Recorder {
    batch: RefCell<Batch>,
    /// Told when the first line enters an empty batch.
    begun: Notify,
    spool: SpoolSender,
}

/// Records, each behind its length (4 bytes, little-endian).
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    records: u64,
}

/// The way to the spool's thread. The thread ends when all are dropped.
#[derive(Clone, Debug)]
pub(crate) struct SpoolSender {
    batches: SyncSender<Batch>,
    dropped: Arc<AtomicU64>,
}

impl Recorder {
    pub(crate) fn new(spool: SpoolSender) -> Self {
        Self {
            batch: RefCell::default(),
            begun: Notify::new(),
            spool,
        }
    }

    /// Puts a record among those that wait.
    pub(crate) fn record(&self, record: &AccessRecord) {
        let mut batch = self.batch.borrow_mut();
        if batch.records == 0 {
            self.begun.notify_one();
        }
        batch.push(record);
        if batch.bytes.len() >= BATCH_BYTES {
            self.spool.send(std::mem::take(&mut *batch));
        }
    }

    /// Sends what waits, in time. Never ends.
    #[expect(clippy::infinite_loop, reason = "it is dropped with its thread")]
    pub(crate) async fn keep_flushing(&self) {
        loop {
            self.begun.notified().await;
            sleep(FLUSH_INTERVAL).await;
            self.flush();
        }
    }

    fn flush(&self) {
        let batch = self.batch.take();
        if batch.records > 0 {
            self.spool.send(batch);
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Batch {
    fn push(&mut self, record: &AccessRecord) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        record.encode(&mut self.bytes);
        let length = self.bytes.len() - start - 4;
        let length = u32::try_from(length).expect("fields are cut, so a line has some kilobytes");
        if let Some(head) = self.bytes.get_mut(start..start + 4) {
            head.copy_from_slice(&length.to_le_bytes());
        }
        self.records += 1;
    }

    fn records(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let (record, after) = after.split_at_checked(length)?;
            rest = after;
            Some(record)
        })
    }
}

impl SpoolSender {
    fn send(&self, batch: Batch) {
        if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) =
            self.batches.try_send(batch)
        {
            self.dropped.fetch_add(batch.records, Ordering::Relaxed);
        }
    }
}

/// Starts the thread that owns the spool in `directory`.
pub(crate) fn start_spool(
    directory: PathBuf,
    clock: Clock,
) -> io::Result<(SpoolSender, JoinHandle<()>)> {
    let (batches, receiver) = sync_channel(BATCHES_IN_FLIGHT);
    let dropped = Arc::new(AtomicU64::new(0));
    let sender = SpoolSender {
        batches,
        dropped: Arc::clone(&dropped),
    };
    let spool = Spool {
        directory,
        clock,
        writer: None,
        refused_at: None,
        dropped,
        reported: 0,
    };
    let thread = std::thread::Builder::new()
        .name("access-log".to_owned())
        .spawn(move || spool.run(&receiver))?;
    Ok((sender, thread))
}

/// What the spool's thread holds.
struct Spool {
    directory: PathBuf,
    clock: Clock,
    writer: Option<Writer>,
    refused_at: Option<Time>,
    /// Records that did not reach the writer.
    dropped: Arc<AtomicU64>,
    reported: u64,
}

impl Spool {
    fn run(mut self, batches: &Receiver<Batch>) {
        self.open();
        while let Ok(batch) = batches.recv() {
            if self.writer.is_none() {
                self.open();
            }
            if let Some(writer) = &mut self.writer {
                batch.records().for_each(|record| writer.append(record));
                writer.flush();
            } else {
                self.dropped.fetch_add(batch.records, Ordering::Relaxed);
            }
            self.report_loss();
        }
    }

    /// A spool may be held for a moment by the router that ran before.
    fn open(&mut self) {
        let now = self.clock.now();
        if self
            .refused_at
            .is_some_and(|at| now.since(at) < REOPEN_INTERVAL)
        {
            return;
        }
        match Writer::open(&self.directory, Limits::default()) {
            Ok(writer) => self.writer = Some(writer),
            Err(error) => {
                tracing::warn!(%error, "cannot open the spool of access lines");
                self.refused_at = Some(now);
            }
        }
    }

    fn report_loss(&mut self) {
        let dropped =
            self.dropped.load(Ordering::Relaxed) + self.writer.as_ref().map_or(0, Writer::dropped);
        if dropped > self.reported {
            tracing::warn!(dropped, "access lines dropped since the router started");
            self.reported = dropped;
        }
    }
}

#[cfg(test)]
mod tests {
    use api::ids::AppId;

    use super::*;

    fn line() -> Line<'static> {
        Line {
            code: None,
            method: "GET",
            path: "/x?y",
            host: "name.localhost",
            request_id: "0192-a",
            forwarded_for: "1.2.3.4",
            dyno: None,
            connect: None,
            service: None,
            status: 503,
            bytes: 0,
            is_secure: false,
        }
    }

    #[test]
    fn a_served_request() {
        let dyno = "web.1".parse().unwrap();
        let line = Line {
            dyno: Some(&dyno),
            connect: Some(Duration::ZERO),
            service: Some(Duration::from_micros(2900)),
            status: 200,
            bytes: 123,
            ..line()
        };
        insta::assert_snapshot!(line, @r#"at=info method=GET path="/x?y" host=name.localhost request_id=0192-a fwd="1.2.3.4" dyno=web.1 connect=0ms service=2ms status=200 bytes=123 protocol=http"#);
    }

    #[test]
    fn a_failed_request() {
        let line = Line {
            code: Some(Code::H14),
            is_secure: true,
            ..line()
        };
        insta::assert_snapshot!(line, @r#"at=error code=H14 desc="No web processes running" method=GET path="/x?y" host=name.localhost request_id=0192-a fwd="1.2.3.4" dyno= connect= service= status=503 bytes= protocol=https"#);
    }

    #[test]
    fn text_from_outside_stays_in_its_quotes() {
        let long = format!("/{}", "é".repeat(MAX_FIELD_BYTES));
        let shown = Line {
            path: &long,
            ..line()
        }
        .to_string();
        assert!(shown.contains("é…\" host="));
        let line = Line {
            path: "/\" status=200\n",
            forwarded_for: "a\\\"b",
            ..line()
        }
        .to_string();
        assert!(line.contains(r#"path="/%22 status=200%00" host"#), "{line}");
        assert!(line.contains(r#"fwd="a%5C%22b" dyno"#), "{line}");
    }

    #[test]
    fn a_batch_gives_back_what_went_in() {
        let records: Vec<_> = (0..3)
            .map(|n| AccessRecord {
                app: AppId::new(),
                at: Time::from_micros(n),
                line: "x".repeat(usize::try_from(n).unwrap()),
            })
            .collect();
        let mut batch = Batch::default();
        for record in &records {
            batch.push(record);
        }
        let back: Vec<_> = batch
            .records()
            .map(|bytes| AccessRecord::decode(bytes).unwrap())
            .collect();
        assert_eq!(back, records);
    }
}
