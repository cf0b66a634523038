//! How many dynos of which size: reading and scaling an app's formation.

use api::{ids::AppId, names::ProcessType};
use logs::LogSource;
use store::{Formation, FormationUpdate};

use crate::{
    Caller, Platform,
    error::{Error, Result},
    sizes::Sizes,
};

/// Dynos of one app at most (Heroku: 100).
const QUANTITY_LIMIT: u32 = 100;

/// A wish to scale one process type; what is absent stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaling {
    /// The process type.
    pub process_type: String,
    /// How many dynos.
    pub quantity: Option<u32>,
    /// Their size, in any case.
    pub size: Option<String>,
}

impl Platform {
    /// The formation, by process type.
    pub async fn formation(&self, app: AppId) -> Result<Vec<Formation>> {
        Ok(self.store.formation(app).await?)
    }

    /// Scales; all of it or nothing. Returns the rows that were named.
    ///
    /// # Errors
    /// `NotFound` for a process type the app does not have, `Invalid` for a size or quantity.
    pub async fn update_formation(
        &self,
        caller: &Caller,
        app: AppId,
        scalings: &[Scaling],
    ) -> Result<Vec<Formation>> {
        let present = self.store.formation(app).await?;
        let updates = scalings
            .iter()
            .map(|scaling| check(scaling, &present, &self.settings.sizes))
            .collect::<Result<Vec<FormationUpdate>>>()?;
        check_total(&present, &updates)?;
        let formation = self
            .store
            .update_formation(&caller.change(), app, &updates)
            .await?;
        let changed: Vec<Formation> = formation
            .into_iter()
            .filter(|row| {
                updates
                    .iter()
                    .any(|update| update.process_type == row.process_type)
            })
            .collect();
        let list: Vec<String> = changed
            .iter()
            .map(|row| format!("{}@{}:{}", row.process_type, row.quantity, row.size))
            .collect();
        let text = format!("Scaled to {} by user {}", list.join(" "), caller.email);
        self.say(app, LogSource::App, "api", text).await;
        self.nudges.nudge(app);
        Ok(changed)
    }
}

/// Refuses to grow beyond what one app may have.
fn check_total(present: &[Formation], updates: &[FormationUpdate]) -> Result<()> {
    let wanted = |row: &Formation| {
        let update = updates
            .iter()
            .rfind(|update| update.process_type == row.process_type);
        update
            .and_then(|update| update.quantity)
            .unwrap_or(row.quantity)
    };
    let before: u32 = present.iter().map(|row| row.quantity).sum();
    let after: u32 = present.iter().map(wanted).sum();
    if after > QUANTITY_LIMIT && after > before {
        return Err(Error::Invalid {
            message: format!("Cannot scale an app to more than {QUANTITY_LIMIT} dynos."),
        });
    }
    Ok(())
}

fn check(scaling: &Scaling, present: &[Formation], sizes: &Sizes) -> Result<FormationUpdate> {
    let unknown = || Error::NotFound {
        resource: "process_type",
        name: scaling.process_type.clone(),
    };
    let process_type: ProcessType = scaling.process_type.parse().map_err(|_| unknown())?;
    if process_type.is_release() || !present.iter().any(|row| row.process_type == process_type) {
        return Err(unknown());
    }
    if scaling
        .quantity
        .is_some_and(|quantity| quantity > QUANTITY_LIMIT)
    {
        return Err(Error::Invalid {
            message: format!("Cannot scale {process_type} to more than {QUANTITY_LIMIT} dynos."),
        });
    }
    let size =
        match &scaling.size {
            None => None,
            Some(size) => Some(sizes.find(size).map(|size| size.name.clone()).ok_or_else(
                || Error::Invalid {
                    message: format!(
                        "Couldn't find that dyno size: {size}. Known sizes: {}.",
                        sizes.names().collect::<Vec<_>>().join(", ")
                    ),
                },
            )?),
        };
    Ok(FormationUpdate {
        process_type,
        quantity: scaling.quantity,
        size,
    })
}
