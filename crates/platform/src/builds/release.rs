//! What a build ends in: a slug and its release, followed until it is live, or the release that is
//! live already.

use std::{collections::BTreeMap, time::Duration};

use builder::BuiltSlug;
use futures_util::StreamExt;
use store::{BuildOutcome, NewRelease, NewSlug, Release, ReleaseStatus};

use super::Work;
use crate::{
    Platform,
    error::{Error, Result},
    outputs::OutputWriter,
    releases::has_release_phase,
};

/// A push that waits longer than this for its release is told what for.
const QUIET_WAIT: Duration = Duration::from_secs(5);

impl Platform {
    /// Ends a build that had nothing to build: what is live is what it would have made.
    pub(super) async fn keep_release(
        &self,
        work: &Work,
        live: Option<Release>,
        output: &mut OutputWriter,
    ) -> Result<()> {
        let live = live.and_then(|release| Some((release.slug?, release)));
        let (slug, release) = live.ok_or_else(|| Error::NotFound {
            resource: "release",
            name: work.app.name.to_string(),
        })?;
        let outcome = BuildOutcome::Succeeded {
            slug,
            release: Some(release.id),
        };
        let change = work.caller.change();
        self.store
            .finish_build(&change, work.build.id, &outcome)
            .await?;
        for line in [
            format!("       Nothing is built: v{} stays live", release.version),
            format!(
                "       hint: `landfall builds:rebuild -a {}` builds all the same",
                work.app.name
            ),
        ] {
            output.line(&line).await?;
        }
        Ok(())
    }

    /// Puts slug and release on record; from here on the reconciler brings the release live.
    pub(super) async fn record_slug(&self, work: &Work, built: BuiltSlug) -> Result<Release> {
        let change = work.caller.change();
        let watch_digest = built.watch_digest;
        let slug = NewSlug {
            app: work.app.id,
            stack: work.build.stack.clone(),
            commit: work.commit().cloned(),
            language: built.language,
            layers: built.layers,
            process_types: built.process_types,
            images: BTreeMap::new(),
            env: built.env,
            size_bytes: built.size_bytes,
            checksum: built.checksum,
        };
        let slug = self.store.create_slug(&change, &slug).await?;
        if let Some(digest) = watch_digest {
            let which = (work.app.id, slug.id);
            self.store
                .note_watch_digest(&change, which, &digest)
                .await?;
        }
        let commit = work.commit().map_or("source", String::as_str);
        let new = NewRelease {
            app: work.app.id,
            account: work.caller.account,
            description: format!("Deploy {}", commit.get(..8).unwrap_or(commit)),
            slug: Some(slug.id),
            config_updates: None,
            config_replacement: None,
            output_stream: has_release_phase(&slug),
        };
        let (_, release) = self
            .store
            .finish_build_with_release(&change, work.build.id, &new)
            .await?;
        self.announce_release(&work.caller, &release).await;
        Ok(release)
    }

    /// Follows a release until it is live or has failed.
    pub(super) async fn tell_release(
        &self,
        work: &Work,
        release: &Release,
        output: &mut OutputWriter,
    ) -> Result<()> {
        if release.output_stream {
            output.line("-----> Running release command...").await?;
            self.copy_release_output(release, output).await?;
        }
        let finished = self.await_boot(work, release, output).await?;
        self.note_release(&work.journal, release, &finished).await?;
        if finished.status == ReleaseStatus::Succeeded {
            output
                .line(&format!("       Released v{}", finished.version))
                .await?;
            let url = self.settings.web_url(&work.app.name);
            output
                .line(&format!("       {url} deployed to Landfall"))
                .await?;
            return Ok(());
        }
        let message = finished.failure_message.unwrap_or_default();
        for (index, line) in message.lines().enumerate() {
            let mark = if index == 0 { " !     " } else { "       " };
            output.line(&format!("{mark}{line}")).await?;
        }
        Ok(())
    }

    /// Waits for the release, and says so once if that takes a while.
    async fn await_boot(
        &self,
        work: &Work,
        release: &Release,
        output: &mut OutputWriter,
    ) -> Result<Release> {
        let mut decided = std::pin::pin!(self.await_release(work.app.id, release.id));
        if let Ok(finished) = tokio::time::timeout(QUIET_WAIT, decided.as_mut()).await {
            return finished;
        }
        let seconds = self.settings.boot_timeout.as_secs();
        let text = format!("       Waiting for web to answer on $PORT, at most {seconds} seconds");
        output.line(&text).await?;
        decided.await
    }

    /// Copies what the release phase prints, as it comes.
    async fn copy_release_output(
        &self,
        release: &Release,
        output: &mut OutputWriter,
    ) -> Result<()> {
        let id = release.id.as_uuid();
        let mut changes = self.nudges.changes();
        loop {
            changes.borrow_and_update();
            let now = self.store.release(release.app, release.id).await?;
            if now.status != ReleaseStatus::Pending || self.outputs.is_live(id) {
                break;
            }
            if changes.changed().await.is_err() {
                return Ok(());
            }
        }
        let mut stream = self.outputs.read(id, 0);
        let mut text = Vec::new();
        while let Some(Ok(bytes)) = stream.next().await {
            text.extend_from_slice(&bytes);
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                output.line(&format!("       {}", line.trim_end())).await?;
            }
        }
        Ok(())
    }
}
