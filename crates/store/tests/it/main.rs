//! The store suite.
fn assert_send<T: Send>(_: T) {}
#[test]
fn sends() {
    let config = store::StoreConfig {
        url: String::new(),
        root_key: [0; 32],
        clock: api::clock::Clock::system(),
    };
    assert_send(store::Store::open(config));
    fn _f(s: &store::Store, c: &store::Change, n: &store::NewRelease, id: api::ids::ReleaseId) {
        assert_send(s.create_release(c, n));
        assert_send(s.finish_release(c, id, &store::ReleaseOutcome::Succeeded));
        assert_send(s.releases(n.app));
    }
}
