//! Log drains.

use store::StoreError;

use crate::fixture::change;

case! {
    async fn a_drain_keeps_its_address_to_itself(f: Fixture) {
        let app = f.app("example").await.id;
        let url = "https://user:PASSWORD@logs.example.com/in";
        let drain = f.store.create_log_drain(&change(), app, ("d.1", url)).await.unwrap();
        assert_eq!(drain.token, "d.1");
        assert_eq!(f.store.log_drains(app).await.unwrap(), std::slice::from_ref(&drain));
        assert_eq!(f.store.all_log_drains().await.unwrap(), std::slice::from_ref(&drain));
        assert_eq!(f.store.log_drain_url(&drain).await.unwrap(), url);
        let events = f.store.events(app, 10).await.unwrap();
        assert_eq!(events[0].kind, "log-drain.create");
        assert!(!format!("{events:?} {drain:?}").contains("PASSWORD"));
        f.store.delete_log_drain(&change(), &drain).await.unwrap();
        let gone = f.store.delete_log_drain(&change(), &drain).await.unwrap_err();
        assert!(matches!(gone, StoreError::NotFound { resource: "log drain", .. }));
        assert_eq!(f.store.log_drains(app).await.unwrap(), []);
    }
}
