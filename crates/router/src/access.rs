//! Access lines: their text, and the way from a request's thread to the spool, on which nothing
//! ever blocks a request.
//!
//! Each thread fills a [`Recorder`]; one more thread owns the spool. Whoever is too fast for the
//! disk loses lines, and the loss is counted.

use std::{
    cell::RefCell,
    io::{self, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use api::{
    clock::{Clock, Time},
    ids::AppId,
    names::DynoName,
};
use logs::spool::{Limits, Writer};
use tokio::{
    sync::{Notify, oneshot},
    time::sleep,
};

use crate::{codes::Code, number::write_number, subject::Described, wire::AccessRecord};

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
    /// What exactly, where a code stands for several things.
    pub(crate) cause: Option<&'static str>,
    pub(crate) subject: Described<'a>,
    pub(crate) dyno: Option<&'a DynoName>,
    /// How long connecting took; `None` if no dyno was connected.
    pub(crate) connect: Option<Duration>,
    /// From then to the end of the response.
    pub(crate) service: Option<Duration>,
    pub(crate) status: u16,
    /// Of the response's body.
    pub(crate) bytes: u64,
}

impl Line<'_> {
    /// Appends it; every request pays for this, so it goes without the formatting machinery.
    fn write(&self, out: &mut Vec<u8>) {
        let put = |out: &mut Vec<u8>, texts: &[&str]| {
            for text in texts {
                out.extend_from_slice(text.as_bytes());
            }
        };
        let Described {
            method,
            path,
            host,
            request_id,
            forwarded_for,
            is_secure,
        } = self.subject;
        match self.code {
            None => put(out, &["at=info"]),
            Some(code) => {
                let meaning = code.meaning();
                put(out, &[meaning.at, " code=", code.as_str(), " desc=\""]);
                put(out, &[meaning.description]);
                match (code, self.cause) {
                    (_, None) => put(out, &["\""]),
                    // Heroku's two ways to say it.
                    (Code::H25, Some(cause)) => put(out, &[": ", cause, "\""]),
                    (_, Some(cause)) => put(out, &["\" cause=\"", cause, "\""]),
                }
            }
        }
        put(out, &[" method=", method, " path=\""]);
        escape(path, out);
        put(
            out,
            &["\" host=", host, " request_id=", request_id, " fwd=\""],
        );
        escape(forwarded_for, out);
        let dyno = self.dyno.map_or("", DynoName::as_str);
        put(out, &["\" dyno=", dyno, " connect="]);
        write_ms(self.connect, out);
        put(out, &[" service="]);
        write_ms(self.service, out);
        put(out, &[" status="]);
        write_number(u64::from(self.status), out);
        put(out, &[" bytes="]);
        // Without a dyno, only a file of the slug has any.
        if self.service.is_some() || self.bytes > 0 {
            write_number(self.bytes, out);
        }
        put(
            out,
            &[" protocol=", if is_secure { "https" } else { "http" }],
        );
    }
}

fn write_ms(duration: Option<Duration>, out: &mut Vec<u8>) {
    if let Some(duration) = duration {
        write_number(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), out);
        out.extend_from_slice(b"ms");
    }
}

/// Appends text from outside so that it cannot leave its quotes.
fn escape(text: &str, out: &mut Vec<u8>) {
    let cut = text.get(..text.floor_char_boundary(MAX_FIELD_BYTES));
    let kept = cut.unwrap_or_default();
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if kept.as_bytes().iter().all(is_plain) {
        out.extend_from_slice(kept.as_bytes());
    } else {
        for character in kept.chars() {
            let mut bytes = [0; 4];
            out.extend_from_slice(match character {
                '"' => b"%22",
                '\\' => b"%5C",
                control if control.is_control() => b"%00",
                plain => plain.encode_utf8(&mut bytes).as_bytes(),
            });
        }
    }
    if kept.len() < text.len() {
        out.extend_from_slice("…".as_bytes());
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
    loss: Loss,
    orders: Arc<Mutex<Vec<Order>>>,
}

/// How many lines were lost.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loss {
    /// On their way to the writer.
    dropped: Arc<AtomicU64>,
    /// By the writer.
    unwritten: Arc<AtomicU64>,
}

impl Loss {
    pub(crate) fn lines(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed) + self.unwritten.load(Ordering::Relaxed)
    }
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
    pub(crate) fn record(&self, app: AppId, at: Time, line: &Line<'_>) {
        let mut batch = self.batch.borrow_mut();
        if batch.records == 0 {
            self.begun.notify_one();
        }
        batch.push(app, at, |bytes| line.write(bytes));
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
    fn push(&mut self, app: AppId, at: Time, write_line: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(BATCH_BYTES + 2 * MAX_FIELD_BYTES);
        }
        self.bytes.extend_from_slice(&[0; 4]);
        AccessRecord::encode_head(app, at, &mut self.bytes);
        write_line(&mut self.bytes);
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
            self.loss
                .dropped
                .fetch_add(batch.records, Ordering::Relaxed);
        }
    }

    /// What it loses.
    pub(crate) fn loss(&self) -> Loss {
        self.loss.clone()
    }
}

/// What is to become of the spool when another router takes over.
#[derive(Debug)]
enum Order {
    /// Let another process have it, and say so.
    Release(oneshot::Sender<()>),
    /// It came to nothing.
    Resume,
    /// Send lines to the other process from now on.
    Forward(UnixStream),
}

impl SpoolSender {
    /// Lets another process have the spool; lines wait. Returns when it can open it. Safe to drop.
    pub(crate) async fn release(&self) {
        let (sender, released) = oneshot::channel();
        self.order(Order::Release(sender));
        // Its thread ends only when the router does.
        drop(released.await);
    }

    /// Takes the spool back.
    pub(crate) fn resume(&self) {
        self.order(Order::Resume);
    }

    /// Sends lines to the process that has it now.
    pub(crate) fn forward(&self, to: UnixStream) {
        self.order(Order::Forward(to));
    }

    /// Takes a record of another process, with its length before it. Blocks while there is no room.
    pub(crate) fn adopt(&self, record: Vec<u8>) {
        let batch = Batch {
            bytes: record,
            records: 1,
        };
        if self.batches.send(batch).is_err() {
            self.loss.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn order(&self, order: Order) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.push(order);
        drop(orders);
        // If there is no room for it, the thread is awake anyway.
        drop(self.batches.try_send(Batch::default()));
    }
}

/// Starts the thread that owns the spool in `directory`.
pub(crate) fn start_spool(
    directory: PathBuf,
    clock: Clock,
) -> io::Result<(SpoolSender, JoinHandle<()>)> {
    let (batches, receiver) = sync_channel(BATCHES_IN_FLIGHT);
    let loss = Loss::default();
    let sender = SpoolSender {
        batches,
        loss: loss.clone(),
        orders: Arc::default(),
    };
    let spool = Spool {
        directory,
        clock,
        orders: Arc::clone(&sender.orders),
        owner: Owner::Us,
        writer: None,
        refused_at: None,
        loss,
        reported: 0,
    };
    let thread = std::thread::Builder::new()
        .name("access-log".to_owned())
        .spawn(move || spool.run(&receiver))?;
    Ok((sender, thread))
}

/// Who writes the spool's files.
#[derive(Debug)]
enum Owner {
    Us,
    /// Nobody for the moment; these wait.
    Nobody(Vec<Batch>),
    /// The process at the other end.
    Other(UnixStream),
}

/// What the spool's thread holds.
struct Spool {
    directory: PathBuf,
    clock: Clock,
    orders: Arc<Mutex<Vec<Order>>>,
    owner: Owner,
    writer: Option<Writer>,
    refused_at: Option<Time>,
    loss: Loss,
    reported: u64,
}

impl Spool {
    fn run(mut self, batches: &Receiver<Batch>) {
        self.open();
        while let Ok(batch) = batches.recv() {
            let orders =
                std::mem::take(&mut *self.orders.lock().unwrap_or_else(PoisonError::into_inner));
            for order in orders {
                self.obey(order);
            }
            if batch.records > 0 {
                self.write(batch);
            }
            self.report_loss();
        }
    }

    fn write(&mut self, batch: Batch) {
        match &mut self.owner {
            Owner::Us => {}
            Owner::Nobody(waiting) => return waiting.push(batch),
            Owner::Other(stream) => {
                if stream.write_all(&batch.bytes).is_err() {
                    self.loss
                        .dropped
                        .fetch_add(batch.records, Ordering::Relaxed);
                }
                return;
            }
        }
        if self.writer.is_none() {
            self.open();
        }
        if let Some(writer) = &mut self.writer {
            batch.records().for_each(|record| writer.append(record));
            writer.flush();
        } else {
            self.loss
                .dropped
                .fetch_add(batch.records, Ordering::Relaxed);
        }
    }

    fn obey(&mut self, order: Order) {
        let (owner, released) = match order {
            Order::Release(released) => {
                self.writer = None;
                (Owner::Nobody(Vec::new()), Some(released))
            }
            Order::Resume => (Owner::Us, None),
            Order::Forward(stream) => (Owner::Other(stream), None),
        };
        if let Owner::Nobody(waiting) = std::mem::replace(&mut self.owner, owner) {
            for batch in waiting {
                self.write(batch);
            }
        }
        if released.is_some_and(|released| released.send(()).is_err()) {
            tracing::debug!("nobody waits for the spool any more");
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
        if let Some(writer) = &self.writer {
            let unwritten = &self.loss.unwritten;
            unwritten.store(writer.dropped(), Ordering::Relaxed);
        }
        let dropped = self.loss.lines();
        if dropped > self.reported {
            tracing::warn!(dropped, "access lines dropped since the router started");
            self.reported = dropped;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: Described<'static> = Described {
        method: "GET",
        path: "/x?y",
        host: "name.localhost",
        request_id: "0192-a",
        forwarded_for: "1.2.3.4",
        is_secure: false,
    };

    fn line() -> Line<'static> {
        Line {
            code: None,
            cause: None,
            subject: SUBJECT,
            dyno: None,
            connect: None,
            service: None,
            status: 503,
            bytes: 0,
        }
    }

    fn shown(line: &Line<'_>) -> String {
        let mut out = Vec::new();
        line.write(&mut out);
        String::from_utf8(out).unwrap()
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
        insta::assert_snapshot!(shown(&line), @r#"at=info method=GET path="/x?y" host=name.localhost request_id=0192-a fwd="1.2.3.4" dyno=web.1 connect=0ms service=2ms status=200 bytes=123 protocol=http"#);
    }

    #[test]
    fn a_failed_request() {
        let line = Line {
            code: Some(Code::H14),
            subject: Described {
                is_secure: true,
                ..SUBJECT
            },
            ..line()
        };
        insta::assert_snapshot!(shown(&line), @r#"at=error code=H14 desc="No web processes running" method=GET path="/x?y" host=name.localhost request_id=0192-a fwd="1.2.3.4" dyno= connect= service= status=503 bytes= protocol=https"#);
    }

    #[test]
    fn text_from_outside_stays_in_its_quotes() {
        let long = format!("/{}", "é".repeat(MAX_FIELD_BYTES));
        let mut subject = SUBJECT;
        subject.path = &long;
        let cut = shown(&Line { subject, ..line() });
        assert!(cut.contains("é…\" host="));
        subject.path = "/\" status=200\n";
        subject.forwarded_for = "a\\\"b";
        let line = shown(&Line { subject, ..line() });
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
            batch.push(record.app, record.at, |bytes| {
                bytes.extend_from_slice(record.line.as_bytes());
            });
        }
        let back: Vec<_> = batch
            .records()
            .map(|bytes| AccessRecord::decode(bytes).unwrap())
            .collect();
        assert_eq!(back, records);
    }
}
