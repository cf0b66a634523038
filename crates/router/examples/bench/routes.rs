//! The server's part: tells the router its routes, takes the access lines off its hands.
//!
//! The only file that knows the router's protocol, by [`router::Feed`]. `routes socket=… spool=…
//! upstream=PORT apps=N` prints `ready` when the router serves app N at `hN.localhost`, then goes
//! on; whenever it reads a line it prints how many access lines there have been. `change` measures
//! how long a new route takes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api::ids::{AppId, DynoId};
use logs::spool::{self, Reader};
use router::{
    Feed,
    feed::Wait,
    wire::{AppRoutes, Entry, RouteTable},
};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, stdin},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::{
    arguments::Arguments,
    spawn, tell,
    wire::{expect_success, read_message},
};

/// For the router to take a table, and for a new route to answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// Access lines taken at a time.
const LINES: usize = 10_000;
/// Between two changes, so that each is one.
const PAUSE: Duration = Duration::from_millis(20);

/// Publishes, then follows the access log for ever.
pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let feed = Feed::connect(arguments.text("socket")?.into());
    let mut apps = Apps::new(arguments)?;
    apps.publish(&feed).await?;
    tell("ready");
    let count = std::rc::Rc::new(std::cell::Cell::new(0_u64));
    let counted = std::rc::Rc::clone(&count);
    let mut reader = Reader::open(arguments.text("spool")?)?;
    let follow = spawn(async move {
        loop {
            let entries = reader.read_some(LINES).await?;
            let lines = entries
                .iter()
                .filter(|entry| matches!(entry, spool::Entry::Record { .. }))
                .count();
            ensure!(lines == entries.len(), "access lines were lost");
            counted.set(counted.get() + lines as u64);
            reader.acknowledge()?;
        }
    });
    let answer = async {
        let mut asked = BufReader::new(stdin()).lines();
        while asked.next_line().await?.is_some() {
            tell(&count.get().to_string());
        }
        Ok(())
    };
    tokio::select! {
        followed = follow => followed?,
        answered = answer => answered,
    }
}

/// Adds a route so many times, and measures from the publication to the first answer through it.
pub(crate) async fn change(arguments: &Arguments) -> Result<()> {
    let feed = Feed::connect(arguments.text("socket")?.into());
    let changes: usize = arguments.value("changes")?;
    let mut apps = Apps::new(arguments)?;
    apps.publish(&feed).await?;
    let mut stream = TcpStream::connect(arguments.text("address")?).await?;
    stream.set_nodelay(true)?;
    let mut seconds = Vec::new();
    for _ in 0..changes {
        sleep(PAUSE).await;
        let host = apps.add();
        let route = apps.routes.last().cloned().context("one was added")?;
        apps.version += 1;
        let start = Instant::now();
        feed.change(apps.version, vec![Entry::App(route)], Vec::new());
        timeout(PATIENCE, first_answer(&mut stream, &host)).await??;
        seconds.push(start.elapsed().as_secs_f64());
    }
    tell(&json!({ "seconds": seconds }).to_string());
    Ok(())
}

/// Asks until the host is known.
async fn first_answer(stream: &mut TcpStream, host: &str) -> Result<()> {
    let request = format!("GET /1k HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        stream.write_all(request.as_bytes()).await?;
        let message = read_message(stream, &mut bytes)
            .await?
            .context("no answer")?;
        if bytes.get(9..12) != Some(b"404") {
            return expect_success(bytes.get(..message.head).context("within")?);
        }
    }
}

/// The apps of a table; each has one dyno, all at the same address.
struct Apps {
    routes: Vec<AppRoutes>,
    upstream: u16,
    version: u64,
}

impl Apps {
    fn new(arguments: &Arguments) -> Result<Self> {
        let count: usize = arguments.value("apps")?;
        let mut apps = Self {
            routes: Vec::new(),
            upstream: arguments.value("upstream")?,
            version: 0,
        };
        for _ in 0..count {
            apps.add();
        }
        Ok(apps)
    }

    /// One more; its host.
    fn add(&mut self) -> String {
        let number = self.routes.len();
        let host = format!("h{number}.localhost");
        // From JSON, so that what the protocol can do beyond this is left at its defaults.
        let route = serde_json::from_value(json!({
            "app": AppId::new(),
            "name": format!("app-{number}"),
            "hosts": [host],
            "state": "serving",
            "backends": [{
                "dyno": DynoId::new(),
                "name": "web.1",
                "address": format!("127.0.0.1:{}", self.upstream),
            }],
        }));
        self.routes
            .push(route.expect("the protocol has these fields"));
        host
    }

    fn table(&mut self) -> RouteTable {
        self.version += 1;
        RouteTable {
            version: self.version,
            apps: self.routes.clone(),
            ..RouteTable::default()
        }
    }

    async fn publish(&mut self, feed: &Feed) -> Result<()> {
        feed.wait_addresses().await;
        feed.publish(self.table());
        let applied = timeout(PATIENCE, feed.wait_applied(self.version)).await?;
        ensure!(applied == Wait::Done, "the router went away");
        Ok(())
    }
}
