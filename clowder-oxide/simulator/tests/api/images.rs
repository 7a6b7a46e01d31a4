//! Images, imported as the client's own command does it.

use crate::support::{GIB, PROJECT, block_size, disk, rack, refused};
use clowder_oxide_simulator::{Options, SiloImage};
use oxide::extras::ClientExtraDiskExt;
use oxide::extras::disk::types::{DiskInfo, ImageInfo};
use oxide::types::{DiskSource, DiskState, FinalizeDisk, ImportBlocksBulkWrite};
use oxide::{Client, ClientDisksExt, ClientImagesExt, ClientSnapshotsExt};
use std::io::Write;
use std::num::NonZeroUsize;

/// 3 MiB with a hole, so that chunks of zeros are left out.
fn image_file() -> (tempfile::NamedTempFile, Vec<u8>) {
    let mut bytes: Vec<u8> = (0..3 << 20_u32).map(|n: u32| u8::try_from(n % 251).unwrap()).collect();
    bytes[1 << 20..2 << 20].fill(0);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    (file, bytes)
}

async fn import(client: &Client) -> Vec<u8> {
    let (file, bytes) = image_file();
    let disk_info = DiskInfo::calculate(file.path().to_owned(), None, None).unwrap();
    let image_info = ImageInfo {
        snapshot: "debian-snapshot".parse().unwrap(),
        image: "debian".parse().unwrap(),
        image_description: "Debian".to_owned(),
        image_os: "debian".to_owned(),
        image_version: "12".to_owned(),
    };
    let import = client.disk_import().project(PROJECT).description("import").disk("debian-import");
    let import = import.upload_task_ct(NonZeroUsize::new(4).unwrap()).disk_info(disk_info).image_info(image_info);
    let (done, progress) = import.execute_with_control().unwrap();
    let progress = progress.progress();
    done.await.unwrap();
    assert_eq!(*progress.borrow(), bytes.len() as u64);
    bytes
}

#[tokio::test]
async fn an_import_ends_as_an_image_from_which_disks_are_made() {
    let (rack, client) = rack(Options::default()).await;
    let bytes = import(&client).await;
    let content = rack.state().image("debian").unwrap().content.clone();
    assert_eq!(content.read(), bytes);
    assert_eq!(content.written(), 2 << 20, "zeros are not sent");

    let image = client.image_view().project(PROJECT).image("debian").send().await.unwrap();
    assert_eq!((image.size.0, image.version.as_str()), (GIB, "12"));
    let source = DiskSource::Image { image_id: image.id, read_only: false };
    client.disk_create().project(PROJECT).body(disk("root", 4, source)).send().await.unwrap();
    let root = client.disk_view().project(PROJECT).disk("root").send().await.unwrap();
    assert!(matches!(root.state, DiskState::Detached));
    assert_eq!(root.image_id, Some(image.id));
    assert_eq!(rack.state().disk("root").unwrap().content.read(), bytes);

    client.snapshot_delete().project(PROJECT).snapshot("debian-snapshot").send().await.unwrap();
    client.disk_delete().project(PROJECT).disk("debian-import").send().await.unwrap();
    client.image_delete().project(PROJECT).image("debian").send().await.unwrap();
    assert!(client.image_list().project(PROJECT).send().await.unwrap().items.is_empty());
}

#[tokio::test]
async fn an_images_disk_is_as_large_as_the_image_at_least() {
    let silo_images = vec![SiloImage { name: "debian-bullseye".to_owned(), size: 2 * GIB }];
    let (_rack, client) = rack(Options { silo_images, ..Options::default() }).await;
    let image = client.image_view().image("debian-bullseye").send().await.unwrap();
    assert_eq!(image.project_id, None);
    assert_eq!(refused(client.image_view().project(PROJECT).image("debian-bullseye").send().await).0, 404);
    assert_eq!(client.image_list().send().await.unwrap().items.len(), 1);
    let source = DiskSource::Image { image_id: image.id, read_only: false };
    let small = client.disk_create().project(PROJECT).body(disk("root", 1, source)).send().await;
    let (status, _, message) = refused(small);
    assert_eq!(status, 400);
    assert_eq!(message, format!("disk size {GIB} must be greater than or equal to image size {}", 2 * GIB));
}

#[tokio::test]
async fn blocks_are_written_in_order_of_states() {
    let (_rack, client) = rack(Options::default()).await;
    let source = DiskSource::ImportingBlocks { block_size: block_size() };
    client.disk_create().project(PROJECT).body(disk("d", 1, source)).send().await.unwrap();
    let write = |offset: u64, data: &str| {
        let body = ImportBlocksBulkWrite { base64_encoded_data: data.to_owned(), offset };
        client.disk_bulk_write_import().project(PROJECT).disk("d").body(body).send()
    };
    let finalize = || {
        let body = FinalizeDisk { snapshot_name: None };
        client.disk_finalize_import().project(PROJECT).disk("d").body(body).send()
    };
    let block = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [1; 512]);
    assert_eq!(refused(write(0, &block).await).0, 400, "not begun");
    client.disk_bulk_write_import_start().project(PROJECT).disk("d").send().await.unwrap();
    assert_eq!(refused(finalize().await).0, 400, "not ended");
    write(512, &block).await.unwrap();
    assert_eq!(refused(write(100, &block).await).0, 400, "not at a block");
    assert_eq!(refused(write(GIB, &block).await).0, 400, "past the end");
    assert_eq!(refused(write(0, "no base64").await).0, 400);
    client.disk_bulk_write_import_stop().project(PROJECT).disk("d").send().await.unwrap();
    finalize().await.unwrap();
    assert_eq!(refused(finalize().await).0, 400, "once");
}
