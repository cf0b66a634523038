//! Formations: how many dynos of each process type an app wants, and how large.

use api::{
    clock::Time,
    health_checks::HealthChecks,
    ids::{AppId, FormationId},
    names::ProcessType,
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Slug, Store, StoreError,
    columns::{Columns, Record, list},
    write::{Happening, Write},
};

/// The size of dynos of a process type that nobody has sized.
pub const DEFAULT_SIZE: &str = "standard-1x";

/// How many dynos of one process type an app wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formation {
    /// Its id.
    pub id: FormationId,
    /// Of which app.
    pub app: AppId,
    /// Of which process type.
    pub process_type: ProcessType,
    /// How many.
    pub quantity: u32,
    /// How large: `eco`, `basic`, `standard-1x`, …
    pub size: String,
    /// What they run, from the current release's slug.
    pub command: String,
    /// How its dynos are checked; `None` leaves it to the app's own files.
    pub health_checks: Option<HealthChecks>,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// A change to one process type; `None` leaves a field as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormationUpdate {
    /// Which process type.
    pub process_type: ProcessType,
    /// How many.
    pub quantity: Option<u32>,
    /// How large.
    pub size: Option<String>,
}

/// The process types a release brought and took away.
#[derive(Debug, Default)]
pub(crate) struct FormationDifference {
    pub(crate) added: Vec<ProcessType>,
    pub(crate) removed: Vec<ProcessType>,
}

impl Record for Formation {
    const RESOURCE: &'static str = "formation";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            app: columns.parsed("app_id")?,
            process_type: columns.parsed("process_type")?,
            quantity: columns.number("quantity")?,
            size: columns.text("size")?,
            command: columns.text("command")?,
            health_checks: columns.optional_json("health_checks")?,
            created_at: columns.time("created_at")?,
            updated_at: columns.time("updated_at")?,
        })
    }
}

impl Store {
    /// An app's formation, by process type.
    pub async fn formation(&self, app: AppId) -> Result<Vec<Formation>> {
        let statement = query("SELECT * FROM formations WHERE app_id = $1").bind(app.to_string());
        Ok(sorted(list(self.backend.reader(), statement).await?))
    }

    /// Scales and sizes several process types, all or none; returns the whole formation.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a process type that the current release does not have.
    pub async fn update_formation(
        &self,
        change: &Change,
        app: AppId,
        updates: &[FormationUpdate],
    ) -> Result<Vec<Formation>> {
        let mut write = self.write_app(change, app).await?;
        for update in updates {
            let statement = query(
                "UPDATE formations SET quantity = COALESCE($3, quantity),
                                       size = COALESCE($4, size), updated_at = $5
                 WHERE app_id = $1 AND process_type = $2",
            )
            .bind(app.to_string())
            .bind(update.process_type.to_string())
            .bind(update.quantity.map(i64::from))
            .bind(update.size.clone())
            .bind(write.now.as_micros());
            if write.run(statement).await? == 0 {
                return Err(StoreError::not_found("formation", &update.process_type));
            }
        }
        let formation = formation_rows(&mut write, app).await?;
        let updates: Vec<_> = updates
            .iter()
            .map(|update| {
                json!({ "process_type": update.process_type, "quantity": update.quantity,
                        "size": update.size })
            })
            .collect();
        write
            .commit(Happening {
                kind: "formation.update",
                app: Some(app),
                subject: app.to_string(),
                details: json!({ "updates": updates }),
            })
            .await?;
        Ok(formation)
    }

    /// Says how the dynos of a process type are checked; `None` leaves it to the app's own files.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a process type that the current release does not have.
    pub async fn set_health_checks(
        &self,
        change: &Change,
        app: AppId,
        process_type: &ProcessType,
        checks: Option<&HealthChecks>,
    ) -> Result<()> {
        let mut write = self.write_app(change, app).await?;
        let text = checks.map(|checks| json!(checks).to_string());
        let statement = query(
            "UPDATE formations SET health_checks = $3, updated_at = $4
             WHERE app_id = $1 AND process_type = $2",
        )
        .bind(app.to_string())
        .bind(process_type.to_string())
        .bind(text)
        .bind(write.now.as_micros());
        if write.run(statement).await? == 0 {
            return Err(StoreError::not_found("formation", process_type));
        }
        // Without what is in the checks: headers and commands may hold secrets.
        let details = json!({ "process_type": process_type, "is_set": checks.is_some() });
        write
            .commit(Happening {
                kind: "health-checks.update",
                app: Some(app),
                subject: app.to_string(),
                details,
            })
            .await
    }
}

/// Gives the app exactly the process types of its new slug, keeping quantities and sizes of those
/// it had. A first web dyno runs at once, other types wait to be scaled.
pub(crate) async fn follow_slug(write: &mut Write<'_>, slug: &Slug) -> Result<FormationDifference> {
    let mut difference = FormationDifference::default();
    let former = formation_rows(write, slug.app).await?;
    for formation in &former {
        let process_type = &formation.process_type;
        match slug.process_types.get(process_type) {
            Some(command) if *command == formation.command => {}
            Some(command) => set_command(write, formation.id, command).await?,
            None => {
                let statement = query("DELETE FROM formations WHERE id = $1");
                write.run(statement.bind(formation.id.to_string())).await?;
                difference.removed.push(process_type.clone());
            }
        }
    }
    for (process_type, command) in &slug.process_types {
        let is_new = former
            .iter()
            .all(|formation| formation.process_type != *process_type);
        if is_new && !process_type.is_release() {
            insert(write, slug.app, process_type, command).await?;
            difference.added.push(process_type.clone());
        }
    }
    Ok(difference)
}

async fn formation_rows(write: &mut Write<'_>, app: AppId) -> Result<Vec<Formation>> {
    let statement = query("SELECT * FROM formations WHERE app_id = $1").bind(app.to_string());
    Ok(sorted(list(write.connection(), statement).await?))
}

async fn set_command(write: &mut Write<'_>, id: FormationId, command: &str) -> Result<()> {
    let statement = query("UPDATE formations SET command = $2, updated_at = $3 WHERE id = $1")
        .bind(id.to_string())
        .bind(command.to_owned())
        .bind(write.now.as_micros());
    write.run(statement).await?;
    Ok(())
}

async fn insert(
    write: &mut Write<'_>,
    app: AppId,
    process_type: &ProcessType,
    command: &str,
) -> Result<()> {
    let statement = query(
        "INSERT INTO formations (id, app_id, process_type, quantity, size, command, created_at,
                                 updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
    )
    .bind(FormationId::new().to_string())
    .bind(app.to_string())
    .bind(process_type.to_string())
    .bind(i64::from(process_type.is_web()))
    .bind(DEFAULT_SIZE)
    .bind(command.to_owned())
    .bind(write.now.as_micros());
    write.run(statement).await?;
    Ok(())
}

/// Here and not in SQL, because databases differ in how they order text.
fn sorted(mut formation: Vec<Formation>) -> Vec<Formation> {
    formation.sort_by(|a, b| a.process_type.cmp(&b.process_type));
    formation
}
