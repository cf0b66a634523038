//! Certificates: brought by people, made by the platform, and who asked whom for them.

use api::{clock::Time, ids::AppId, tls::AppTls};
use store::{
    AcmDomain, AcmStatus, CertificatePair, Domain, DomainKind, DomainStatus, NewDomain, StoreError,
};

use crate::fixture::{Fixture, change};

fn pair(key: &str, expires_at: i64) -> CertificatePair {
    CertificatePair {
        certificate_chain: format!("chain of {key}"),
        private_key: key.to_owned(),
        starts_at: Time::from_micros(0),
        expires_at: Time::from_micros(expires_at),
    }
}

async fn domain(f: &Fixture, app: AppId, hostname: &str) -> Domain {
    let new = NewDomain {
        app,
        hostname: hostname.to_owned(),
        kind: DomainKind::Custom,
        cname: None,
        status: DomainStatus::None,
        sni_endpoint: None,
    };
    f.store.create_domain(&change(), &new).await.unwrap()
}

fn row(domain: &Domain, status: AcmStatus) -> AcmDomain {
    AcmDomain {
        domain: domain.id,
        app: domain.app,
        status,
        reason: None,
        failures: 0,
        next_try_at: Time::from_micros(5),
        updated_at: Time::from_micros(0),
    }
}

case! {
    async fn a_certificate_is_added_replaced_and_removed(f: Fixture) {
        let app = f.app("example").await.id;
        let www = domain(&f, app, "www.example.com").await;
        let added = f.store
            .create_sni_endpoint(&change(), (app, "first"), &pair("KEY ONE", 7), &[www.id])
            .await
            .unwrap();
        assert_eq!((added.name.as_str(), added.is_acm), ("first", false));
        let attached = f.store.domain(app, www.id).await.unwrap();
        assert_eq!(attached.sni_endpoint, Some(added.id));
        let with_keys = f.store.sni_endpoints_with_keys(app).await.unwrap();
        assert_eq!(with_keys, [(added.clone(), "KEY ONE".to_owned())]);
        let taken = f.store
            .create_sni_endpoint(&change(), (app, "first"), &pair("K", 7), &[])
            .await
            .unwrap_err();
        assert!(matches!(taken, StoreError::Conflict { resource: "sni_endpoint", .. }));
        f.store.alarm_of_expiry(&change(), (app, added.id), 30).await.unwrap();
        assert_eq!(f.store.sni_endpoints(app).await.unwrap()[0].alarmed_days, Some(30));
        let updated = f.store
            .update_sni_endpoint(&change(), (app, added.id), &pair("KEY TWO", 9))
            .await
            .unwrap();
        assert_eq!((updated.alarmed_days, updated.expires_at), (None, Time::from_micros(9)));
        f.store.set_domain_endpoint(&change(), (app, www.id), None).await.unwrap();
        f.store.set_domain_endpoint(&change(), (app, www.id), Some(added.id)).await.unwrap();
        f.store.delete_sni_endpoint(&change(), app, added.id).await.unwrap();
        assert_eq!(f.store.domain(app, www.id).await.unwrap().sni_endpoint, None);
        assert_eq!(f.store.all_sni_endpoints().await.unwrap(), []);
        let kinds = f.kinds(app).await;
        assert_eq!(
            kinds[kinds.len() - 6..],
            ["sni-endpoint.create", "sni-endpoint.expiring", "sni-endpoint.update",
             "domain.update", "domain.update", "sni-endpoint.destroy"]
        );
    }
}

case! {
    async fn an_issued_certificate_replaces_the_automatic_one_and_goes_with_its_domain(f: Fixture) {
        let app = f.app("example").await.id;
        let www = domain(&f, app, "www.example.com").await;
        let issued = row(&www, AcmStatus::Issued);
        let late = f.store
            .issue_certificate(&change(), (&issued, "acm-one"), &pair("KEY", 7))
            .await
            .unwrap_err();
        assert!(matches!(late, StoreError::Stale { .. }), "it is not automatic");
        assert!(f.store.set_acm(&change(), app, true).await.unwrap().acm);
        f.store.save_acm_domain(&change(), &row(&www, AcmStatus::Pending)).await.unwrap();
        for (name, key) in [("acm-one", "ONE"), ("acm-two", "TWO")] {
            f.store.issue_certificate(&change(), (&issued, name), &pair(key, 7)).await.unwrap();
        }
        let endpoints = f.store.sni_endpoints(app).await.unwrap();
        assert_eq!(endpoints.len(), 1);
        assert_eq!((endpoints[0].name.as_str(), endpoints[0].is_acm), ("acm-one", true));
        assert_eq!(f.store.sni_endpoints_with_keys(app).await.unwrap()[0].1, "TWO");
        assert_eq!(f.store.acm_domains(app).await.unwrap()[0].status, AcmStatus::Issued);
        f.store.delete_domain(&change(), app, www.id).await.unwrap();
        assert_eq!(f.store.sni_endpoints(app).await.unwrap(), []);
        assert_eq!(f.store.acm_domains(app).await.unwrap(), []);
        let gone = f.store
            .issue_certificate(&change(), (&issued, "acm-three"), &pair("KEY", 7))
            .await
            .unwrap_err();
        assert!(gone.is_not_found());
    }
}

case! {
    async fn switching_off_removes_what_the_platform_made_only(f: Fixture) {
        let app = f.app("example").await.id;
        let www = domain(&f, app, "www.example.com").await;
        let api = domain(&f, app, "api.example.com").await;
        f.store.set_acm(&change(), app, true).await.unwrap();
        let own = f.store
            .create_sni_endpoint(&change(), (app, "own"), &pair("OWN", 7), &[api.id])
            .await
            .unwrap();
        let issued = row(&www, AcmStatus::Issued);
        f.store.issue_certificate(&change(), (&issued, "acm"), &pair("ACM", 7)).await.unwrap();
        let mut failing = row(&api, AcmStatus::Failing);
        failing.failures = 3;
        failing.reason = Some("no such name".to_owned());
        f.store.save_acm_domain(&change(), &failing).await.unwrap();
        f.store.refresh_acm(&change(), app).await.unwrap();
        let mut rows = f.store.acm_domains(app).await.unwrap();
        rows.sort_by_key(|row| row.status);
        let shown: Vec<_> = rows.iter().map(|row| (row.status, row.failures)).collect();
        assert_eq!(shown, [(AcmStatus::Pending, 0), (AcmStatus::Issued, 0)]);
        assert!(!f.store.set_acm(&change(), app, false).await.unwrap().acm);
        let left = f.store.sni_endpoints(app).await.unwrap();
        assert_eq!(left.iter().map(|at| at.id).collect::<Vec<_>>(), [own.id]);
        assert_eq!(f.store.acm_domains(app).await.unwrap(), []);
        let tls = AppTls { redirect: true, ..AppTls::default() };
        let app = f.store.set_app_tls(&change(), app, &tls).await.unwrap();
        assert_eq!(app.tls, tls);
        f.store.delete_app(&change(), app.id).await.unwrap();
        assert_eq!(f.store.all_sni_endpoints().await.unwrap(), []);
    }
}

case! {
    async fn an_account_is_kept_sealed_replaced_and_forgotten(f: Fixture) {
        let directory = "https://ca.example/directory";
        assert_eq!(f.store.acme_account(directory).await.unwrap(), None);
        for credentials in ["FIRST", "SECOND"] {
            f.store.save_acme_account(&change(), directory, credentials).await.unwrap();
            let found = f.store.acme_account(directory).await.unwrap();
            assert_eq!(found.as_deref(), Some(credentials));
        }
        assert_eq!(f.store.acme_account("https://other.example").await.unwrap(), None);
        f.store.delete_acme_account(&change(), directory).await.unwrap();
        assert_eq!(f.store.acme_account(directory).await.unwrap(), None);
    }
}
