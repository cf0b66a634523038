//! What a dyno sees and leaves as files.

use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
};

use engine::{Bind, DynoKind, DynoSpec, Engine, EngineError};
use engine_local::{LAYER_OWNER, LocalEngine, LocalEngineConfig};

use crate::support::{Platform, config, own, shell, soon};

fn layer(platform: &Platform, name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
    let layer = platform.directory(&format!("layers/{name}"));
    for (file, content) in files {
        fs::write(layer.join(file), content).unwrap();
        own(&layer.join(file));
    }
    layer
}

fn build(script: &str, spec: &DynoSpec) -> DynoSpec {
    DynoSpec {
        kind: DynoKind::Build,
        command: shell(script).command,
        ..spec.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_lie_over_each_other_and_stay_as_they_are() {
    let platform = Platform::open().await;
    let low = layer(&platform, "low", &[("one", "low"), ("two", "low")]);
    let high = layer(&platform, "high", &[("two", "high")]);
    let script = "cat one two; stat -c %U:%a two; echo changed > two; rm one; mkdir d; mv two d/; \
                  cat d/two; ls";
    let spec = DynoSpec {
        layers: vec![low.clone(), high.clone()],
        ..shell(script)
    };
    let (exit, lines) = platform.run_spec(spec).await;
    assert!(exit.is_success(), "{lines:?}");
    assert_eq!(lines, ["lowhighdyno:644", "changed", "d"]);
    assert_eq!(fs::read_to_string(low.join("one")).unwrap(), "low");
    assert_eq!(fs::read_to_string(high.join("two")).unwrap(), "high");
    assert_eq!(fs::read_dir(&high).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_is_a_layer_afterwards() {
    let platform = Platform::open().await;
    let low = layer(
        &platform,
        "low",
        &[("kept", "low"), ("gone", "low"), ("edited", "low")],
    );
    let capture = platform.directory("layers/captured");
    let spec = DynoSpec {
        layers: vec![low.clone()],
        capture: Some(capture.clone()),
        ..shell("")
    };
    let script = "rm gone; echo new > edited; mkdir -p deep/er; echo made > deep/er/file; \
                  ln -s file deep/er/link; chmod 755 deep/er/file; echo t > /tmp/t";
    let (exit, lines) = platform.run_spec(build(script, &spec)).await;
    assert!(exit.is_success(), "{lines:?}");
    for made in ["edited", "deep/er/file", "deep"] {
        let metadata = fs::symlink_metadata(capture.join(made)).unwrap();
        assert_eq!(
            (metadata.uid(), metadata.gid()),
            (LAYER_OWNER, LAYER_OWNER),
            "{made}"
        );
    }
    let beside: Vec<_> = fs::read_dir(platform.data.path().join("layers"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(beside.len(), 2, "{beside:?}");
    let script = "cat kept edited deep/er/link; ls; test -x deep/er/file";
    let spec = DynoSpec {
        layers: vec![low.clone(), capture],
        ..shell(script)
    };
    let (exit, lines) = platform.run_spec(spec).await;
    assert!(exit.is_success(), "{lines:?}");
    assert_eq!(lines, ["lownew", "made", "deep", "edited", "kept"]);
    assert_eq!(fs::read_to_string(low.join("gone")).unwrap(), "low");
}

#[tokio::test(flavor = "multi_thread")]
async fn binds_are_made_where_the_stack_has_nothing() {
    let platform = Platform::open().await;
    let (read, write) = (
        layer(&platform, "r", &[("file", "shown\n")]),
        platform.directory("w"),
    );
    let bind = |source: &Path, target: &str, is_writable| Bind {
        source: source.to_owned(),
        target: target.into(),
        is_writable,
    };
    let script = "cat /cache/deep/read/file /opt/one /app/a/b/file; echo mine > /cache/write/made; \
                  stat -c %U /cache/write/made; touch /cache/deep/read/x 2>/dev/null || echo refused; \
                  cat /run/z/file";
    let mut spec = shell(script);
    spec.binds = vec![
        bind(&read, "/cache/deep/read", false),
        bind(&write, "/cache/write", true),
        bind(&read.join("file"), "/opt/one", false),
        bind(&read, "/app/a/b", false),
        bind(&read, "/run/z", false),
    ];
    let (exit, lines) = platform.run_spec(spec).await;
    assert!(exit.is_success(), "{lines:?}");
    assert_eq!(
        lines,
        ["shown", "shown", "shown", "dyno", "refused", "shown"]
    );
    assert_eq!(fs::metadata(write.join("made")).unwrap().uid(), LAYER_OWNER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_cannot_lead_a_bind_out_of_the_dyno() {
    let platform = Platform::open().await;
    let outside = platform.directory("outside");
    let trap = layer(&platform, "trap", &[]);
    symlink(&outside, trap.join("link")).unwrap();
    let mut spec = shell("true");
    spec.layers = vec![trap];
    spec.binds = vec![Bind {
        source: platform.directory("w"),
        target: "/app/link/made".into(),
        is_writable: true,
    }];
    let refused = soon(platform.engine.start(spec)).await;
    assert!(
        matches!(
            refused,
            Err(EngineError::Start {
                step: "bind host directories",
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_removed_dyno_is_left() {
    let platform = Platform::open().await;
    let id = platform
        .start(shell("mkdir -p a/b; echo x > a/b/c; echo y > /tmp/y"))
        .await;
    platform.wait(id).await;
    platform.engine.remove(id).await.unwrap();
    assert_eq!(
        fs::read_dir(platform.data.path().join("run/dynos"))
            .unwrap()
            .count(),
        0
    );
    assert!(
        !fs::read_to_string("/proc/self/mountinfo")
            .unwrap()
            .contains(&id.to_string())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn any_path_will_do() {
    let name = format!("a:b,c\\d {}", "long".repeat(40));
    let data = tempfile::Builder::new().prefix(&name).tempdir().unwrap();
    let platform = Platform::open_in(data).await;
    let low = layer(&platform, "l:o,w", &[("file", "low")]);
    let capture = platform.directory("layers/c:a,p");
    let mut spec = shell("");
    spec.layers = vec![low];
    spec.capture = Some(capture.clone());
    let (exit, lines) = platform
        .run_spec(build("cat file; cp file copy", &spec))
        .await;
    assert!(exit.is_success(), "{lines:?}");
    assert_eq!(fs::read_to_string(capture.join("copy")).unwrap(), "low");
}

#[tokio::test(flavor = "multi_thread")]
async fn config_vars_never_touch_the_disk() {
    let platform = Platform::open().await;
    let mut spec = shell("echo ready; exec sleep 1000");
    spec.env
        .insert("TOKEN".to_owned(), "very-secret-indeed".to_owned());
    let id = platform.start(spec).await;
    platform.line(id, "ready").await;
    let found = std::process::Command::new("grep")
        .args(["-r", "-l", "--devices=skip", "very-secret-indeed"])
        .arg(platform.data.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(found.stdout).unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_alone_are_told_of_the_hosts_mirrors() {
    let mut platform = Platform::open().await;
    let environment = [
        ("PIP_INDEX_URL", "http://host/pip"),
        ("npm_config_registry", "http://host/npm"),
    ];
    let settings = LocalEngineConfig {
        environment: environment
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..config(platform.data.path())
    };
    platform.engine = LocalEngine::open(settings).await.unwrap();
    let script = "echo \"$PIP_INDEX_URL $npm_config_registry $NPM_CONFIG_REGISTRY\"";
    let mut spec = build(script, &shell(script));
    spec.env.insert(
        "NPM_CONFIG_REGISTRY".to_owned(),
        "http://app/npm".to_owned(),
    );
    let (_, lines) = platform.run_spec(spec).await;
    assert_eq!(lines, ["http://host/pip  http://app/npm"]);
    let (_, lines) = platform.run(script).await;
    assert_eq!(lines, ["  "]);
}
