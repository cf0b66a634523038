//! A real app built on two machines' data directories becomes the same image.
//!
//! The stack below it is a small one of the test's own: what is compared are the slug's layers.

use std::{collections::BTreeMap, fs};

use builder::image::{Compression, ImageRecord, ImageRequest, Images, ImagesConfig};

use crate::machine::{Machine, sample};

/// Builds the sample on a data directory of its own and writes its image.
async fn image_of(name: &str) -> (ImageRecord, String) {
    let machine = Machine::open().await;
    let (slug, output) = machine.built(&sample(name), &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let stack = folder.path().join("stacks/landfall-13/etc");
    fs::create_dir_all(&stack).unwrap();
    fs::write(stack.join("landfall-stack.json"), "{}").unwrap();
    let images = Images::new(ImagesConfig {
        folder: folder.path().join("images"),
        layers: machine.layers_folder(),
        stacks: folder.path().join("stacks"),
    });
    let request = ImageRequest {
        title: "shop".to_owned(),
        stack: "landfall-13".parse().unwrap(),
        layers: slug.layers,
        process_types: slug.process_types,
        env: slug.env,
        commit: None,
        language: slug.language,
        compression: Compression::Zstd,
    };
    let record = images.write_now(&request).unwrap();
    let listed = listing(&images, &record);
    (record, format!("{output}\n{listed}"))
}

/// Path → digest of every file of the slug's layers, to say what differs.
fn listing(images: &Images, record: &ImageRecord) -> String {
    let mut found = BTreeMap::new();
    for (number, layer) in record.layers.iter().enumerate() {
        let file = fs::File::open(images.blobs().path(&layer.digest)).unwrap();
        let mut tar = tar::Archive::new(zstd::Decoder::new(file).unwrap());
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            let digest = builder::image::Digest::of(&content);
            found.insert(format!("{number} {path}"), digest.to_string());
        }
    }
    let lines = found
        .iter()
        .map(|(path, digest)| format!("{path} {digest}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_source_on_two_data_directories_is_the_same_image() {
    let ((one, first), (other, second)) = tokio::join!(image_of("django"), image_of("django"));
    let differing: Vec<(&str, &str)> = first
        .lines()
        .zip(second.lines())
        .filter(|(one, other)| one != other && one.contains("sha256:"))
        .collect();
    assert_eq!(one.manifest.digest, other.manifest.digest, "{differing:#?}");
}
