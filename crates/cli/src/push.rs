//! `landfall push`: the files of a directory become a release, without git.
//!
//! What `.gitignore` and `.slugignore` leave out is not uploaded. The build's output goes to standard
//! output as it comes; the command succeeds when the release is live.

mod archive;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use api::{
    builds::{Build, BuildStatus, NewBuild, SourceBlob},
    client::Client,
    releases::ReleaseStatus,
};
use futures_util::StreamExt;

use crate::{config::Surroundings, inside, own};

/// Arguments of `landfall push`.
#[derive(Clone, Debug, clap::Args)]
pub struct PushArguments {
    /// The directory to deploy
    #[arg(default_value = ".")]
    pub directory: PathBuf,
    /// The app; that of `HEROKU_APP` or of the git remote `heroku` if left out
    #[arg(long, short)]
    pub app: Option<String>,
    /// What this version is called in `heroku releases`
    #[arg(long)]
    pub version_name: Option<String>,
}

/// Runs `landfall push`.
pub(crate) fn push(ready_file: &Path, arguments: &PushArguments) -> Result<()> {
    let app = inside::find_app(arguments.app.as_deref(), &Surroundings::of_this_process())?;
    let client = own::client(ready_file)?;
    let directory = arguments
        .directory
        .canonicalize()
        .with_context(|| format!("cannot find {}", arguments.directory.display()))?;
    if !directory.is_dir() {
        bail!("{} is no directory", directory.display());
    }
    own::run(async {
        let urls = client.create_source().await?.source_blob;
        client
            .put_source(&urls.put_url, archive::of(directory))
            .await
            .context("could not upload the directory")?;
        let new = NewBuild {
            source_blob: SourceBlob {
                url: urls.get_url,
                version: arguments.version_name.clone(),
                ..SourceBlob::default()
            },
            ..NewBuild::default()
        };
        let build = client.create_build(&app, &new).await?;
        follow(&client, &app, build).await
    })
}

/// Shows a build's output and waits for its release.
///
/// # Errors
/// When the build or the release fails; the output has said why.
pub(crate) async fn follow(client: &Client, app: &str, build: Build) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    if let Some(mut pieces) = client.build_output(app, &build).await? {
        while let Some(piece) = pieces.next().await {
            stdout.write_all(&piece?)?;
            stdout.flush()?;
        }
    }
    let unsettled = "the platform did not finish in time\n  hint: see `heroku releases`";
    let build = client
        .settled_build(app, build.id)
        .await?
        .context(unsettled)?;
    let (BuildStatus::Succeeded, Some(release)) = (build.status, build.release) else {
        bail!("the build failed");
    };
    let release = client.settled_release(app, release.id).await?;
    let release = release.context(unsettled)?;
    if release.status != ReleaseStatus::Succeeded {
        bail!("release v{} failed; it is not live", release.version);
    }
    Ok(())
}
