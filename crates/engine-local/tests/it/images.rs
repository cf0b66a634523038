//! Dynos whose whole root filesystem comes from an image.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
};

use engine::{DynoSpec, Engine as _, ImageRoot};
use engine_local::{LAYER_OWNER, stacks};

use crate::support::{Platform, cache, shell, stack};

/// An empty layer of an image, as the builder leaves one.
fn layer(platform: &Platform, name: &str) -> PathBuf {
    let layer = platform.directory(&format!("layers/{name}"));
    chown(&layer, Some(0), Some(0)).unwrap();
    fs::set_permissions(&layer, fs::Permissions::from_mode(0o700)).unwrap();
    layer
}

/// A dyno of an image: the stack's files as its lowest layer, and another above.
fn image(above: &Path, working_directory: &str, script: &str) -> DynoSpec {
    let base = stacks::find(&cache(), &stack()).unwrap();
    DynoSpec {
        layers: vec![base, above.to_owned()],
        image: Some(ImageRoot {
            working_directory: working_directory.into(),
        }),
        ..shell(script)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_the_whole_root_and_its_owners_are_respected() {
    let platform = Platform::open().await;
    let above = layer(&platform, "above");
    for (name, owner) in [("srv", LAYER_OWNER), ("opt", 0)] {
        fs::create_dir(above.join(name)).unwrap();
        fs::write(above.join(name).join("file"), name).unwrap();
        for path in [above.join(name), above.join(name).join("file")] {
            chown(path, Some(owner), Some(owner)).unwrap();
        }
    }
    let script = "pwd; id -u; stat -c %U:%G:%a / /srv/file /opt/file; echo mine > /srv/file; \
                  cat /srv/file; test -w /opt/file || echo kept; echo x > /tmp/new && cat /tmp/new; \
                  echo $HOME; grep -c web.1 /etc/hosts; ls -d /app /proc/self /dev/null /sys";
    let (exit, lines) = platform.run_spec(image(&above, "/srv", script)).await;
    assert!(exit.is_success(), "{lines:?}");
    let expected = "/srv 1000 root:root:755 dyno:dyno:644 root:root:644 mine \
                    kept x /app 1 \
                    /app /dev/null /proc/self /sys";
    assert_eq!(lines.join(" "), expected);
    assert_eq!(fs::read_to_string(above.join("srv/file")).unwrap(), "srv");
    assert!(!above.join("tmp").exists(), "layers stay as they are");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_in_an_image_lead_nowhere_on_the_host() {
    let platform = Platform::open().await;
    let outside = platform.directory("outside");
    fs::write(outside.join("passwd"), "secret:x:1:1::/:/bin/sh\n").unwrap();
    let above = layer(&platform, "above");
    for name in ["dev", "proc", "sys", "etc", "tmp", "run", "app", "srv"] {
        symlink(&outside, above.join(name)).unwrap();
    }
    let script = "grep -c secret /etc/passwd; ls /dev/null /proc/self/status; test ! -e /tmp/x; \
                  ls -A /srv/ 2>&1; readlink /etc";
    let behind_a_link = platform.engine.start(image(&above, "/srv/work", script));
    assert!(
        behind_a_link.await.is_err(),
        "there is no such directory inside"
    );
    let (_, lines) = platform.run_spec(image(&above, "/", script)).await;
    assert_eq!(
        lines[..3],
        ["0", "/dev/null", "/proc/self/status"],
        "{lines:?}"
    );
    assert!(lines[3].contains("cannot access"), "{lines:?}");
    assert_eq!(lines.len(), 4, "/etc is a directory: {lines:?}");
    let left: Vec<_> = fs::read_dir(&outside).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing was made on the host");
    let kept = fs::read_to_string(outside.join("passwd")).unwrap();
    assert_eq!(kept, "secret:x:1:1::/:/bin/sh\n");
}
