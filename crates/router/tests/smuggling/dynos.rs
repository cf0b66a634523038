//! The dynos behind the router: each says what requests it saw.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdout, Command},
};

use crate::{
    front::{eventually, within},
    judge::{Seen, echo, unchunked},
};

/// One of them.
pub(crate) struct Dyno {
    pub(crate) address: SocketAddr,
    seen: Source,
    /// Whether it is somebody else's program, which may refuse what we forward.
    pub(crate) may_refuse: bool,
    _process: Option<Child>,
    _directory: Option<tempfile::TempDir>,
}

enum Source {
    Recorder(Arc<Mutex<Vec<Seen>>>),
    Printed(Lines<BufReader<ChildStdout>>),
}

impl Dyno {
    /// The requests it saw since this was last called, up to the one for `last`.
    pub(crate) async fn seen_until(&mut self, last: &str) -> Vec<Seen> {
        match &mut self.seen {
            Source::Recorder(seen) => {
                let is_there = || seen.lock().unwrap().iter().any(|one| one.target == last);
                eventually("the last request is seen", is_there).await;
                let mut all = std::mem::take(&mut *seen.lock().unwrap());
                all.retain(|one| one.target != last);
                all
            }
            Source::Printed(lines) => {
                let mut all = Vec::new();
                loop {
                    let line = within(lines.next_line()).await.unwrap().expect("it runs");
                    let one = seen(&line);
                    if one.target == last {
                        return all;
                    }
                    all.push(one);
                }
            }
        }
    }
}

fn seen(line: &str) -> Seen {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    let text = |name: &str| line[name].as_str().unwrap().to_owned();
    Seen {
        method: text("method"),
        target: text("target"),
        body: text("body").into_bytes(),
        headers: None,
    }
}

/// One that believes nothing: what it is sent must be in order to the last byte.
pub(crate) async fn recorder() -> Dyno {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(record(stream, Arc::clone(&kept)));
        }
    });
    Dyno {
        address,
        seen: Source::Recorder(seen),
        may_refuse: false,
        _process: None,
        _directory: None,
    }
}

async fn record(mut stream: TcpStream, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut bytes = Vec::new();
    loop {
        while let Some((request, length)) = request(&bytes) {
            bytes.drain(..length);
            let echo = echo(&request.method, &request.target, request.body.len());
            let is_head = request.method == "HEAD";
            seen.lock().unwrap().push(request);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", echo.len());
            let answer = if is_head { head } else { head + &echo };
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
        if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return;
        }
    }
}

/// The first request and its length, once it is whole. What is malformed is a request, too, one
/// that no case expects.
fn request(bytes: &[u8]) -> Option<(Seen, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let malformed = || {
        let request = Seen {
            method: "MALFORMED".to_owned(),
            target: bytes.escape_ascii().to_string(),
            body: Vec::new(),
            headers: None,
        };
        Some((request, bytes.len()))
    };
    let Some((method, target, mut headers)) = head(&bytes[..end]) else {
        return malformed();
    };
    let rest = &bytes[end + 4..];
    let values = |name: &str| -> Vec<&str> {
        let all = headers.iter().filter(|(other, _)| other == name);
        all.map(|(_, value)| value.as_str()).collect()
    };
    let (body, after) = match (
        &values("content-length")[..],
        &values("transfer-encoding")[..],
    ) {
        ([], []) => (Vec::new(), rest),
        ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            let (body, after) = rest.split_at_checked(length.parse().ok()?)?;
            (body.to_vec(), after)
        }
        ([], ["chunked"]) => {
            let chunked = unchunked(rest)?;
            headers.extend(lines(chunked.trailers)?);
            (chunked.body, chunked.rest)
        }
        _ => return malformed(),
    };
    let request = Seen {
        method,
        target,
        body,
        headers: Some(headers),
    };
    Some((request, bytes.len() - after.len()))
}

type Headers = Vec<(String, String)>;

fn head(bytes: &[u8]) -> Option<(String, String, Headers)> {
    let end = bytes.windows(2).position(|window| window == b"\r\n");
    let (line, rest) = match end {
        Some(end) => (&bytes[..end], &bytes[end + 2..]),
        None => (bytes, &[][..]),
    };
    let line = String::from_utf8_lossy(line).into_owned();
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, "HTTP/1.1" | "HTTP/1.0"] = words[..] else {
        return None;
    };
    Some((method.to_owned(), target.to_owned(), lines(rest)?))
}

/// Header lines; `None` if one of them is none.
fn lines(bytes: &[u8]) -> Option<Headers> {
    let mut headers = Vec::new();
    if bytes.is_empty() {
        return Some(headers);
    }
    for line in String::from_utf8_lossy(bytes).split("\r\n") {
        let (name, value) = line.split_once(':')?;
        let is_token = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        if !is_token || value.contains(['\r', '\n', '\0']) {
            return None;
        }
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Some(headers)
}

/// A program that prints its port and then what it sees; `None` if it is not installed.
pub(crate) async fn printing(program: &str, source: &str) -> Option<Dyno> {
    find(program)?;
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/smuggling")
        .join(source);
    let mut process = Command::new(program)
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let port = within(lines.next_line()).await.unwrap().expect("a port");
    Some(Dyno {
        address: SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap())),
        seen: Source::Printed(lines),
        may_refuse: true,
        _process: Some(process),
        _directory: None,
    })
}

/// Another proxy as the dyno, before a recorder; `None` if it is not installed. `configure` is
/// given its own port and the recorder's address.
pub(crate) async fn proxy(
    program: &str,
    configure: fn(u16, SocketAddr) -> String,
    arguments: &[&str],
) -> Option<Dyno> {
    let program = find(program)?;
    let recorder = recorder().await;
    loop {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let file = directory.path().join("config");
        std::fs::write(&file, configure(port, recorder.address)).unwrap();
        let mut process = Command::new(&program)
            .args(arguments)
            .arg(&file)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let has_ended = || process.try_wait().unwrap().is_some();
        if listens(address, has_ended).await {
            return Some(Dyno {
                address,
                may_refuse: true,
                _process: Some(process),
                _directory: Some(directory),
                ..recorder
            });
        }
        // Somebody else took the port meanwhile.
    }
}

async fn listens(address: SocketAddr, mut has_ended: impl FnMut() -> bool) -> bool {
    let wait = async {
        while TcpStream::connect(address).await.is_err() {
            if has_ended() {
                return false;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        !has_ended()
    };
    within(wait).await
}

#[expect(clippy::print_stdout, reason = "whoever reads the results has to know")]
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|directory| directory.join(program))
        .find(|file| file.is_file());
    if found.is_none() {
        println!("{program}: not installed, skipped");
    }
    found
}

pub(crate) fn nginx(port: u16, recorder: SocketAddr) -> String {
    format!(
        "daemon off; master_process off; pid nginx.pid; error_log error.log;
         events {{ worker_connections 256; }}
         http {{
           access_log off; client_max_body_size 0; large_client_header_buffers 8 64k;
           client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
           uwsgi_temp_path uwsgi; scgi_temp_path scgi; underscores_in_headers on;
           upstream recorder {{ server {recorder}; keepalive 8; }}
           server {{
             listen 127.0.0.1:{port};
             location / {{
               proxy_pass http://recorder; proxy_http_version 1.1; proxy_set_header Connection '';
               proxy_set_header Host $http_host;
               proxy_request_buffering off;
             }}
           }}
         }}"
    )
}

pub(crate) fn haproxy(port: u16, recorder: SocketAddr) -> String {
    format!(
        "global\n  maxconn 256\n\
         defaults\n  mode http\n  timeout connect 10s\n  timeout client 30s\n  timeout server 30s\n  \
         http-reuse always\n\
         listen all\n  bind 127.0.0.1:{port}\n  server recorder {recorder}\n"
    )
}
