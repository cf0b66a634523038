//! Promotions: the slug that one app of a pipeline runs is released on others, without a build.
//!
//! Each target gets a copy of the slug's row, over the same layers, and a release of its own with its
//! own config vars, release phase and boot. How a target stands is how that release stands.

use std::collections::BTreeSet;

use api::{
    ids::{AppId, PipelinePromotionId, ReleaseId},
    pipeline_promotions::{NewPipelinePromotion, TargetStatus},
};
use store::{
    App, PipelineCoupling, PipelinePromotion, PromotionTarget, Release, ReleaseStatus, Slug,
};

use crate::{
    Platform,
    authorize::{Action, Bearer, Target},
    caller::{Caller, system_change},
    error::{Error, Result},
    pipelines::{invalid, unknown},
};

/// Apps that one promotion may go to.
const MOST_TARGETS: usize = 100;
/// What is said of targets that nobody got to before the server ended.
const CUT_OFF: &str = "The platform was restarted before the slug was released here.";

impl Platform {
    /// Releases the slug of one app on others of the same pipeline. Returns when each has a release
    /// or an error; the releases go on by themselves.
    ///
    /// # Errors
    /// `Invalid` for apps that are not in the pipeline, and for a source without a live slug;
    /// `Forbidden` and `NotFound` for apps that the bearer may not deploy.
    pub async fn promote(
        &self,
        bearer: &Bearer,
        new: &NewPipelinePromotion,
    ) -> Result<PipelinePromotion> {
        let id = new.pipeline.id;
        let pipeline = self
            .admitted_pipeline(bearer, Action::ReadPipeline, id)
            .await?;
        let couplings = self.store.couplings_of_pipeline(pipeline.id).await?;
        let targets = chosen_targets(new, &couplings).map_err(invalid)?;
        let source = new.source.app.id.to_string();
        let source = self.admitted_app(bearer, Action::ReadCode, &source).await?;
        let mut apps = Vec::new();
        for target in &targets {
            let target = target.to_string();
            apps.push(self.admitted_app(bearer, Action::Deploy, &target).await?);
        }
        let wanted = new.source.release.and_then(|release| release.id);
        let (release, slug) = self.promoted(&source, wanted).await?;
        let caller = &bearer.caller;
        let promotion = self
            .store
            .create_pipeline_promotion(
                &caller.change(),
                pipeline.id,
                (source.id, release.id),
                &targets,
            )
            .await?;
        for target in self.store.promotion_targets(promotion.id).await? {
            let Some(app) = apps.iter().find(|app| app.id == target.app) else {
                continue;
            };
            let released = self
                .release_there(caller, (&source, &release, &slug), app)
                .await;
            let outcome = match released {
                Ok(release) => Ok(release.id),
                Err(error) => Err(said(&error)),
            };
            self.store
                .note_promotion_target(&caller.change(), &target, &outcome)
                .await?;
        }
        Ok(promotion)
    }

    /// What is promoted: the release asked for, or the one that runs.
    async fn promoted(&self, source: &App, wanted: Option<ReleaseId>) -> Result<(Release, Slug)> {
        let release = if let Some(id) = wanted {
            self.store.release(source.id, id).await?
        } else {
            let releases = self.store.releases(source.id).await?;
            let current = releases.into_iter().find(|release| release.is_current);
            current.ok_or_else(|| invalid("The source app has no release yet."))?
        };
        let missing = "The source app runs no slug that could be promoted.";
        let slug = release.slug.ok_or_else(|| invalid(missing))?;
        if release.status != ReleaseStatus::Succeeded {
            return Err(invalid("The source app's release is not live."));
        }
        Ok((release, self.store.slug(slug).await?))
    }

    async fn release_there(
        &self,
        caller: &Caller,
        (source, release, slug): (&App, &Release, &Slug),
        target: &App,
    ) -> Result<Release> {
        let copy = self
            .store
            .copy_slug(&caller.change(), slug.id, target.id)
            .await?;
        let commit = slug.commit.as_deref().unwrap_or("slug");
        let commit = commit.get(..8).unwrap_or(commit);
        let description = format!("Promote {} v{} {commit}", source.name, release.version);
        self.create_release(caller, target.id, copy.id, Some(description))
            .await
    }

    /// A promotion by id, of a pipeline that the bearer may know of.
    pub async fn promotion(&self, bearer: &Bearer, identity: &str) -> Result<PipelinePromotion> {
        let missing = || unknown("pipeline promotion", identity);
        let id: PipelinePromotionId = identity.parse().map_err(|_| missing())?;
        let promotion = self.store.pipeline_promotion(id).await?;
        let pipeline = self.store.pipeline(promotion.pipeline).await?;
        let target = Target::Pipeline(&pipeline);
        let allowed = self.authorize(Some(bearer), Action::ReadPipeline, target);
        match allowed.await {
            Err(Error::NotFound { .. }) => Err(missing()),
            allowed => allowed.map(|()| promotion),
        }
    }

    /// The targets of a promotion, how each stands, and why it failed.
    pub async fn promotion_targets(
        &self,
        promotion: PipelinePromotionId,
    ) -> Result<Vec<(PromotionTarget, TargetStatus, Option<String>)>> {
        let mut standing = Vec::new();
        for target in self.store.promotion_targets(promotion).await? {
            let release = match target.release {
                Some(release) => self.store.release(target.app, release).await.map(Some),
                None => Ok(None),
            };
            let release = match release {
                Err(store::StoreError::NotFound { .. }) => None,
                other => other?,
            };
            let (status, why) = stands(&target, release.as_ref());
            standing.push((target, status, why));
        }
        Ok(standing)
    }

    /// Says of targets that were cut off by the server's end that they failed.
    pub(crate) async fn fail_interrupted_promotions(&self) -> Result<()> {
        let change = system_change("the server was restarted");
        for target in self.store.open_promotion_targets().await? {
            let outcome = Err(CUT_OFF.to_owned());
            self.store
                .note_promotion_target(&change, &target, &outcome)
                .await?;
        }
        Ok(())
    }
}

/// The apps that a promotion is to go to.
fn chosen_targets(
    new: &NewPipelinePromotion,
    couplings: &[PipelineCoupling],
) -> Result<Vec<AppId>, &'static str> {
    let coupled: BTreeSet<AppId> = couplings.iter().map(|coupling| coupling.app).collect();
    let targets: BTreeSet<AppId> = new.targets.iter().map(|target| target.app.id).collect();
    if targets.is_empty() {
        return Err("Name at least one target app.");
    }
    if targets.len() > MOST_TARGETS {
        return Err("There are too many target apps.");
    }
    if targets.contains(&new.source.app.id) {
        return Err("An app cannot be promoted to itself.");
    }
    if !coupled.contains(&new.source.app.id) || !targets.is_subset(&coupled) {
        return Err("The source app and all target apps must be in the pipeline.");
    }
    Ok(targets.into_iter().collect())
}

/// How a target stands by its release, and why it failed.
fn stands(target: &PromotionTarget, release: Option<&Release>) -> (TargetStatus, Option<String>) {
    let failed = |why: &str| (TargetStatus::Failed, Some(why.to_owned()));
    match (&target.error_message, release) {
        (Some(why), _) => failed(why),
        (None, None) if target.release.is_some() => failed("The app is gone."),
        (None, None) => (TargetStatus::Pending, None),
        (None, Some(release)) => match release.status {
            ReleaseStatus::Pending => (TargetStatus::Pending, None),
            ReleaseStatus::Succeeded => (TargetStatus::Succeeded, None),
            ReleaseStatus::Failed => failed(&format!(
                "Release v{} failed: see its log.",
                release.version
            )),
        },
    }
}

/// What may be told of an error to who looks at a promotion.
fn said(error: &Error) -> String {
    match error {
        Error::Invalid { message } | Error::Conflict { message } => message.clone(),
        Error::NotFound { .. } => error.to_string(),
        other => {
            tracing::error!(
                error = other as &dyn std::error::Error,
                "cannot release a promoted slug"
            );
            "The slug could not be released here.".to_owned()
        }
    }
}
