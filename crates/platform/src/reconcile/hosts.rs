//! The host's state: has the engine put back what somebody took, and remove what is nobody's.

use std::{error::Error as _, time::Duration};

use crate::Platform;

/// How often the engine looks.
const MEND_EVERY: Duration = Duration::from_secs(10);
/// The shortest time between two looks that trouble asked for.
const MEND_PAUSE: Duration = Duration::from_secs(1);

/// Mends for ever: now and then, and soon after [`Platform::host_is_in_trouble`].
#[expect(clippy::infinite_loop, reason = "runs as long as the platform")]
pub(super) async fn mend(platform: Platform) {
    let mut last_failure = None;
    loop {
        match platform.engine.mend().await {
            Ok(done) => {
                for what in done {
                    tracing::warn!(what, "the host was mended");
                }
                last_failure = None;
            }
            Err(error) => {
                // Told once: what cannot be mended is not said every ten seconds.
                let failure = (error.to_string(), error.source().map(ToString::to_string));
                if last_failure.as_ref() != Some(&failure) {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the host could not be mended"
                    );
                }
                last_failure = Some(failure);
            }
        }
        tokio::time::sleep(MEND_PAUSE).await;
        let trouble = platform.host_trouble.notified();
        // An error only says that nothing happened meanwhile.
        drop(tokio::time::timeout(MEND_EVERY, trouble).await);
    }
}

impl Platform {
    /// Has the engine look after the host soon: it has just refused something.
    pub(crate) fn host_is_in_trouble(&self) {
        self.host_trouble.notify_one();
    }
}
