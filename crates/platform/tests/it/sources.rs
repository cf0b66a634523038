//! Uploads of sources: complete or absent, also when several come at once.

use futures_util::stream;
use tokio::sync::mpsc;

use crate::world::World;

type Chunk = Result<&'static str, &'static str>;

/// An upload that comes as it is sent.
fn upload() -> (
    mpsc::UnboundedSender<Chunk>,
    impl futures_util::Stream<Item = Chunk>,
) {
    let (sender, chunks) = mpsc::unbounded_channel();
    let chunks = stream::unfold(chunks, |mut chunks| async {
        chunks.recv().await.map(|chunk| (chunk, chunks))
    });
    (sender, chunks)
}

/// A new source's id and secret.
fn source(world: &World) -> (String, String) {
    let caller = world.caller();
    let made = world.wait(world.platform().create_source(&caller)).unwrap();
    let mut segments = made.source_blob.put_url.rsplit('/').map(str::to_owned);
    let secret = segments.next().unwrap();
    (segments.next().unwrap(), secret)
}

fn kept(world: &World, id: &str, secret: &str) -> String {
    let kept = world.wait(world.platform().uploaded_source(id, secret));
    std::fs::read_to_string(kept.unwrap().1).unwrap()
}

#[test]
fn two_uploads_at_once_do_not_mix() {
    let world = World::new();
    let (id, secret) = source(&world);
    let (slow, slow_chunks) = upload();
    let (quick, quick_chunks) = upload();
    slow.send(Ok("one, which ")).unwrap();
    quick.send(Ok("two")).unwrap();
    let receive_slow = world.platform().receive_source(&id, &secret, slow_chunks);
    let receive_quick = world.platform().receive_source(&id, &secret, quick_chunks);
    let finish = async {
        let mut receive_slow = Box::pin(receive_slow);
        let directory = world.directory.path().join("sources");
        // The slow one has begun when its file is there.
        while std::fs::read_dir(&directory).map_or(0, Iterator::count) == 0 {
            let moment = std::time::Duration::from_millis(1);
            drop(tokio::time::timeout(moment, &mut receive_slow).await);
        }
        drop(quick);
        receive_quick.await.unwrap();
        assert_eq!(files(&directory), 2, "one is complete, one is on its way");
        slow.send(Ok("is long")).unwrap();
        drop(slow);
        receive_slow.await.unwrap();
        assert_eq!(files(&directory), 1);
    };
    world.wait(finish);
    assert_eq!(kept(&world, &id, &secret), "one, which is long");
}

fn files(directory: &std::path::Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[test]
fn an_upload_that_breaks_off_leaves_what_was_there() {
    let world = World::new();
    let (id, secret) = source(&world);
    for chunks in [vec![Ok("whole")], vec![Ok("ha"), Err("gone")]] {
        let is_whole = chunks.len() == 1;
        let received = world
            .platform()
            .receive_source(&id, &secret, stream::iter(chunks));
        assert_eq!(world.wait(received).is_ok(), is_whole);
    }
    assert_eq!(kept(&world, &id, &secret), "whole");
    assert_eq!(files(&world.directory.path().join("sources")), 1);
}
