//! Images of slugs: their structure, that they are reproducible, and what union mounts leave.
//!
//! The stack and the layers here are small ones of the tests' own; what is checked is read back
//! from the bytes alone.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use builder::image::{
    Compression, Descriptor, Digest, ImageError, ImageRecord, ImageRequest, ImageState, Images,
    ImagesConfig,
    documents::{ImageConfig, Index, Manifest},
    write_archive,
};
use serde_json::Value;
use sha2::Digest as _;

/// Images, layers and a stack below a directory of their own.
struct Yard {
    folder: tempfile::TempDir,
    images: Images,
}

impl Yard {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let images = Images::new(ImagesConfig {
            folder: path("images"),
            layers: path("layers"),
            stacks: path("stacks"),
        });
        let yard = Self { folder, images };
        for (name, content) in [
            ("bin/bash", "not really"),
            ("dev/null", ""),
            ("etc/landfall-stack.json", r#"{"name":"landfall-13"}"#),
            ("etc/passwd", "dyno:x:1000:1000::/app:/bin/bash\n"),
            ("var/cache/apt/pkgcache.bin", "of a moment"),
            (
                "var/lib/dpkg/status",
                "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2\n",
            ),
        ] {
            yard.write("stacks/landfall-13", name, content);
        }
        yard
    }

    fn write(&self, below: &str, path: &str, content: &str) -> PathBuf {
        let full = self.folder.path().join(below).join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(&full, content).unwrap();
        full
    }

    fn layer(&self, key: &str, path: &str, content: &str) -> PathBuf {
        self.write(&format!("layers/{key}"), path, content)
    }

    fn write_image(&self, request: &ImageRequest) -> ImageRecord {
        self.images.write_now(request).unwrap()
    }

    fn json<T: serde::de::DeserializeOwned>(&self, blob: &Descriptor) -> T {
        let bytes = self.images.blobs().read(&blob.digest).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// Path → type, mode, owner, content or target of a layer.
    fn entries(&self, layer: &Descriptor) -> BTreeMap<String, String> {
        let file = fs::File::open(self.images.blobs().path(&layer.digest)).unwrap();
        let tar: Box<dyn Read> = if layer.media_type.ends_with("zstd") {
            Box::new(zstd::Decoder::new(file).unwrap())
        } else {
            Box::new(flate2::read::GzDecoder::new(file))
        };
        entries(tar)
    }
}

fn entries(tar: impl Read) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut last = String::new();
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        let header = entry.header();
        assert_eq!(header.mtime().unwrap(), 315_532_800, "{path}");
        let target = entry.link_name().unwrap();
        let target = target.map_or(content, |target| target.to_string_lossy().into_owned());
        let told = format!(
            "{:?} {:o} {}:{} {target}",
            header.entry_type(),
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap()
        );
        assert!(found.insert(path.clone(), told).is_none(), "{path} twice");
        last = path;
    }
    assert!(!last.is_empty());
    found
}

fn request(layers: &[&str]) -> ImageRequest {
    ImageRequest {
        title: "shop".to_owned(),
        stack: "landfall-13".parse().unwrap(),
        layers: layers.iter().map(|key| (*key).to_owned()).collect(),
        process_types: [("web", "serve --port $PORT"), ("worker", "work")]
            .into_iter()
            .map(|(name, command)| (name.parse().unwrap(), command.to_owned()))
            .collect(),
        env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        commit: Some("60883d9e8947a57e04dc9124f25df004866a2051".to_owned()),
        language: "Python".to_owned(),
        compression: Compression::Gzip,
    }
}

#[test]
fn an_image_has_the_stack_the_layers_and_how_to_start_them() {
    let yard = Yard::new();
    let program = yard.layer("deps", "bin/serve", "#!/bin/sh\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4700)).unwrap();
    fs::hard_link(&program, program.with_file_name("work")).unwrap();
    yard.layer("source", "app.py", "print()");
    symlink("app.py", yard.folder.path().join("layers/source/main.py")).unwrap();
    let record = yard.write_image(&request(&["deps", "source"]));

    let manifest: Manifest = yard.json(&record.manifest);
    assert_eq!(manifest.layers, record.layers);
    let config: ImageConfig = yard.json(&manifest.config);
    assert_eq!(config.rootfs.diff_ids.len(), 4);
    let run = &config.config;
    assert_eq!(
        (run.user.as_str(), run.working_dir.as_str()),
        ("1000:1000", "/app")
    );
    assert_eq!(run.env, ["HOME=/app", "PATH=/usr/bin:/bin", "PORT=8080"]);
    assert_eq!(
        (&run.entrypoint, &run.cmd),
        (&vec!["/cnb/launcher".to_owned()], &vec!["web".to_owned()])
    );
    assert_eq!(
        run.labels["org.opencontainers.image.revision"],
        "60883d9e8947a57e04dc9124f25df004866a2051"
    );
    assert_eq!(run.labels["dev.landfall.process-types"], "web,worker");

    let stack = yard.entries(&record.layers[0]);
    assert_eq!(stack["bin/bash"], "Regular 644 0:0 not really");
    for left_out in [
        "dev/null",
        "etc/landfall-stack.json",
        "var/cache/apt/pkgcache.bin",
    ] {
        assert!(!stack.contains_key(left_out), "{left_out}");
    }
    assert!(
        stack.contains_key("dev") || stack.contains_key("dev/"),
        "{stack:?}"
    );
    let deps = yard.entries(&record.layers[1]);
    insta::assert_snapshot!(listed(&deps), @r"
    app/: Directory 755 1000:1000
    app/bin: Directory 755 1000:1000
    app/bin/serve: Regular 755 1000:1000 #!/bin/sh
    app/bin/work: Link 755 1000:1000 app/bin/serve
    ");
    let source = yard.entries(&record.layers[2]);
    assert_eq!(source["app/main.py"], "Symlink 777 1000:1000 app.py");
    let types = yard.entries(&record.layers[3]);
    assert_eq!(
        types["cnb/commands/web"],
        "Regular 644 0:0 serve --port $PORT"
    );
    assert!(types["cnb/process/worker"].contains("exec /cnb/launcher worker"));
    assert!(types["cnb/launcher"].starts_with("Regular 755 0:0 #!/bin/bash"));

    // Every layer is what its configuration says, without its compression.
    for (layer, diff_id) in record.layers.iter().zip(&config.rootfs.diff_ids) {
        let file = fs::File::open(yard.images.blobs().path(&layer.digest)).unwrap();
        let mut tar = Vec::new();
        flate2::read::GzDecoder::new(file)
            .read_to_end(&mut tar)
            .unwrap();
        assert_eq!(&Digest::of(&tar), diff_id);
    }
}

fn listed(entries: &BTreeMap<String, String>) -> String {
    let lines = entries
        .iter()
        .map(|(path, told)| format!("{path}: {}", told.trim()));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_same_slug_gives_the_same_bytes_on_any_data_directory() {
    let images = [Compression::Gzip, Compression::Zstd].map(|compression| {
        let write = |is_late: bool| {
            let yard = Yard::new();
            // Made in another order, at another time, with byte code that names that time.
            let mut files = vec![("b.py", "2"), ("a.py", "1"), ("c/d.py", "3")];
            if is_late {
                files.reverse();
            }
            for (path, content) in files {
                yard.layer("source", path, content);
            }
            let time = if is_late { "LATE" } else { "SOON" };
            let byte_code = format!("\u{7}\u{d}\r\n\0\0\0\0{time}sizeand code");
            yard.layer("source", "__pycache__/a.cpython-313.pyc", &byte_code);
            let mut request = request(&["source"]);
            request.compression = compression;
            yard.write_image(&request)
        };
        let (early, late) = (write(false), write(true));
        assert_eq!(early, late);
        early.manifest.digest
    });
    assert_ne!(images[0], images[1]);
}

#[test]
fn what_a_union_mount_marks_as_removed_is_marked_so_for_oci() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root may make a union mount's marks");
        return;
    }
    let yard = Yard::new();
    yard.layer("step", "kept/new", "x");
    let layer = yard.folder.path().join("layers/step");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        layer.join("removed"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::empty(),
        0,
    )
    .unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        layer.join("a-pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    rustix::fs::lsetxattr(
        layer.join("kept"),
        "trusted.overlay.opaque",
        b"y",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    let record = yard.write_image(&request(&["step"]));
    insta::assert_snapshot!(listed(&yard.entries(&record.layers[1])), @r"
    app/: Directory 755 1000:1000
    app/.wh.removed: Regular 644 1000:1000
    app/kept: Directory 755 1000:1000
    app/kept/.wh..wh..opq: Regular 644 1000:1000
    app/kept/new: Regular 644 1000:1000 x
    ");
}

#[test]
fn what_cannot_be_an_image_is_refused() {
    let yard = Yard::new();
    yard.layer("odd", "folder/.wh.file", "");
    let refused = yard.images.write_now(&request(&["odd"]));
    assert!(
        matches!(&refused, Err(ImageError::ReservedName(path)) if path == Path::new("folder/.wh.file")),
        "{refused:?}"
    );
    let refused = yard.images.write_now(&request(&["gone"]));
    assert!(
        matches!(refused, Err(ImageError::NoLayer(_))),
        "{refused:?}"
    );
    let other = ImageRequest {
        stack: "landfall-14".parse().unwrap(),
        ..request(&[])
    };
    let refused = yard.images.write_now(&other);
    assert!(
        matches!(refused, Err(ImageError::NoStack(_))),
        "{refused:?}"
    );
}

#[test]
fn what_it_is_made_of_and_how_it_came_about_are_attached() {
    let yard = Yard::new();
    yard.layer(
        "source",
        "node_modules/express/package.json",
        r#"{"name":"express","version":"5.1.0"}"#,
    );
    let record = yard.write_image(&request(&["source"]));
    let mut contents = BTreeMap::new();
    for attached in &record.attached {
        let manifest: Manifest = yard.json(attached);
        let subject = manifest.subject.unwrap();
        assert_eq!(subject.digest, record.manifest.digest);
        let content: Value = yard.json(&manifest.layers[0]);
        contents.insert(manifest.artifact_type.unwrap(), content);
    }
    let sbom = &contents["application/vnd.cyclonedx+json"];
    let purls: Vec<&str> = sbom["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|component| component["purl"].as_str().unwrap())
        .collect();
    assert_eq!(
        purls,
        [
            "pkg:deb/debian/bash@5.2?arch=amd64",
            "pkg:npm/express@5.1.0"
        ]
    );
    let provenance = &contents["application/vnd.in-toto+json"];
    assert_eq!(
        provenance["subject"][0]["digest"]["sha256"],
        record.manifest.digest.digits()
    );
    assert_eq!(
        provenance["predicate"]["buildDefinition"]["resolvedDependencies"][1]["digest"]["gitCommit"],
        "60883d9e8947a57e04dc9124f25df004866a2051"
    );
}

#[test]
fn the_archive_is_an_oci_layout_and_what_docker_loads() {
    let yard = Yard::new();
    yard.layer("source", "app.py", "print()");
    let record = yard.write_image(&request(&["source"]));
    let mut archive = Vec::new();
    write_archive(yard.images.blobs(), &record, "shop:60883d9e", &mut archive).unwrap();
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        files.insert(path, content);
    }
    let layout: Value = serde_json::from_slice(&files["oci-layout"]).unwrap();
    assert_eq!(layout["imageLayoutVersion"], "1.0.0");
    let index: Index = serde_json::from_slice(&files["index.json"]).unwrap();
    let image = &index.manifests[0];
    assert_eq!(image.digest, record.manifest.digest);
    assert_eq!(
        image.annotations["org.opencontainers.image.ref.name"],
        "60883d9e"
    );
    let docker: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    assert_eq!(docker[0]["RepoTags"][0], "shop:60883d9e");
    assert_eq!(
        docker[0]["Layers"].as_array().unwrap().len(),
        record.layers.len()
    );
    assert!(files.contains_key(docker[0]["Config"].as_str().unwrap()));
    for (path, content) in files
        .iter()
        .filter(|(path, _)| path.starts_with("blobs/sha256/"))
    {
        let name = path
            .trim_start_matches("blobs/sha256/")
            .trim_end_matches('/');
        if !name.is_empty() {
            assert_eq!(name, format!("{:x}", sha2::Sha256::digest(content)));
        }
    }
}

#[tokio::test]
async fn images_are_written_in_the_background_and_once() {
    let yard = Yard::new();
    yard.layer("source", "app.py", "print()");
    let request = request(&["source"]);
    assert_eq!(yard.images.state(&request).unwrap(), ImageState::Absent);
    let record = until_ready(&yard.images, &request).await;
    assert_eq!(
        yard.images.start(&request).unwrap(),
        ImageState::Ready(Box::new(record.clone()))
    );
    // A process that comes after finds it, and writes again only what is missing.
    let again = Images::new(ImagesConfig {
        folder: yard.folder.path().join("images"),
        layers: yard.folder.path().join("layers"),
        stacks: yard.folder.path().join("stacks"),
    });
    again.sweep().unwrap();
    let stack = again.blobs().path(&record.layers[0].digest);
    let before = fs::metadata(&stack).unwrap().modified().unwrap();
    again.blobs().remove(&record.layers[1].digest).unwrap();
    assert_eq!(again.state(&request).unwrap(), ImageState::Absent);
    assert_eq!(until_ready(&again, &request).await, record);
    assert_eq!(fs::metadata(&stack).unwrap().modified().unwrap(), before);
    let drafts = fs::read_dir(yard.folder.path().join("images/.drafts"));
    assert_eq!(drafts.unwrap().count(), 0);
}

async fn until_ready(images: &Images, request: &ImageRequest) -> ImageRecord {
    loop {
        match images.start(request).unwrap() {
            ImageState::Ready(record) => return *record,
            ImageState::Writing => tokio::task::yield_now().await,
            other => panic!("{other:?}"),
        }
    }
}
