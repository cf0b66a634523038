//! From a dyno on record to what the engine starts: layers, command, environment, limits.

use std::collections::BTreeMap;

use api::ids::DynoId;
use engine::{DynoSpec, Stdio};
use store::{Dyno, DynoKind};

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
        let mut env: BTreeMap<String, String> = slug.env;
        env.extend(self.store.release_config_vars(release.id).await?);
        Ok(DynoSpec {
            id: dyno.id,
            app: dyno.app,
            name: dyno.name.clone(),
            kind: kind(dyno.kind),
            stack: slug.stack,
            layers: slug
                .layers
                .iter()
                .map(|key| self.settings.layers_dir.join(key))
                .collect(),
            capture: None,
            binds: Vec::new(),
            command: builder::launch_command(&dyno.command),
            env,
            port: is_web(dyno).then(|| port(dyno.id)),
            limits: self.settings.sizes.limits(&dyno.size),
            stdio: Stdio::Logged,
            is_restarted_unattended: dyno.kind == DynoKind::Formation,
            labels: BTreeMap::from([("release".to_owned(), release.version.to_string())]),
        })
    }
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
