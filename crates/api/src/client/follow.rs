//! Following a build to its end and its release until it is live or has failed.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Client, ClientError, OutputStream};
use crate::{
    builds::{Build, BuildStatus},
    ids::{BuildId, ReleaseId},
    releases::{Release, ReleaseStatus},
};

/// Pause between two looks at something that is pending.
const POLL: Duration = Duration::from_millis(300);
/// A build or release whose output has ended is settled within this time.
const SETTLE_WAIT: Duration = Duration::from_mins(10);

impl Client {
    /// A build's output from its beginning; `None` for a build that has ended without any.
    pub async fn build_output(
        &self,
        app: &str,
        build: &Build,
    ) -> Result<Option<OutputStream>, ClientError> {
        loop {
            match self.stream_output(&build.output_stream_url).await {
                Ok(pieces) => return Ok(Some(pieces)),
                // There is none yet.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
            if self.build(app, build.id).await?.status != BuildStatus::Pending {
                return Ok(None);
            }
            sleep(POLL).await;
        }
    }

    /// Waits until a build has failed or has led to a release; `None` if it does neither in time.
    pub async fn settled_build(
        &self,
        app: &str,
        id: BuildId,
    ) -> Result<Option<Build>, ClientError> {
        let deadline = Instant::now() + SETTLE_WAIT;
        loop {
            let build = self.build(app, id).await?;
            let is_settled = match build.status {
                BuildStatus::Pending => false,
                BuildStatus::Succeeded => build.release.is_some(),
                BuildStatus::Failed => true,
            };
            if is_settled {
                return Ok(Some(build));
            }
            if Instant::now() > deadline {
                return Ok(None);
            }
            sleep(POLL).await;
        }
    }

    /// Waits until a release is live or has failed; `None` if it is neither in time.
    pub async fn settled_release(
        &self,
        app: &str,
        id: ReleaseId,
    ) -> Result<Option<Release>, ClientError> {
        let deadline = Instant::now() + SETTLE_WAIT;
        loop {
            let release = self.release(app, &id.to_string()).await?;
            if release.status != ReleaseStatus::Pending {
                return Ok(Some(release));
            }
            if Instant::now() > deadline {
                return Ok(None);
            }
            sleep(POLL).await;
        }
    }
}
