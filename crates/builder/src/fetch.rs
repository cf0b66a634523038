//! Sources from elsewhere: an archive or a repository at a URL, fetched in a build dyno.
//!
//! The dyno's network is the guard: whatever a name resolves to, and wherever a server redirects, no
//! build reaches the host, a neighbour or a private network that the operator has not opened. What
//! comes out is one archive, as if it had been uploaded; what is in it is looked at later. Read
//! [`Builder::fetch`] first.

pub mod address;

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use api::{
    ids::{AppId, BuildId},
    names::StackName,
};
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use self::address::{ArchiveUrl, Reference, RepositoryUrl};
use crate::{
    archive::hex,
    build::{Builder, Listed},
    error::BuildError,
    execute::Execution,
    journal::Journal,
    layers::Layer,
    output::Output,
    plan::Step,
    source_tree::SourceTree,
};

/// Longest a source may take to come.
const FETCH_TIMEOUT: Duration = Duration::from_mins(10);
/// Largest archive, as for uploads.
const LARGEST_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Where the scripts leave what they made of it, below `/app`.
const ARCHIVE: &str = "source.tar";
/// Where they leave an archive as it came.
const FETCHED: &str = "fetched";
const COMMIT: &str = "commit";
const KNOWN_HOSTS: &str = "known_hosts";

const FETCH_ARCHIVE: &str = include_str!("fetch/archive.sh");
const FETCH_REPOSITORY: &str = include_str!("fetch/repository.sh");

/// One source to fetch.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    /// The build it is for.
    pub build: BuildId,
    /// The app.
    pub app: AppId,
    /// The stack whose programs fetch it.
    pub stack: StackName,
    /// What to fetch.
    pub origin: Origin,
    /// The file to write; its directory exists.
    pub target: PathBuf,
}

/// Where a source is.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A tar, tar.gz or tar.zst.
    Archive(ArchiveUrl),
    /// A commit of a git repository.
    Repository {
        /// Which repository.
        url: RepositoryUrl,
        /// A branch or tag; the repository's own choice if there is none.
        reference: Option<Reference>,
        /// How to get in, where not everybody may.
        access: Option<Access>,
    },
}

/// A key that opens one repository, and what its server showed before.
#[derive(Clone)]
pub struct Access {
    /// An OpenSSH private key.
    pub private_key: String,
    /// Lines of OpenSSH's `known_hosts`; a server that is not in it is believed once.
    pub known_hosts: String,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

/// What was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// `SHA256:…` of an archive as it came.
    pub checksum: Option<String>,
    /// The commit, of a repository.
    pub commit: Option<String>,
    /// What the repository's server has shown, for the next time.
    pub known_hosts: String,
}

impl Builder {
    /// Fetches a source into a file. What fetching prints goes out as in [`Builder::carry_out`].
    ///
    /// Dropping the future stops and removes the dyno.
    ///
    /// # Errors
    /// [`BuildError::is_about_the_source`] tells the address' fault from the machine's.
    pub async fn fetch(
        &self,
        request: FetchRequest,
        output: mpsc::Sender<String>,
    ) -> Result<Fetched, BuildError> {
        let _running = Listed::new(&self.running, request.build);
        let mut errors = Output::new(output.clone());
        let work = Box::pin(self.bring(request, Output::new(output)));
        let result = tokio::time::timeout(FETCH_TIMEOUT, work).await;
        let result = result.unwrap_or_else(|_| {
            Err(BuildError::TimedOut {
                minutes: FETCH_TIMEOUT.as_secs() / 60,
            })
        });
        if let Err(error) = &result {
            for line in error.lines() {
                errors.notice(&line).await;
            }
        }
        result
    }

    async fn bring(
        &self,
        request: FetchRequest,
        mut output: Output,
    ) -> Result<Fetched, BuildError> {
        output
            .heading(&format!("Fetching {}", request.origin))
            .await;
        let layers = self.workshop.layers.clone();
        let made = layers.prepare().and_then(|()| layers.draft());
        let draft = made.map_err(BuildError::host("make room for the source"))?;
        let ids = (request.build, request.app, request.stack);
        let tree = SourceTree::new(draft.path());
        // There is no source yet: no step is put upon it.
        let nothing = Layer {
            key: String::new(),
            size_bytes: 0,
        };
        // What is on record of a build begins with its source.
        let journal = Journal::new("");
        let mut execution = Execution::new(
            self.workshop.clone(),
            ids,
            (tree.clone(), nothing),
            output,
            journal,
        );
        let step = step(&request.origin);
        execution.run_aside(&step, &draft).await?;
        let (from, target) = (draft.path(), request.target);
        let is_archive = matches!(request.origin, Origin::Archive(_));
        let taken = tokio::task::spawn_blocking(move || {
            take(&from.join(ARCHIVE), &mut fs::File::create(target)?)?;
            let fetched = is_archive.then(|| from.join(FETCHED));
            fetched.map(|from| take(&from, &mut io::sink())).transpose()
        });
        let taken = taken.await;
        let checksum = taken
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(BuildError::host("take over the source"))?;
        let commit = tree.read_text(COMMIT).filter(|text| is_commit(text.trim()));
        Ok(Fetched {
            checksum,
            commit: commit.map(|text| text.trim().to_owned()),
            known_hosts: tree.read_text(KNOWN_HOSTS).unwrap_or_default(),
        })
    }
}

/// The step that fetches. Addresses and keys go by the environment: no shell reads them as its own.
fn step(origin: &Origin) -> Step {
    let (script, environment, advice) = match origin {
        Origin::Archive(url) => (
            FETCH_ARCHIVE,
            vec![("SOURCE_URL", url.to_string())],
            "hint: the URL must answer a plain GET, from a network that builds may reach",
        ),
        Origin::Repository {
            url,
            reference,
            access,
        } => {
            let reference = reference.as_ref().map_or("HEAD", Reference::as_str);
            let mut environment = vec![
                ("SOURCE_URL", url.to_string()),
                ("SOURCE_REFERENCE", reference.to_owned()),
            ];
            if let Some(access) = access {
                environment.push(("DEPLOY_KEY", access.private_key.clone()));
                environment.push(("KNOWN_HOSTS", access.known_hosts.clone()));
            }
            let advice = "hint: does the branch exist? A private repository needs an SSH address \
                          and the app's deploy key";
            (FETCH_REPOSITORY, environment, advice)
        }
    };
    let command = ["bash", "-euc", script].map(str::to_owned).to_vec();
    let mut step = Step::run("fetch-source", command);
    step.env = environment
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect::<BTreeMap<_, _>>();
    step.is_reusable = false;
    step.advice = vec![advice.to_owned()];
    step
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // What follows the `?` is often a signature that gives access.
            Self::Archive(url) => {
                let url = url.to_string();
                f.write_str(url.split('?').next().unwrap_or_default())
            }
            Self::Repository { url, reference, .. } => match reference {
                Some(reference) => write!(f, "{url}, {}", reference.as_str()),
                None => write!(f, "{url}"),
            },
        }
    }
}

/// Copies a file that a dyno left, which must be one and not too large; its checksum.
fn take(from: &Path, target: &mut impl io::Write) -> io::Result<String> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let source = fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(from)?;
    let metadata = source.metadata()?;
    if !metadata.is_file() || metadata.len() > LARGEST_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("the source is larger than {LARGEST_BYTES} bytes"),
        ));
    }
    let mut hashing = Hashing {
        target,
        hash: Sha256::new(),
    };
    io::copy(&mut io::Read::take(source, LARGEST_BYTES), &mut hashing)?;
    Ok(format!("SHA256:{}", hex(&hashing.hash.finalize())))
}

struct Hashing<'a, W> {
    target: &'a mut W,
    hash: Sha256,
}

impl<W: io::Write> io::Write for Hashing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.target.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.target.flush()
    }
}

/// SHA-1 or SHA-256 in hexadecimal.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::plan::Action;

    #[test]
    fn addresses_and_keys_are_no_part_of_the_script() {
        let origin = Origin::Repository {
            url: "ssh://git@example.com/a.git".parse().unwrap(),
            reference: Some("main".parse().unwrap()),
            access: Some(Access {
                private_key: "PRIVATE".to_owned(),
                known_hosts: String::new(),
            }),
        };
        let step = step(&origin);
        let Action::Run(command) = &step.action else {
            panic!("it runs a program");
        };
        assert_eq!(command[2], FETCH_REPOSITORY);
        assert_eq!(step.env["SOURCE_URL"], "ssh://git@example.com/a.git");
        assert_eq!(step.env["SOURCE_REFERENCE"], "main");
        assert!(!format!("{origin:?}").contains("PRIVATE"));
    }

    #[test]
    fn only_a_plain_file_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("secret"), "of the host").unwrap();
        symlink(path("secret"), path("link")).unwrap();
        let mut taken = Vec::new();
        assert!(take(&path("link"), &mut taken).is_err());
        assert!(take(directory.path(), &mut taken).is_err());
        assert!(taken.is_empty());
        let checksum = take(&path("secret"), &mut taken).unwrap();
        assert_eq!(
            checksum,
            format!("SHA256:{}", hex(&Sha256::digest("of the host")))
        );
        assert_eq!(taken, b"of the host");
    }

    /// A server that answers each of these paths once a request, and counts none of the rest.
    fn serve(answers: Vec<(&'static str, Vec<u8>)>) -> std::net::SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 4096];
                let read = io::Read::read(&mut stream, &mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default();
                let found = answers.iter().find(|(known, _)| *known == path);
                let missing = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".to_vec();
                let answer = found.map_or(missing, |(_, answer)| answer.clone());
                drop(io::Write::write_all(&mut stream, &answer));
            }
        });
        address
    }

    /// Runs the script as a dyno would; the names in what came of it, if it succeeded.
    fn fetched(url: &str) -> Option<Vec<String>> {
        let directory = tempfile::tempdir().unwrap();
        let run = std::process::Command::new("bash")
            .args(["-euc", FETCH_ARCHIVE])
            .env("SOURCE_URL", url)
            .env("NO_PROXY", "*")
            .current_dir(directory.path())
            .output()
            .unwrap();
        if !run.status.success() {
            return None;
        }
        let archive = fs::File::open(directory.path().join(ARCHIVE)).unwrap();
        assert!(directory.path().join(FETCHED).exists());
        let mut archive = tar::Archive::new(archive);
        let name = |entry: io::Result<tar::Entry<'_, _>>| {
            entry.unwrap().path().unwrap().display().to_string()
        };
        let mut names: Vec<String> = archive.entries().unwrap().map(name).collect();
        names.sort();
        Some(names)
    }

    fn packed(names: &[&str]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(1);
            archive.append_data(&mut header, name, &b"x"[..]).unwrap();
        }
        let archive = archive.into_inner().unwrap();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            archive.len()
        );
        [head.as_bytes(), &archive].concat()
    }

    #[test]
    fn archives_come_as_code_hosts_pack_them() {
        let to = |place: &str| {
            format!("HTTP/1.1 302 Go\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n")
                .into_bytes()
        };
        let address = serve(vec![
            ("/plain", packed(&["Procfile", "lib/a"])),
            (
                "/packed",
                packed(&["shop-9f8e/Procfile", "shop-9f8e/lib/a"]),
            ),
            ("/one", packed(&["Procfile"])),
            ("/moved", to("/plain")),
            ("/out", to("file:///etc/passwd")),
            ("/round", to("/round")),
        ]);
        let at = |path: &str| fetched(&format!("http://{address}{path}"));
        let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(at("/plain"), names(&["Procfile", "lib/a"]));
        assert_eq!(at("/moved"), names(&["Procfile", "lib/a"]));
        assert_eq!(at("/one"), names(&["Procfile"]));
        assert_eq!(
            at("/packed"),
            names(&["./", "./Procfile", "./lib/", "./lib/a"])
        );
        for path in ["/none", "/out", "/round"] {
            assert_eq!(at(path), None, "{path}");
        }
    }
}
