//! The registry's rows: who may read which blob, manifests, tags, and what is forgotten.

use std::{collections::BTreeSet, time::Duration};

use store::NewImageManifest;

use crate::fixture::change;

fn manifest(app: api::ids::AppId, digest: &str, parts: &[&str]) -> NewImageManifest {
    NewImageManifest {
        app,
        process_type: "web".parse().unwrap(),
        digest: digest.to_owned(),
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        artifact_type: None,
        subject: None,
        size_bytes: 10,
        parts: parts.iter().map(|part| (*part).to_owned()).collect(),
        tag: Some("latest".to_owned()),
    }
}

case! {
    async fn blobs_are_of_apps_and_forgotten_when_nothing_is_made_of_them(f: Fixture) {
        let (shop, other) = (f.app("shop").await, f.app("other").await);
        for (app, digest) in [(&shop, "sha256:a"), (&shop, "sha256:b"), (&other, "sha256:b")] {
            f.store.put_image_blob(&change(), app.id, digest, 100).await.unwrap();
            // Said twice, kept once.
            f.store.put_image_blob(&change(), app.id, digest, 100).await.unwrap();
        }
        assert_eq!(f.store.image_blob(other.id, "sha256:a").await.unwrap(), None);
        assert_eq!(f.store.image_blob(shop.id, "sha256:a").await.unwrap(), Some(100));
        f.store.put_image_manifest(&change(), &manifest(shop.id, "sha256:m", &["sha256:a"])).await.unwrap();
        assert_eq!(f.store.image_bytes_of(f.owner.id).await.unwrap(), 310);
        let early = f.store.forget_unused_image_blobs(&change(), f.clock.now()).await.unwrap();
        assert_eq!(early, 0, "they came just now");
        f.clock.advance(Duration::from_secs(1));
        let removed = f.store.forget_unused_image_blobs(&change(), f.clock.now()).await.unwrap();
        assert_eq!(removed, 2);
        let used = ["sha256:a", "sha256:m"].map(str::to_owned);
        assert_eq!(f.store.image_blobs_in_use().await.unwrap(), BTreeSet::from(used));
        f.store.delete_app(&change(), shop.id).await.unwrap();
        assert!(f.store.image_blobs_in_use().await.unwrap().is_empty());
    }
}

case! {
    async fn manifests_have_tags_and_what_is_attached(f: Fixture) {
        let app = f.app("shop").await;
        let (web, worker) = ("web".parse().unwrap(), "worker".parse().unwrap());
        f.store.put_image_manifest(&change(), &manifest(app.id, "sha256:one", &[])).await.unwrap();
        f.store.put_image_manifest(&change(), &manifest(app.id, "sha256:two", &[])).await.unwrap();
        let latest = f.store.image_manifest(app.id, &web, "latest").await.unwrap().unwrap();
        assert_eq!(latest.digest, "sha256:two");
        assert!(f.store.image_manifest(app.id, &web, "sha256:one").await.unwrap().is_some());
        assert!(f.store.image_manifest(app.id, &worker, "sha256:one").await.unwrap().is_none());
        let mut attached = manifest(app.id, "sha256:list", &[]);
        attached.tag = None;
        attached.subject = Some("sha256:two".to_owned());
        attached.artifact_type = Some("application/vnd.cyclonedx+json".to_owned());
        f.store.put_image_manifest(&change(), &attached).await.unwrap();
        let found = f.store.image_referrers(app.id, &web, "sha256:two").await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].artifact_type, attached.artifact_type);
        assert!(f.store.delete_image_manifest(&change(), app.id, &web, "sha256:two").await.unwrap());
        assert!(f.store.image_tags(app.id, &web).await.unwrap().is_empty());
        assert!(!f.store.delete_image_manifest(&change(), app.id, &web, "latest").await.unwrap());
    }
}
