//! Files that the router serves straight from an app's slug, without a dyno: while those sleep, crash
//! or change, too.
//!
//! [`Files::find`] looks whether a request asks for one; [`respond()`] answers with it. Who asks for
//! anything else is told nothing here, and the request goes on to a dyno. [`path`] and [`lookup`] are
//! the two walls around the slug.

mod body;
mod conditions;
mod kinds;
mod lookup;
mod path;
mod respond;

use std::{io, path::Path, sync::Arc};

use api::edge::{Immutable, StaticFiles};
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, ACCEPT_ENCODING, RANGE},
};

pub(crate) use self::{body::FileBody, respond::respond};
use self::{
    lookup::{File, Found, Layers, Patience},
    path::{Wanted, wanted},
};
use crate::{
    compression::{Coding, is_text_like, ranked},
    edge::Prefixes,
    proxy::Head,
    wire::AppExtras,
};

/// What a folder shows of itself.
const INDEX: &str = "index.html";
/// A year.
const FOREVER_SECONDS: u32 = 365 * 24 * 3600;

/// The files of an app's release that requests may be answered with.
#[derive(Debug)]
pub(crate) struct Files {
    rules: Prefixes<Rule>,
    /// Names of layers, topmost first.
    layers: Vec<String>,
}

#[derive(Debug)]
struct Rule {
    folder: String,
    /// Bytes of the prefix, which a file's path does not have.
    stripped: usize,
    max_age_seconds: u32,
    immutable: Immutable,
    fallback: Option<String>,
}

/// What a request asks for.
#[derive(Debug)]
pub(crate) enum Hit {
    File(Shown),
    /// It is a folder, whose address ends in a slash.
    Folder,
}

/// A file that is there.
#[derive(Debug)]
pub(crate) struct Shown {
    file: File,
    kind: &'static str,
    /// How the file is compressed, if it is one that was compressed beforehand.
    coding: Option<Coding>,
    cache: Cache,
    tag: String,
}

/// How long clients may use it without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cache {
    Forever,
    Seconds(u32),
}

/// What is looked for, with nothing borrowed: it may take a thread that waits for a disk.
#[derive(Clone, Debug)]
struct Search {
    layers: Layers,
    wanted: Wanted,
    codings: Vec<Coding>,
    fallback: Option<String>,
}

/// What was found.
enum Seen {
    File {
        file: File,
        path: String,
        coding: Option<Coding>,
        is_fallback: bool,
    },
    Folder,
    Nothing,
}

impl Files {
    /// What an app's settings and slug come to; `None` for an app without files.
    pub(crate) fn build(extras: &AppExtras) -> Option<Arc<Self>> {
        let settings = &extras.edge.static_files;
        let is_name = |name: &String| {
            !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0'])
        };
        if settings.is_empty() || extras.layers.is_empty() || !extras.layers.iter().all(is_name) {
            return None;
        }
        let rules = settings
            .iter()
            .map(|setting| (setting.prefix.clone(), rule(setting)));
        Some(Arc::new(Self {
            rules: Prefixes::new(rules),
            layers: extras.layers.iter().rev().cloned().collect(),
        }))
    }

    /// Whether there may be a file for this path.
    pub(crate) fn covers(&self, path: &str) -> bool {
        self.rules.find(path).is_some()
    }

    /// The file that a request asks for, if there is one; `layers` is where the layers lie.
    pub(crate) async fn find(&self, layers: &Path, head: &Head) -> Option<Hit> {
        let path = head.target.path();
        let rule = self.rules.find(path)?;
        let search = Search {
            layers: Layers {
                directories: self.layers.iter().map(|name| layers.join(name)).collect(),
            },
            wanted: wanted(&rule.folder, path.get(rule.stripped..)?)?,
            codings: codings(&head.headers),
            fallback: rule.fallback_for(&head.headers),
        };
        let seen = match search.run(Patience::None) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let patient = tokio::task::spawn_blocking(move || search.run(Patience::Disk));
                patient.await.unwrap_or_else(|error| Err(error.into()))
            }
            other => other,
        };
        match seen {
            Ok(Seen::File {
                file,
                path,
                coding,
                is_fallback,
            }) => Some(Hit::File(rule.shown(file, &path, coding, is_fallback))),
            Ok(Seen::Folder) => Some(Hit::Folder),
            Ok(Seen::Nothing) => None,
            Err(error) => {
                // Perhaps a layer that is gone: a dyno still has it.
                tracing::debug!(%error, host = head.host, "cannot look for a static file");
                None
            }
        }
    }
}

fn rule(setting: &StaticFiles) -> Rule {
    Rule {
        folder: setting.folder.clone(),
        stripped: setting.prefix.trim_end_matches('/').len(),
        max_age_seconds: setting.max_age_seconds.unwrap_or(0),
        immutable: setting.immutable,
        fallback: setting.fallback.clone(),
    }
}

impl Rule {
    /// The file for pages that are not there: for those who want a page, not for a missing picture.
    fn fallback_for(&self, headers: &HeaderMap) -> Option<String> {
        let fallback = self.fallback.as_ref()?;
        let accepts = headers.get_all(ACCEPT).iter();
        let wants_page = accepts
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.contains("text/html"));
        let path = wanted(
            &self.folder,
            &format!("/{}", fallback.trim_start_matches('/')),
        )?;
        wants_page.then_some(path.path)
    }

    fn shown(&self, file: File, path: &str, coding: Option<Coding>, is_fallback: bool) -> Shown {
        let is_forever = match self.immutable {
            Immutable::All => true,
            Immutable::Hashed => path::is_hashed(path),
            Immutable::None => false,
        };
        let cache = if is_fallback {
            Cache::Seconds(0)
        } else if is_forever {
            Cache::Forever
        } else {
            Cache::Seconds(self.max_age_seconds)
        };
        let [inode, size, seconds, nanoseconds] = file.identity;
        // Time and size alone could stay the same from one release to the next.
        let tag = format!("\"{inode:x}-{size:x}-{seconds:x}.{nanoseconds:x}\"");
        Shown {
            file,
            kind: kinds::kind(path),
            coding,
            cache,
            tag,
        }
    }
}

/// In which codings a file may come that was compressed beforehand, the best first. Parts are told of
/// the file as it is.
fn codings(headers: &HeaderMap) -> Vec<Coding> {
    if headers.contains_key(RANGE) {
        return Vec::new();
    }
    let accepted = headers.get_all(ACCEPT_ENCODING).iter();
    ranked(accepted.filter_map(|value| HeaderValue::to_str(value).ok()))
}

impl Search {
    fn run(&self, patience: Patience) -> io::Result<Seen> {
        let find = |path: &str| self.layers.find(path, patience);
        let mut path = self.wanted.path.clone();
        if self.wanted.is_folder {
            path = format!("{path}/{INDEX}");
        }
        match find(&path)? {
            Found::File(file) => return self.file(file, path, false, patience),
            Found::Folder if !self.wanted.is_folder => {
                if let Found::File(_) = find(&format!("{path}/{INDEX}"))? {
                    return Ok(Seen::Folder);
                }
            }
            Found::Folder | Found::Nothing => {}
        }
        if let Some(fallback) = &self.fallback
            && let Found::File(file) = find(fallback)?
        {
            return self.file(file, fallback.clone(), true, patience);
        }
        Ok(Seen::Nothing)
    }

    /// The file, or its compressed neighbour.
    fn file(
        &self,
        file: File,
        path: String,
        is_fallback: bool,
        patience: Patience,
    ) -> io::Result<Seen> {
        let mut seen = (file, None);
        if is_text_like(kinds::kind(&path)) {
            for coding in &self.codings {
                let neighbour = format!("{path}.{}", ending(*coding));
                if let Found::File(file) = self.layers.find(&neighbour, patience)? {
                    seen = (file, Some(*coding));
                    break;
                }
            }
        }
        let (file, coding) = seen;
        Ok(Seen::File {
            file,
            path,
            coding,
            is_fallback,
        })
    }
}

/// The end of the name of files that are compressed so.
fn ending(coding: Coding) -> &'static str {
    match coding {
        Coding::Zstd => "zst",
        Coding::Brotli => "br",
        Coding::Gzip => "gz",
    }
}
