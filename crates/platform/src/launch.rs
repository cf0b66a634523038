//! From a dyno on record to what the engine starts: layers, command, environment, limits.

use std::collections::BTreeMap;

use api::{ids::DynoId, names::StackName};
use engine::{DynoSpec, ImageRoot, Stdio};
use store::{Dyno, DynoKind, Slug};

use crate::{
    Platform,
    error::{Error, Result},
};

/// Ports given to web dynos; never the ones apps have as habits, so that an app that ignores
/// `$PORT` is found out on the first deploy.
const PORTS: std::ops::Range<u16> = 10_000..60_000;

impl Platform {
    /// Everything the engine needs to start a dyno on record.
    ///
    /// # Errors
    /// `NotFound` when its release, slug or app is gone.
    pub(crate) async fn spec(&self, dyno: &Dyno) -> Result<DynoSpec> {
        let app = self.store.app(dyno.app).await?;
        let release = self.store.release(dyno.app, dyno.release).await?;
        let slug = match release.slug {
            Some(slug) => self.store.slug(slug).await?,
            None => {
                return Err(Error::NotFound {
                    resource: "slug",
                    name: app.name.to_string(),
                });
            }
        };
        let vars = self.store.release_config_vars(release.id).await?;
        let mut root = if slug.is_container() {
            image_root(dyno, slug, self.settings.default_stack.clone())?
        } else {
            slug_root(dyno, slug)
        };
        root.env.extend(vars);
        Ok(DynoSpec {
            id: dyno.id,
            app: dyno.app,
            name: dyno.name.clone(),
            kind: kind(dyno.kind),
            stack: root.stack,
            layers: root
                .layers
                .iter()
                .map(|key| self.settings.layers_dir.join(key))
                .collect(),
            image: root.image,
            capture: None,
            binds: Vec::new(),
            command: root.command,
            env: root.env,
            port: is_web(dyno).then(|| port(dyno.id)),
            limits: self.settings.sizes.limits(&dyno.size),
            stdio: Stdio::Logged,
            is_restarted_unattended: dyno.kind == DynoKind::Formation,
            labels: BTreeMap::from([("release".to_owned(), release.version.to_string())]),
        })
    }
}

/// What of a dyno comes from its slug.
struct Root {
    stack: StackName,
    layers: Vec<String>,
    image: Option<ImageRoot>,
    command: Vec<String>,
    env: BTreeMap<String, String>,
}

fn slug_root(dyno: &Dyno, slug: Slug) -> Root {
    Root {
        stack: slug.stack,
        layers: slug.layers,
        image: None,
        command: builder::launch_command(&dyno.command),
        env: slug.env,
    }
}

/// What of a dyno comes from the image of its process type. A one-off dyno of no type in particular
/// runs in that of `web`, or else in the first.
fn image_root(dyno: &Dyno, mut slug: Slug, stack: StackName) -> Result<Root> {
    let is_known = slug.images.contains_key(&dyno.process_type);
    let process_type = if is_known || dyno.kind != DynoKind::OneOff {
        Some(dyno.process_type.clone())
    } else {
        let mut types = slug.images.keys();
        let web = types.clone().find(|name| name.is_web());
        web.or(types.next()).cloned()
    };
    let image = process_type.and_then(|name| Some((slug.images.remove(&name)?, name)));
    let (image, process_type) = image.ok_or_else(|| Error::NotFound {
        resource: "image",
        name: dyno.process_type.to_string(),
    })?;
    let is_its_own = slug.process_types.get(&process_type) == Some(&dyno.command);
    let command = if is_its_own {
        builder::image_command(&image.entrypoint, &image.command)
    } else {
        builder::image_override(&image.entrypoint, &dyno.command)
    };
    Ok(Root {
        stack,
        layers: image.layers,
        image: Some(ImageRoot {
            working_directory: image.working_directory.into(),
        }),
        command,
        env: image.env,
    })
}

fn is_web(dyno: &Dyno) -> bool {
    dyno.kind == DynoKind::Formation && dyno.process_type.is_web()
}

fn kind(kind: DynoKind) -> engine::DynoKind {
    match kind {
        DynoKind::Formation => engine::DynoKind::Formation,
        DynoKind::OneOff => engine::DynoKind::OneOff,
        DynoKind::Release => engine::DynoKind::Release,
    }
}

/// The port a web dyno is told to listen on, fixed by its id.
pub(crate) fn port(dyno: DynoId) -> u16 {
    let spread = dyno.as_uuid().as_u128() % u128::from(PORTS.end - PORTS.start);
    PORTS.start + u16::try_from(spread).unwrap_or(0)
}
