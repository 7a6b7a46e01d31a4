//! How an image comes to be: its blocks are written to a disk, of which a snapshot is made, of which the image is made.
//!
//! Each of these steps can be taken again: one that is cut short leaves a disk with a name and a tag by which it is found,
//! and writing it anew does no harm.

use super::Rack;
use super::source::{Source, Write};
use crate::cluster::{ClusterSpec, ImageSpec};
use crate::error::OxideError;
use crate::request;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::{StreamExt, TryStreamExt};
use oxide::ClientDisksExt;
use oxide::types::{self, NameOrId};
use uuid::Uuid;

/// How far an import is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageProgress {
    /// The image.
    pub image: String,
    /// Bytes that are behind.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

impl Rack {
    /// Creates the disk that takes an image. The source is asked first: nothing is left on the rack of an image that cannot
    /// be had.
    pub(crate) async fn create_import_disk(&self, cluster: &ClusterSpec, image: &ImageSpec) -> Result<(), OxideError> {
        let source = Source::open(image).await?;
        let body = request::image::import_disk(cluster, &image.name, source.block_size, source.length)?;
        let call = self.client.disk_create().project(self.project.clone()).body(body);
        self.change("create the disk of an image", call.send()).await.map(drop)
    }

    /// Writes an image to its disk of so many bytes and makes a snapshot of it, telling how far it is.
    pub(crate) async fn write_image(
        &self,
        cluster: &ClusterSpec,
        image: &ImageSpec,
        disk: Uuid,
        at_once: usize,
        tell: &(dyn Fn(ImageProgress) + Send + Sync),
    ) -> Result<(), OxideError> {
        let source = Source::open(image).await?;
        let total = source.length;
        let mut percent = None;
        let mut progress = |done: u64| {
            let now = done.saturating_mul(100) / total;
            if percent.replace(now) != Some(now) {
                tell(ImageProgress { image: image.name.clone(), done, total });
            }
        };
        progress(0);
        let id = NameOrId::Id(disk);
        self.change("begin an import", self.client.disk_bulk_write_import_start().disk(id.clone()).send()).await?;
        let mut writes = source
            .writes()
            .boxed()
            .map_ok(|write| async move {
                let end = write.offset + write.bytes.len() as u64;
                self.write(disk, &write).await.map(|()| end)
            })
            .try_buffered(at_once.max(1));
        while let Some(done) = writes.try_next().await? {
            progress(done);
        }
        progress(total);
        self.stop_import(disk).await?;
        let body = request::image::finalize(cluster, &image.name)?;
        self.change("finalize an import", self.client.disk_finalize_import().disk(id).body(body).send()).await
    }

    /// Writing the same again does no harm, so it is asked again where that may help.
    async fn write(&self, disk: Uuid, write: &Write) -> Result<(), OxideError> {
        let data = BASE64_STANDARD.encode(&write.bytes);
        self.ask("write blocks of an image", || {
            let body = types::ImportBlocksBulkWrite { base64_encoded_data: data.clone(), offset: write.offset };
            self.client.disk_bulk_write_import().disk(NameOrId::Id(disk)).body(body).send()
        })
        .await
        .map(drop)
    }

    /// Has a disk wait for an import to begin, or to begin anew.
    pub(crate) async fn stop_import(&self, disk: Uuid) -> Result<(), OxideError> {
        let call = self.client.disk_bulk_write_import_stop().disk(NameOrId::Id(disk));
        self.change("end an import", call.send()).await
    }

    /// Makes a disk like any other of one that waits for an import, so that it can be deleted.
    pub(crate) async fn abandon_import(&self, disk: Uuid) -> Result<(), OxideError> {
        let body = types::FinalizeDisk { snapshot_name: None };
        let call = self.client.disk_finalize_import().disk(NameOrId::Id(disk)).body(body);
        self.change("finalize an import", call.send()).await
    }
}
