//! Dynos that speak HTTP/2 without TLS: gRPC with its trailers and streams, and plain requests of
//! either protocol.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::edge::{DynoProtocol, Edge};
use bytes::Bytes;
use h2::{Reason, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2::{self, SendRequest},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use router::wire::AppExtras;
use tokio::{net::TcpStream, sync::mpsc};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

use crate::{
    edge::serve,
    https::connect,
    support::{Bench, Dyno, HOST, body, exchange, get, status, within},
};

/// As often as chance may be against us.
const MANY: usize = 200;

pub(crate) type Body = BoxBody<Bytes, std::convert::Infallible>;
pub(crate) type Sender = SendRequest<Body>;

fn speaking() -> AppExtras {
    AppExtras {
        edge: Edge {
            dyno_protocol: DynoProtocol::H2c,
            ..Edge::default()
        },
        ..AppExtras::default()
    }
}

/// A dyno on hyper that takes so many streams of a connection.
async fn dyno<F>(
    most: u32,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) -> Dyno
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    Dyno::raw("web.1", move |stream| {
        let answer = answer.clone();
        async move {
            let service = service_fn(move |request| {
                let reply = answer(request);
                async move { Ok::<_, std::convert::Infallible>(reply.await) }
            });
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder.max_concurrent_streams(most);
            drop(
                builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        }
    })
    .await
}

/// The dyno answers each message with the same one, and ends with a status in trailers.
async fn echoing(request: Request<Incoming>) -> Response<Body> {
    let told = ["te", "x-forwarded-proto", "via"].map(|name| {
        let value = request.headers().get(name);
        value
            .map_or("none", |value| value.to_str().unwrap())
            .to_owned()
    });
    let told = format!(
        "{:?} {} {}",
        request.version(),
        request.uri(),
        told.join(" ")
    );
    let (sender, frames) = mpsc::channel(4);
    let mut incoming = request.into_body();
    tokio::spawn(async move {
        while let Some(Ok(frame)) = incoming.frame().await {
            if let Ok(piece) = frame.into_data()
                && sender.send(Ok(Frame::data(piece))).await.is_err()
            {
                return;
            }
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        trailers.insert("x-told", HeaderValue::from_str(&told).unwrap());
        drop(sender.send(Ok(Frame::trailers(trailers))).await);
    });
    let body = BodyExt::boxed(StreamBody::new(ReceiverStream::new(frames)));
    let response = Response::builder().header("content-type", "application/grpc");
    response.body(body).unwrap()
}

fn whole(text: &'static str) -> Body {
    Full::new(Bytes::from(text)).boxed()
}

async fn client(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
) -> Sender {
    let io = TokioIo::new(stream);
    let (sender, connection) = within(http2::handshake(TokioExecutor::new(), io))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

/// With the knowledge that the router understands it.
pub(crate) async fn plain_client(bench: &Bench) -> Sender {
    client(TcpStream::connect(bench.http()).await.unwrap()).await
}

fn call(path: &str, body: Body) -> Request<Body> {
    Request::post(format!("http://{HOST}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap()
}

/// The head of an answer, its messages and its trailers.
async fn collected(response: Response<Incoming>) -> (HeaderMap, Bytes, HeaderMap) {
    let (head, body) = response.into_parts();
    let body = within(body.collect()).await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    (head.headers, body.to_bytes(), trailers)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_with_trailers_over_tls_and_without() {
    let mut bench = Bench::new().await;
    let dyno = dyno(100, echoing).await;
    serve(&mut bench, &[&dyno], speaking()).await;
    let secure = client(connect(&bench, b"h2").await).await;
    for (mut sender, protocol) in [(secure, "https"), (plain_client(&bench).await, "http")] {
        for _ in 0..3 {
            let mut request = call("/pkg.Service/Call?x", whole("message"));
            let uri = format!("{protocol}://{HOST}/pkg.Service/Call?x");
            *request.uri_mut() = uri.parse().unwrap();
            let response = within(sender.send_request(request)).await.unwrap();
            let (head, got, trailers) = collected(response).await;
            assert_eq!(
                (&got[..], head["content-type"].to_str().unwrap()),
                (&b"message"[..], "application/grpc")
            );
            assert_eq!(trailers["grpc-status"], "0");
            let told = format!(
                "HTTP/2.0 http://{HOST}/pkg.Service/Call?x trailers {protocol} 2.0 landfall"
            );
            assert_eq!(trailers["x-told"], told);
            let line = bench.line().await;
            assert!(
                line.contains("dyno=web.1") && line.contains("status=200 bytes=7 "),
                "{line}"
            );
        }
    }
    // Each of the router's threads has at most one.
    assert!(*dyno.connections.lock().unwrap() <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_stream_at_once() {
    let mut bench = Bench::with(|timeouts| timeouts.rolling = Duration::from_millis(400)).await;
    let dyno = dyno(100, echoing).await;
    serve(&mut bench, &[&dyno], speaking()).await;
    let mut sender = plain_client(&bench).await;
    let (messages, sent) = mpsc::channel::<&'static str>(1);
    let sent = ReceiverStream::new(sent).map(|text| Ok(Frame::data(Bytes::from(text))));
    let call = call("/chat", BodyExt::boxed(StreamBody::new(sent)));
    let response = within(sender.send_request(call)).await.unwrap();
    let mut answers = response.into_body();
    for message in ["one", "two", "three"] {
        messages.send(message).await.unwrap();
        let frame = within(answers.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), message);
    }
    drop(messages);
    let trailers = within(answers.frame()).await.unwrap().unwrap();
    assert_eq!(trailers.trailers_ref().unwrap()["grpc-status"], "0");
    assert!(bench.line().await.contains("status=200 bytes=11 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_trailers_alone_and_clients_of_http1() {
    let mut bench = Bench::new().await;
    let dyno = dyno(100, |request: Request<Incoming>| async move {
        if request.headers().contains_key("te") {
            let response = Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", "5")
                .header("grpc-message", "no such thing");
            return response.body(whole("")).unwrap();
        }
        let told = format!(
            "{:?} {} {}",
            request.version(),
            request.method(),
            request.uri()
        );
        let has =
            ["upgrade", "connection", "host"].map(|name| request.headers().contains_key(name));
        let got = request.into_body().collect().await.unwrap().to_bytes();
        let text = format!("{told} {has:?} {}", got.len());
        Response::new(Full::new(Bytes::from(text)).boxed())
    })
    .await;
    serve(&mut bench, &[&dyno], speaking()).await;
    let mut sender = plain_client(&bench).await;
    let response = within(sender.send_request(call("/x", whole("m"))))
        .await
        .unwrap();
    let (head, got, trailers) = collected(response).await;
    assert!(got.is_empty() && trailers.is_empty());
    assert_eq!(
        (&head["grpc-status"], &head["grpc-message"]),
        (&"5".parse().unwrap(), &"no such thing".parse().unwrap())
    );
    let plain = get(bench.http(), "/a?b").await;
    let expected = format!("HTTP/2.0 GET http://{HOST}/a?b [false, false, false] 0");
    assert_eq!((status(&plain), body(&plain)), ("200", &*expected));
    let long = "x".repeat(300_000);
    let upload = exchange(bench.http(), &format!(
        "PUT /up HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{long}\r\n0\r\n\r\n", long.len()
    )).await;
    assert!(body(&upload).ends_with(" 300000"), "{upload}");
    // There is nothing to change to: the request is answered as if it had not asked.
    let upgrade = exchange(
        bench.http(),
        &format!(
            "GET /ws HTTP/1.1\r\nHost: {HOST}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\
         GET /end HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
        ),
    )
    .await;
    assert!(
        upgrade.contains("/ws [false, false, false] 0") && upgrade.contains("/end"),
        "{upgrade}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_has_more_streams_than_the_dyno_allows() {
    let mut bench = Bench::new().await;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (told, mut began) = mpsc::channel(100);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let open = Arc::clone(&gate);
    let counted = (Arc::clone(&now), Arc::clone(&most));
    let dyno = dyno(2, move |_| {
        let (gate, told) = (Arc::clone(&gate), told.clone());
        let (now, most) = counted.clone();
        async move {
            let at_once = now.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(at_once, Ordering::SeqCst);
            told.send(()).await.unwrap();
            gate.acquire().await.unwrap().forget();
            now.fetch_sub(1, Ordering::SeqCst);
            Response::new(whole("done"))
        }
    })
    .await;
    serve(&mut bench, &[&dyno], speaking()).await;
    let mut sender = plain_client(&bench).await;
    let get = || {
        Request::get(format!("http://{HOST}/"))
            .body(whole(""))
            .unwrap()
    };
    // The first tells the router how many there may be.
    open.add_permits(1);
    assert_eq!(
        within(sender.send_request(get())).await.unwrap().status(),
        200
    );
    within(began.recv()).await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..7 {
        calls.spawn(sender.send_request(get()));
        // All of them are with the dyno at once, whatever it takes.
        within(began.recv()).await.unwrap();
    }
    open.add_permits(100);
    while let Some(answer) = calls.join_next().await {
        assert_eq!(answer.unwrap().unwrap().status(), 200);
    }
    assert_eq!(most.load(Ordering::SeqCst), 7);
    assert!(*dyno.connections.lock().unwrap() >= 4);
}

/// Answers every stream as `act` does, which is told its number on the connection.
async fn raw_dyno(
    name: &str,
    act: impl Fn(usize, SendResponse<Bytes>) + Clone + Send + Sync + 'static,
) -> Dyno {
    Dyno::raw(name, move |stream| {
        let act = act.clone();
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let mut number = 0;
            while let Some(Ok((request, respond))) = connection.accept().await {
                drop(request);
                act(number, respond);
                number += 1;
            }
        }
    })
    .await
}

fn answer_well(mut respond: SendResponse<Bytes>) {
    let response = Response::builder().header("content-type", "application/grpc");
    let response = response.header("grpc-status", "0").body(()).unwrap();
    respond.send_response(response, true).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dyno_has_not_looked_at_is_sent_again() {
    let mut bench = Bench::new().await;
    let refusals = Arc::new(Mutex::new(HashMap::from([("refused", 0)])));
    let counted = Arc::clone(&refusals);
    // Refuses the first stream of all.
    let dyno = raw_dyno("web.1", move |_, mut respond| {
        let mut refusals = counted.lock().unwrap();
        let refused = refusals.get_mut("refused").unwrap();
        *refused += 1;
        if *refused == 1 {
            respond.send_reset(Reason::REFUSED_STREAM);
        } else {
            answer_well(respond);
        }
    })
    .await;
    let other = raw_dyno("web.1", |_, respond| answer_well(respond)).await;
    serve(&mut bench, &[&dyno, &other], speaking()).await;
    let mut sender = plain_client(&bench).await;
    // Each goes to one of two by chance: until the first has had another after what it refused.
    let had = || refusals.lock().unwrap()["refused"];
    for _ in 0..MANY {
        let response = within(sender.send_request(call("/x", whole("message"))))
            .await
            .unwrap();
        let (head, ..) = collected(response).await;
        assert_eq!(head["grpc-status"], "0", "{head:?}");
        if had() > 1 {
            break;
        }
    }
    assert!(had() > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_going_away_gets_no_more_streams() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::raw("web.1", |stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        // One stream, then no more.
        if let Some(Ok((_, respond))) = connection.accept().await {
            answer_well(respond);
            connection.graceful_shutdown();
            while let Some(Ok((_, respond))) = connection.accept().await {
                answer_well(respond);
            }
        }
    })
    .await;
    serve(&mut bench, &[&dyno], speaking()).await;
    let mut sender = plain_client(&bench).await;
    for _ in 0..5 {
        let response = within(sender.send_request(call("/x", whole("message"))))
            .await
            .unwrap();
        let (head, ..) = collected(response).await;
        assert_eq!(head["grpc-status"], "0", "{head:?}");
    }
    assert!(*dyno.connections.lock().unwrap() > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_router_are_statuses_of_grpc() {
    let mut bench = Bench::with(|timeouts| {
        timeouts.first_byte = Duration::from_millis(200);
        timeouts.rolling = Duration::from_millis(400);
    })
    .await;
    let dyno = dyno(100, |request: Request<Incoming>| async move {
        if request.uri().path() == "/silent" {
            std::future::pending::<()>().await;
        }
        let begun = tokio_stream::once(Ok(Frame::data(Bytes::from("begun"))));
        let body = StreamBody::new(begun.chain(tokio_stream::pending()));
        let response = Response::builder().header("content-type", "application/grpc");
        response.body(BodyExt::boxed(body)).unwrap()
    })
    .await;
    serve(&mut bench, &[&dyno], speaking()).await;
    let mut sender = plain_client(&bench).await;
    let response = within(sender.send_request(call("/silent", whole("m"))))
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let (head, ..) = collected(response).await;
    assert_eq!(
        (&head["grpc-status"], &head["grpc-message"]),
        (
            &"14".parse().unwrap(),
            &"H12 Request timeout".parse().unwrap()
        )
    );
    assert!(bench.line().await.contains("code=H12"));
    // A stream that stops ends with a status as well.
    let response = within(sender.send_request(call("/stops", whole("m"))))
        .await
        .unwrap();
    let (_, got, trailers) = collected(response).await;
    assert_eq!(
        (&got[..], &trailers["grpc-status"]),
        (&b"begun"[..], &"14".parse().unwrap())
    );
    assert!(bench.line().await.contains("code=H15"));
    let absent = Dyno::absent("web.1").await;
    serve(&mut bench, &[&absent], speaking()).await;
    let response = within(sender.send_request(call("/", whole("m"))))
        .await
        .unwrap();
    let (head, ..) = collected(response).await;
    assert_eq!(head["grpc-message"], "H21 Backend connection refused");
    let mut elsewhere = call("/", whole("m"));
    *elsewhere.uri_mut() = "http://nobody.localhost/".parse().unwrap();
    let (head, ..) = collected(within(sender.send_request(elsewhere)).await.unwrap()).await;
    assert_eq!(head["grpc-status"], "12");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_has_its_time_from_the_end_of_the_request() {
    let mut bench = Bench::with(|timeouts| {
        timeouts.first_byte = Duration::from_millis(200);
        // Far above what the test may take.
        timeouts.rolling = Duration::from_hours(1);
    })
    .await;
    let dyno = dyno(100, |_| std::future::pending()).await;
    serve(&mut bench, &[&dyno], speaking()).await;
    let mut sender = plain_client(&bench).await;
    let response = within(sender.send_request(call("/silent", whole("m"))));
    let (head, ..) = collected(response.await.unwrap()).await;
    assert_eq!(head["grpc-message"], "H12 Request timeout");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_resets_ends_its_own_connection() {
    let mut bench = Bench::new().await;
    let (told, mut ended) = mpsc::channel(1);
    let dyno = dyno(100, echoing).await;
    serve(&mut bench, &[&dyno], speaking()).await;
    let stream = TcpStream::connect(bench.http()).await.unwrap();
    let (flood, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(async move {
        // Whether it is told off or only ends is a matter of speed.
        drop(connection.await);
        told.send(()).await.unwrap();
    });
    for _ in 0..50_000 {
        let Ok(mut ready) = flood.clone().ready().await else {
            break;
        };
        let request = Request::get(format!("http://{HOST}/")).body(()).unwrap();
        let Ok((_, mut stream)) = ready.send_request(request, false) else {
            break;
        };
        stream.send_reset(Reason::CANCEL);
        tokio::task::yield_now().await;
    }
    drop(flood);
    within(ended.recv()).await.unwrap();
    // Everybody else is served as before.
    let mut sender = plain_client(&bench).await;
    let response = within(sender.send_request(call("/x", whole("message"))))
        .await
        .unwrap();
    let (_, got, trailers) = collected(response).await;
    assert_eq!(
        (&got[..], &trailers["grpc-status"]),
        (&b"message"[..], &"0".parse().unwrap())
    );
}
