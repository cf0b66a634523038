//! Ruby apps, in real builds.

use crate::machine::{Machine, sample};

#[tokio::test(flavor = "multi_thread")]
async fn ruby_is_built_served_and_not_installed_twice() {
    let machine = Machine::open().await;
    let (slug, output) = machine.built(&sample("ruby"), &[]).await;
    assert!(
        output.contains("Ruby 3.3.4 is not available on this platform; 3.3."),
        "{output}"
    );
    machine.serves(&slug).await;
    let look = "bundle list --without-group development; ruby -e 'require \"bundler/setup\"; \
        require \"openssl\"; puts [RbConfig.ruby, Process.uid > 0, ENV[\"BUNDLE_WITHOUT\"]].join(\" \")'";
    let seen = machine.run(&slug, look).await;
    assert!(
        seen.contains("* shout (1.0.0)")
            && seen.ends_with("/app/.heroku/ruby/bin/ruby3.3 true development:test"),
        "{seen}\n{output}"
    );
    let more = [("notes.txt", "second")];
    let (again, output) = machine.built(&sample("ruby"), &more).await;
    assert!(
        output.contains("-----> Using cached install of Ruby 3.3.")
            && output.contains("-----> Using cached gems (Gemfile.lock is unchanged)"),
        "{output}"
    );
    assert_eq!(slug.layers[..2], again.layers[..2]);
}
