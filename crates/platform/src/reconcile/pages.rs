//! The pages that an app shows in the place of the router's own: config vars `ERROR_PAGE_URL` and
//! `MAINTENANCE_PAGE_URL`, as at Heroku (Dev Center, "Error Pages and Maintenance Mode").

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use api::ids::{AppId, ReleaseId};
use router::wire::PageUrls;

use crate::{Platform, error::Result};

const ERROR: &str = "ERROR_PAGE_URL";
const MAINTENANCE: &str = "MAINTENANCE_PAGE_URL";
/// No address is longer.
const URL_BYTES: usize = 2048;

/// Addresses by app, each of the release that was current when last looked at: releases never
/// change. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReleasePages(Arc<Mutex<HashMap<AppId, (ReleaseId, PageUrls)>>>);

impl Platform {
    /// The pages of an app by its current release.
    pub(super) async fn page_urls(
        &self,
        app: AppId,
        release: Option<ReleaseId>,
    ) -> Result<PageUrls> {
        let Some(release) = release else {
            return Ok(PageUrls::default());
        };
        let known = self.release_pages.get(app, release);
        if let Some(known) = known {
            return Ok(known);
        }
        let vars = self.store.release_config_vars(release).await?;
        let url = |name: &str| vars.get(name).filter(|url| is_address(url)).cloned();
        let urls = PageUrls {
            error: url(ERROR),
            maintenance: url(MAINTENANCE),
        };
        self.release_pages.set(app, release, urls.clone());
        Ok(urls)
    }
}

impl ReleasePages {
    fn get(&self, app: AppId, release: ReleaseId) -> Option<PageUrls> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, urls) = all.get(&app)?;
        (*of == release).then(|| urls.clone())
    }

    fn set(&self, app: AppId, release: ReleaseId, urls: PageUrls) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(app, (release, urls));
    }

    /// Drops what is known of an app that is gone.
    pub(crate) fn forget(&self, app: AppId) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&app);
    }
}

/// Whether a browser may be sent there. Anything else is no page, and shown as if it were not set.
fn is_address(url: &str) -> bool {
    let is_plain =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\'');
    (url.starts_with("https://") || url.starts_with("http://"))
        && url.len() <= URL_BYTES
        && url.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_pages() {
        for (url, expected) in [
            ("https://example.com/error.html?x=1", true),
            ("http://example.com", true),
            ("javascript:alert(1)", false),
            ("//example.com", false),
            ("https://example.com/\"><script>", false),
            ("https://example.com/a b", false),
            ("", false),
        ] {
            assert_eq!(is_address(url), expected, "{url}");
        }
    }
}
