//! `/apps/{app}/images/{slug}`: a slug as an OCI image, and the image as one file.

use std::io::{self, Write};

use api::images::{Compression, Image, ImageSlug, ImageState, ImageWish};
use axum::{
    Json,
    body::Bytes,
    extract::{Query, State},
    response::Response,
};
use builder::image;
use futures_util::stream;
use http::{HeaderValue, StatusCode, header};
use platform::{Platform, authorize::Action};
use tokio::sync::mpsc;

use super::{
    error::Refusal,
    extract::{Of, Path},
    route::Route,
    streams,
};

const PATH: &str = "/apps/{app}/images/{slug}";
/// Pieces of an archive on their way to a client; a slow one holds the disk back.
const PIECES: usize = 8;
/// Bytes of a piece.
const PIECE_BYTES: usize = 1 << 17;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadCode, show),
        Route::post(PATH, Action::Deploy, create),
        Route::get(
            "/apps/{app}/images/{slug}/archive",
            Action::ReadCode,
            download,
        ),
    ]
}

#[derive(serde::Deserialize)]
struct ImagePath {
    slug: String,
}

async fn show(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(path): Path<ImagePath>,
    Query(wish): Query<ImageWish>,
) -> Result<Json<Image>, Refusal> {
    let compression = compression(wish);
    Ok(Json(body(
        platform.image(&app, &path.slug, compression).await?,
    )))
}

async fn create(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(path): Path<ImagePath>,
    Query(wish): Query<ImageWish>,
) -> Result<(StatusCode, Json<Image>), Refusal> {
    let image = platform
        .create_image(&app, &path.slug, compression(wish))
        .await?;
    Ok((StatusCode::ACCEPTED, Json(body(image))))
}

async fn download(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(path): Path<ImagePath>,
    Query(wish): Query<ImageWish>,
) -> Result<Response, Refusal> {
    let archive = platform
        .image_archive(&app, &path.slug, compression(wish))
        .await?;
    let (sender, pieces) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let mut output = io::BufWriter::with_capacity(PIECE_BYTES, Pieces(sender.clone()));
        let (blobs, record) = (&archive.blobs, &archive.record);
        let written = image::write_archive(blobs, record, &archive.name, &mut output)
            .map_err(io::Error::other)
            .and_then(|()| output.flush());
        if let Err(error) = written {
            // A body that ends in an error is one that a client does not take for whole; a client
            // that has gone away hears nothing of it.
            drop(sender.blocking_send(Err(error)));
        }
    });
    let mut response = streams::bytes(stream::unfold(pieces, |mut pieces| async {
        pieces.recv().await.map(|piece| (piece, pieces))
    }));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-tar"),
    );
    Ok(response)
}

/// Writes into a response's body.
struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        let sent = self.0.blocking_send(Ok(piece));
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn compression(wish: ImageWish) -> image::Compression {
    match wish.compression {
        Compression::Gzip => image::Compression::Gzip,
        Compression::Zstd => image::Compression::Zstd,
    }
}

fn body(image: platform::images::Image) -> Image {
    let (state, record, failure) = match image.state {
        image::ImageState::Absent => (ImageState::Absent, None, None),
        image::ImageState::Writing => (ImageState::Writing, None, None),
        image::ImageState::Ready(record) => (ImageState::Ready, Some(record), None),
        image::ImageState::Failed(failure) => (ImageState::Failed, None, Some(failure)),
    };
    Image {
        slug: ImageSlug {
            id: image.slug.id,
            commit: image.slug.commit,
        },
        state,
        compression: match image.compression {
            image::Compression::Gzip => Compression::Gzip,
            image::Compression::Zstd => Compression::Zstd,
        },
        digest: record
            .as_ref()
            .map(|record| record.manifest.digest.to_string()),
        size: record.as_ref().map(|record| record.size_bytes()),
        failure,
    }
}
