//! Edge settings: whole, sealed, and gone with their app.

use api::edge::{Edge, HeaderRule};
use store::StoreError;

use crate::fixture::change;

case! {
    async fn edge_settings_are_kept_and_told_of_by_name(f: Fixture) {
        let app = f.app("example").await;
        assert!(f.store.edge(app.id).await.unwrap().is_default());
        let rule = HeaderRule { name: "X-Token".to_owned(), value: Some("secret".to_owned()) };
        let edge = Edge { request_headers: vec![rule], ..Edge::default() };
        let names = ["request_headers".to_owned()];
        let none = Edge::default();
        f.store.set_edge(&change(), app.id, (&none, &edge), &names).await.unwrap();
        assert_eq!(f.store.edge(app.id).await.unwrap(), edge);
        let events = f.store.events(app.id, 1).await.unwrap();
        assert_eq!(events[0].kind, "edge.update");
        assert_eq!(events[0].details, serde_json::json!({ "settings": ["request_headers"] }));
        let late = f.store.set_edge(&change(), app.id, (&none, &none), &names).await;
        assert!(matches!(late.unwrap_err(), StoreError::Stale { .. }), "somebody was quicker");
        f.store.set_edge(&change(), app.id, (&edge, &none), &names).await.unwrap();
        assert!(f.store.edge(app.id).await.unwrap().is_default());
        f.store.delete_app(&change(), app.id).await.unwrap();
        let gone = f.store.edge(app.id).await.unwrap_err();
        assert!(matches!(gone, StoreError::NotFound { resource: "app", .. }));
    }
}
