//! The peers' configurations: as near to what the router does as each can come, and as fast.
//!
//! The same in all: one thread, 100 hosts with a dyno each, kept connections to the app, the
//! headers of Heroku, one access line a request, nothing waits on a disk. HAProxy cannot gather its
//! access lines; nginx is spared its temporary files and its limit of requests per connection.

use std::{fmt::Write as _, fs, path::PathBuf};

use serde_json::{Value, json};

use super::proxies::HOSTS;

/// Where a proxy lives and whom it serves.
pub(super) struct Place {
    pub(super) directory: PathBuf,
    pub(super) plain: String,
    pub(super) tls: String,
    /// The app's port.
    pub(super) app: u16,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

pub(super) fn nginx(place: &Place) -> String {
    let (directory, app) = (place.directory.display(), place.app);
    let mut servers = String::new();
    for host in 0..HOSTS {
        // Writing to a string cannot fail.
        let _written = write!(
            servers,
            "
  upstream u{host} {{
    server 127.0.0.1:{app};
    keepalive 64;
    keepalive_requests 1000000000;
  }}
  server {{
    listen {plain};
    listen {tls} ssl http2;
    server_name h{host}.localhost;
    location / {{ proxy_pass http://u{host}; }}
  }}",
            plain = place.plain,
            tls = place.tls,
        );
    }
    format!(
        r#"user root;
daemon off;
worker_processes 1;
worker_rlimit_nofile 65536;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 32768; }}
http {{
  log_format lines 'at=info method=$request_method path="$request_uri" host=$host '
    'request_id=$request_id fwd="$proxy_add_x_forwarded_for" '
    'connect=$upstream_connect_time service=$upstream_response_time '
    'status=$status bytes=$body_bytes_sent protocol=$scheme';
  access_log {directory}/access.log lines buffer=64k flush=1s;
  server_names_hash_bucket_size 128;
  keepalive_requests 1000000000;
  keepalive_timeout 90s;
  ssl_certificate {certificate};
  ssl_certificate_key {key};
  ssl_protocols TLSv1.2 TLSv1.3;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  proxy_http_version 1.1;
  proxy_request_buffering off;
  proxy_buffer_size 16k;
  proxy_buffers 16 16k;
  proxy_max_temp_file_size 0;
  client_body_buffer_size 64k;
  proxy_set_header Host $http_host;
  proxy_set_header Upgrade $http_upgrade;
  proxy_set_header Connection $connection_upgrade;
  proxy_set_header X-Request-Id $request_id;
  proxy_set_header X-Request-Start $msec;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Proto $scheme;
  proxy_set_header X-Forwarded-Port $server_port;
  proxy_set_header Via "1.1 nginx";
  add_header Via "1.1 nginx";{servers}
}}
"#,
        certificate = place.certificate.display(),
        key = place.key.display(),
    )
}

/// Connections that HAProxy may take: it refuses to start if all could not have their files.
pub(super) fn haproxy_connections() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let most = line.and_then(|line| line.split_whitespace().nth(4)?.parse::<usize>().ok());
    let others = 500;
    most.map_or(1000, |most| (most.saturating_sub(others) / 2).min(32_000))
}

pub(super) fn haproxy(place: &Place) -> String {
    let directory = place.directory.display();
    let connections = haproxy_connections();
    let mut backends = String::new();
    for host in 0..HOSTS {
        let app = place.app;
        let _written = write!(
            backends,
            "\nbackend b{host}\n  server app 127.0.0.1:{app}\n"
        );
    }
    format!(
        r#"global
  nbthread 1
  maxconn {connections}
  log stdout format raw local0
defaults
  mode http
  log global
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-keep-alive 90s
  timeout tunnel 1h
  http-reuse always
frontend all
  bind {plain}
  bind {tls} ssl crt {directory}/server.pem alpn h2,http/1.1
  option forwardfor
  http-request set-var(txn.id) uuid()
  http-request set-var(txn.host) req.hdr(host),field(1,:),lower
  http-request set-header X-Request-Id %[var(txn.id)]
  http-request set-header X-Request-Start %[date(0,ms)]
  http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
  http-request set-header X-Forwarded-Proto http unless {{ ssl_fc }}
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request add-header Via "1.1 haproxy"
  http-response add-header Via "1.1 haproxy"
  log-format 'at=info method=%HM path="%HU" host=%[var(txn.host)] request_id=%[var(txn.id)] fwd="%ci" dyno=%b connect=%Tc service=%Tr status=%ST bytes=%B'
  use_backend %[var(txn.host),map({directory}/hosts.map)]
{backends}"#,
        plain = place.plain,
        tls = place.tls,
    )
}

pub(super) fn haproxy_map() -> String {
    let lines = (0..HOSTS).map(|host| format!("h{host}.localhost b{host}\n"));
    lines.collect()
}

pub(super) fn caddy(place: &Place) -> Value {
    let certificate = json!({"certificate": place.certificate, "key": place.key});
    json!({
        "admin": {"disabled": true},
        "logging": {"logs": {
            "default": {"level": "ERROR", "exclude": ["http.log.access"]},
            "access": {
                "include": ["http.log.access"],
                "encoder": {"format": "json"},
                "writer": {
                    "output": "file",
                    "filename": place.directory.join("access.log"),
                    "roll": false,
                },
            },
        }},
        "apps": {
            "tls": {"certificates": {"load_files": [certificate]}},
            "http": {"servers": {
                "plain": server(place, &place.plain, false),
                "tls": server(place, &place.tls, true),
            }},
        },
    })
}

fn server(place: &Place, listen: &str, is_tls: bool) -> Value {
    let port = listen.rsplit(':').next().unwrap_or_default();
    let handle = json!([{
        "handler": "reverse_proxy",
        "upstreams": [{"dial": format!("127.0.0.1:{}", place.app)}],
        "headers": {
            "request": {"set": {
                "X-Request-Id": ["{http.request.uuid}"],
                "X-Request-Start": ["{time.now.unix}"],
                "X-Forwarded-Port": [port],
                "Via": ["1.1 caddy"],
            }},
            "response": {"set": {"Via": ["1.1 caddy"]}},
        },
    }]);
    let routes = (0..HOSTS)
        .map(|host| json!({"match": [{"host": [format!("h{host}.localhost")]}], "handle": handle}));
    let mut server = json!({
        "listen": [listen],
        "routes": routes.collect::<Vec<_>>(),
        "automatic_https": {"disable": true},
        "logs": {},
    });
    if is_tls {
        server["tls_connection_policies"] = json!([{"alpn": ["h2", "http/1.1"]}]);
    }
    server
}
