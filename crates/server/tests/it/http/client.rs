//! The typed client, over a real connection.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use api::{
    apps::NewApp,
    builds::{BuildStatus, NewBuild, SourceBlob},
    client::{Client, ClientError, HttpTransport},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::harness::{EMAIL, Harness, TOKEN};

/// The harness behind a free port, and a client that knows the way.
async fn serve(harness: &Harness, token: &str) -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = harness
        .router
        .clone()
        .into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    Client::new(Arc::new(HttpTransport::new(&url).unwrap()), token)
}

#[tokio::test]
async fn a_source_goes_all_the_way_to_a_build() {
    let harness = Harness::start().await;
    let client = serve(&harness, TOKEN).await;
    assert_eq!(client.account().await.unwrap().email, EMAIL);
    let new = NewApp {
        name: Some("example".to_owned()),
        ..NewApp::default()
    };
    assert_eq!(
        client.create_app(&new).await.unwrap().name.as_str(),
        "example"
    );
    let urls = client.create_source().await.unwrap().source_blob;
    let chunks = ["not ", "an ", "archive"].map(|text| Ok::<_, std::io::Error>(Bytes::from(text)));
    client
        .put_source(&urls.put_url, stream::iter(chunks))
        .await
        .unwrap();
    let source_blob = SourceBlob {
        url: urls.get_url,
        ..SourceBlob::default()
    };
    let build = NewBuild {
        source_blob,
        ..NewBuild::default()
    };
    let build = client.create_build("example", &build).await.unwrap();
    let output: Vec<Bytes> = client
        .stream_output(&build.output_stream_url)
        .await
        .unwrap()
        .map(Result::unwrap)
        .collect()
        .await;
    assert!(
        String::from_utf8(output.concat())
            .unwrap()
            .contains(" !     ")
    );
    let path = format!("/apps/example/builds/{}", build.id);
    harness
        .until(&path, |build| build["status"] != "pending")
        .await;
    let build = client.build("example", build.id).await.unwrap();
    assert_eq!(build.status, BuildStatus::Failed);
}

#[tokio::test]
async fn changes_and_lists_are_typed() {
    let harness = Harness::start().await;
    let client = serve(&harness, TOKEN).await;
    harness.app("example").await;
    let updates = BTreeMap::from([("A".to_owned(), Some("1".to_owned()))]);
    let config_vars = client.set_config_vars("example", &updates).await.unwrap();
    assert_eq!(
        config_vars,
        BTreeMap::from([("A".to_owned(), "1".to_owned())])
    );
    let newest = client.newest_releases("example", 1).await.unwrap();
    assert_eq!((newest.len(), newest[0].version), (1, 2));
    client.delete_app("example").await.unwrap();
    assert!(client.apps().await.unwrap().is_empty());
}

#[tokio::test]
async fn refusals_carry_what_the_server_said() {
    let harness = Harness::start().await;
    let client = serve(&harness, TOKEN).await;
    let missing = client.app("missing").await.unwrap_err();
    assert!(missing.is_not_found());
    assert_eq!(missing.to_string(), "Couldn't find that app.");
    let stranger = serve(&harness, "wrong").await;
    let refused = stranger.account().await.unwrap_err();
    let ClientError::Refused { status, body } = refused else {
        panic!("{refused}")
    };
    assert_eq!((status.as_u16(), body.id.as_str()), (401, "unauthorized"));
}
