//! `landfall deploy` and `landfall repository`: an app built from a git repository elsewhere, which
//! the platform fetches itself.

use std::path::Path;

use anyhow::{Context, Result, bail};
use api::{
    builds::{BuildCause, NewBuild, SourceBlob},
    client::Client,
    source_hooks::{NewSourceHook, Sender, SourceHook},
    source_repositories::{NewSourceRepository, SourceRepository},
};

use crate::{config::Surroundings, inside, own, push::follow};

/// Arguments of `landfall deploy`.
#[derive(Clone, Debug, clap::Args)]
pub struct DeployArguments {
    /// The repository, `https://…` or `git@HOST:PATH`; the app's own if left out
    pub url: Option<String>,
    /// The branch or tag; the app's own branch, or the repository's, if left out
    #[arg(long = "ref", value_name = "NAME")]
    pub reference: Option<String>,
    /// The app; that of `HEROKU_APP` or of the git remote `heroku` if left out
    #[arg(long, short)]
    pub app: Option<String>,
}

/// Arguments of `landfall repository`.
#[derive(Clone, Debug, clap::Args)]
pub struct RepositoryArguments {
    /// Where the app's source is from now on
    pub url: Option<String>,
    /// The branch that is deployed
    #[arg(long)]
    pub branch: Option<String>,
    /// Forget the repository, its deploy key and its hooks
    #[arg(long, conflicts_with_all = ["url", "branch", "hook"])]
    pub remove: bool,
    /// Make a webhook for a sender: `github`, `gitlab` or `gitea`
    #[arg(long, value_name = "SENDER")]
    pub hook: Option<Sender>,
    /// The app; that of `HEROKU_APP` or of the git remote `heroku` if left out
    #[arg(long, short)]
    pub app: Option<String>,
}

/// Runs `landfall deploy`.
pub(crate) fn deploy(ready_file: &Path, arguments: &DeployArguments) -> Result<()> {
    let app = inside::find_app(arguments.app.as_deref(), &Surroundings::of_this_process())?;
    let client = own::client(ready_file)?;
    own::run(async {
        let url = marked(&client, &app, arguments).await?;
        let new = NewBuild {
            source_blob: SourceBlob {
                url,
                ..SourceBlob::default()
            },
            cause: Some(BuildCause::Url),
            ..NewBuild::default()
        };
        let build = client.create_build(&app, &new).await?;
        follow(&client, &app, build).await
    })
}

/// The address as a build takes it.
async fn marked(client: &Client, app: &str, arguments: &DeployArguments) -> Result<String> {
    let reference = arguments.reference.clone();
    let (url, reference) = if let Some(url) = &arguments.url {
        (url.clone(), reference)
    } else {
        let own = client.source_repository(app).await.context(
            "no repository is named, and the app has none\n  hint: landfall deploy URL, or landfall \
             repository URL",
        )?;
        (own.url, reference.or(Some(own.branch)))
    };
    if url.contains('#') {
        bail!("`{url}` has a # in it\n  hint: name the branch with --ref");
    }
    Ok(match reference {
        Some(reference) => format!("git+{url}#{reference}"),
        None => format!("git+{url}"),
    })
}

/// Runs `landfall repository`.
pub(crate) fn repository(ready_file: &Path, arguments: &RepositoryArguments) -> Result<()> {
    let app = inside::find_app(arguments.app.as_deref(), &Surroundings::of_this_process())?;
    let client = own::client(ready_file)?;
    own::run(async {
        if arguments.remove {
            client.delete_source_repository(&app).await?;
            return Ok(());
        }
        let repository = match (&arguments.url, &arguments.branch) {
            (None, None) => client.source_repository(&app).await?,
            (url, branch) => {
                let url = match url {
                    Some(url) => url.clone(),
                    None => client.source_repository(&app).await?.url,
                };
                let new = NewSourceRepository {
                    url,
                    branch: branch.clone(),
                };
                client.set_source_repository(&app, &new).await?
            }
        };
        let mut lines = told(&repository);
        if let Some(sender) = arguments.hook {
            let new = NewSourceHook { sender };
            lines.extend(told_hook(&client.create_source_hook(&app, &new).await?));
        }
        print(&lines);
        Ok(())
    })
}

#[expect(clippy::print_stdout, reason = "a command's output")]
fn print(lines: &[String]) {
    println!("{}", lines.join("\n"));
}

/// One fact a line.
fn told(repository: &SourceRepository) -> Vec<String> {
    vec![
        format!("Repository: {}", repository.url),
        format!("Branch:     {}", repository.branch),
        format!("Deploy key: {}", repository.deploy_key),
    ]
}

fn told_hook(hook: &SourceHook) -> Vec<String> {
    vec![
        format!("Hook:       {} ({})", hook.url, hook.sender),
        format!("Secret:     {}", hook.secret.as_deref().unwrap_or_default()),
        "            It is not shown again. Content type: application/json, events: push."
            .to_owned(),
    ]
}
