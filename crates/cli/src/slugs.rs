//! `landfall slugs:export`: an app as an OCI image in one file, to run elsewhere.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use api::{
    client::Client,
    images::{Compression, Image, ImageState},
};
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;

use crate::{config::Surroundings, inside, own::client};

/// Between two looks whether the image is written.
const PAUSE: Duration = Duration::from_millis(500);

/// Arguments of `landfall slugs:export`.
#[derive(Clone, Debug, clap::Args)]
pub struct SlugsExportArguments {
    /// The app; else that of `HEROKU_APP` or the git remote `heroku`
    #[arg(short, long, value_name = "APP")]
    pub app: Option<String>,
    /// What to export: a release such as v12, or a slug's id
    #[arg(default_value = "current")]
    pub slug: String,
    /// The file to write; else APP.tar
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write layers that Docker reads since version 23 only: smaller, and written faster
    #[arg(long)]
    pub zstd: bool,
}

/// Runs `landfall slugs:export`.
#[expect(clippy::print_stdout, reason = "a command's output")]
#[expect(clippy::print_stderr, reason = "what a person is told meanwhile")]
pub(crate) fn export(ready_file: &Path, arguments: &SlugsExportArguments) -> Result<()> {
    let client = client(ready_file)?;
    let app = inside::app::find(arguments.app.as_deref(), &Surroundings::of_this_process())?;
    let output = arguments
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{app}.tar")));
    if !is_segment(&arguments.slug) {
        bail!("`{}` is neither a release nor a slug's id", arguments.slug);
    }
    let export = Export {
        client,
        app,
        slug: arguments.slug.clone(),
        compression: if arguments.zstd {
            Compression::Zstd
        } else {
            Compression::Gzip
        },
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the asynchronous runtime")?;
    runtime.block_on(async {
        eprintln!("Writing the image of {}...", export.app);
        let image = export.until_ready().await?;
        export.download(&output).await?;
        println!("{}", image.digest.unwrap_or_default());
        eprintln!("Wrote {}.", output.display());
        eprintln!(
            "hint: run `docker load -i {0}`, or `podman load -i {0}`",
            output.display()
        );
        Ok(())
    })
}

/// It becomes part of a path.
fn is_segment(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

struct Export {
    client: Client,
    app: String,
    slug: String,
    compression: Compression,
}

impl Export {
    /// Waits until the image is written.
    async fn until_ready(&self) -> Result<Image> {
        let (app, slug) = (&self.app, &self.slug);
        let mut image = self
            .client
            .create_image(app, slug, self.compression)
            .await?;
        loop {
            match image.state {
                ImageState::Ready => return Ok(image),
                ImageState::Failed => bail!(image.failure.unwrap_or_default()),
                ImageState::Absent => bail!("the platform was restarted meanwhile; try again"),
                ImageState::Writing => tokio::time::sleep(PAUSE).await,
            }
            image = self.client.image(app, slug, self.compression).await?;
        }
    }

    /// The file appears when it is whole.
    async fn download(&self, output: &Path) -> Result<()> {
        let wrong = || format!("could not write {}", output.display());
        let folder = match output.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let draft = tempfile::NamedTempFile::new_in(folder).with_context(wrong)?;
        let mut file = tokio::fs::File::from_std(draft.reopen().with_context(wrong)?);
        let mut archive = self
            .client
            .image_archive(&self.app, &self.slug, self.compression)
            .await?;
        while let Some(piece) = archive.next().await {
            file.write_all(&piece?).await.with_context(wrong)?;
        }
        file.flush().await.with_context(wrong)?;
        draft.persist(output).with_context(wrong)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_safe_in_a_path_is_asked_for() {
        for (text, expected) in [
            ("v12", true),
            ("current", true),
            ("", false),
            ("../x", false),
        ] {
            assert_eq!(is_segment(text), expected, "{text}");
        }
    }
}
