//! What git is asked for, over whichever way: which app, for whom, and which half of its protocol.

use std::path::PathBuf;

use api::{
    client::Client,
    ids::{AccountId, AppId},
    names::AppName,
};

use crate::{front::Front, refusal::Refusal, repository};

/// Longest word about the protocol's version.
const LONGEST_PROTOCOL: usize = 64;

/// The app that a request is about, and the API as whoever asks.
pub(crate) struct Target {
    pub(crate) app: AppId,
    pub(crate) owner: AccountId,
    pub(crate) name: AppName,
    pub(crate) client: Client,
    pub(crate) repository: PathBuf,
}

impl Target {
    /// Asks the API whether the caller may see the app's code. What more a push needs, the API says when
    /// the push asks for a build.
    pub(crate) async fn find(front: &Front, client: Client, name: &str) -> Result<Self, Refusal> {
        let name: AppName = name.parse().map_err(|_| Refusal::no_such_app())?;
        let app = client.app_code(name.as_str()).await?;
        let repository = repository::ensure(&front.git, &front.config.git_dir, app.id).await?;
        Ok(Self {
            app: app.id,
            owner: app.owner.id,
            name: app.name,
            client,
            repository,
        })
    }
}

/// The two services of git's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    ReceivePack,
    UploadPack,
}

impl Service {
    /// As git names its command.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::ReceivePack => "receive-pack",
            Self::UploadPack => "upload-pack",
        }
    }
}

/// The protocol version that a client offers, if it looks like one.
pub(crate) fn protocol(value: &str) -> Option<String> {
    let is_valid = value.len() <= LONGEST_PROTOCOL
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"=:.-,".contains(&byte));
    is_valid.then(|| value.to_owned())
}
