//! Disks.

use super::{GIB, Rack, row};
use crate::answer::Answer;
use crate::page::page;
use crate::records::{Content, Disk};
use crate::refusal::Refusal;
use crate::request::Request;
use oxide::types::{self, DiskBackend, DiskSource, DiskState, DiskType};
use uuid::Uuid;

/// The largest disk on distributed storage, in GiB.
const MAX_DISK_GIB: u64 = 1023;

/// Bytes of a block of a local disk.
const LOCAL_BLOCK: i64 = 4096;

/// What a new disk begins with.
struct Origin {
    block_size: types::BlockSize,
    content: Content,
    image: Option<Uuid>,
    snapshot: Option<Uuid>,
    read_only: bool,
    kind: DiskType,
    state: DiskState,
}

impl Origin {
    fn blank(block_size: types::BlockSize) -> Self {
        Self {
            block_size,
            content: Content::default(),
            image: None,
            snapshot: None,
            read_only: false,
            kind: DiskType::Distributed,
            state: DiskState::Detached,
        }
    }
}

impl Rack {
    pub(super) fn disk_list(&self, request: &Request) -> Result<Answer, Refusal> {
        let project = self.project(request)?;
        page(request, self.disks.of(project).map(|disk| row(disk, &disk.view)))
    }

    pub(super) fn disk_view(&self, request: &Request) -> Result<Answer, Refusal> {
        Answer::ok(&self.in_path(&self.disks, request, "disk")?.view)
    }

    pub(super) fn disk_create(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let project = self.project(request)?;
        let disk = self.make_disk(project, request.body()?)?;
        // It is told as it was recorded; it is ready by the time the answer is there.
        let view = types::Disk { state: DiskState::Creating, ..self.disks.get(disk)?.view.clone() };
        Answer::created(&view)
    }

    pub(super) fn disk_delete(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let disk = self.in_path(&self.disks, request, "disk")?;
        match &disk.view.state {
            DiskState::Detached | DiskState::Faulted => {}
            state => return Err(Refusal::invalid(format!("disk cannot be deleted in state \"{}\"", label(state)))),
        }
        let id = disk.view.id;
        self.disks.remove(id);
        Answer::done()
    }

    /// Makes a disk, if all about it is as it must be.
    pub(super) fn make_disk(&mut self, project: Uuid, asked: types::DiskCreate) -> Result<Uuid, Refusal> {
        let origin = self.origin(project, &asked)?;
        check_size(asked.size.0, &origin)?;
        self.disks.check_free(Some(project), &asked.name)?;
        if origin.kind == DiskType::Distributed {
            self.check_storage(asked.size.0)?;
        }
        let (id, now) = (self.ids.next(), self.now());
        let view = types::Disk {
            block_size: origin.block_size,
            description: asked.description,
            device_path: format!("/mnt/{}", *asked.name),
            disk_type: origin.kind,
            id,
            image_id: origin.image,
            name: asked.name,
            project_id: project,
            read_only: origin.read_only,
            size: asked.size,
            snapshot_id: origin.snapshot,
            state: origin.state,
            time_created: now,
            time_modified: now,
        };
        self.disks.insert(Disk { view, content: origin.content })?;
        Ok(id)
    }

    fn origin(&self, project: Uuid, asked: &types::DiskCreate) -> Result<Origin, Refusal> {
        let source = match &asked.disk_backend {
            DiskBackend::Local => {
                let block_size = LOCAL_BLOCK.try_into().map_err(|_| Refusal::Internal)?;
                return Ok(Origin { kind: DiskType::Local, ..Origin::blank(block_size) });
            }
            DiskBackend::Distributed(source) => source,
        };
        match source {
            DiskSource::Blank { block_size } => Ok(Origin::blank(block_size.clone())),
            DiskSource::ImportingBlocks { block_size } => {
                Ok(Origin { state: DiskState::ImportReady, ..Origin::blank(block_size.clone()) })
            }
            DiskSource::Snapshot { snapshot_id, read_only } => {
                let snapshot = self.snapshots.get(*snapshot_id)?;
                check_fits(asked.size.0, snapshot.view.size.0, "snapshot")?;
                Ok(Origin {
                    content: snapshot.content.clone(),
                    snapshot: Some(*snapshot_id),
                    read_only: *read_only,
                    ..Origin::blank(snapshot.block_size.clone())
                })
            }
            DiskSource::Image { image_id, read_only } => {
                let image = self.images.get(*image_id)?;
                if image.view.project_id.is_some_and(|owner| owner != project) {
                    return Err(Refusal::invalid("image does not belong to this project"));
                }
                check_fits(asked.size.0, image.view.size.0, "image")?;
                Ok(Origin {
                    content: image.content.clone(),
                    image: Some(*image_id),
                    read_only: *read_only,
                    ..Origin::blank(image.view.block_size.clone())
                })
            }
        }
    }

    /// Moves a disk to another state.
    pub(super) fn set_disk_state(&mut self, id: Uuid, state: DiskState) -> Result<&Disk, Refusal> {
        let now = self.now();
        let disk = self.disks.get_mut(id)?;
        disk.view.state = state;
        disk.view.time_modified = now;
        Ok(disk)
    }

    /// The disks of an instance.
    pub(super) fn disks_of(&self, instance: Uuid) -> impl Iterator<Item = &Disk> {
        self.disks.iter().filter(move |disk| owner(&disk.view.state) == Some(instance))
    }
}

/// The instance that a disk belongs to.
pub(super) fn owner(state: &DiskState) -> Option<Uuid> {
    match state {
        DiskState::Attaching(instance) | DiskState::Attached(instance) | DiskState::Detaching(instance) => {
            Some(*instance)
        }
        _ => None,
    }
}

/// A state as messages spell it.
pub(super) fn label(state: &DiskState) -> &'static str {
    match state {
        DiskState::Creating => "creating",
        DiskState::Detached => "detached",
        DiskState::ImportReady => "import_ready",
        DiskState::ImportingFromUrl => "importing_from_url",
        DiskState::ImportingFromBulkWrites => "importing_from_bulk_writes",
        DiskState::Finalizing => "finalizing",
        DiskState::Maintenance => "maintenance",
        DiskState::Attaching(_) => "attaching",
        DiskState::Attached(_) => "attached",
        DiskState::Detaching(_) => "detaching",
        DiskState::Destroyed => "destroyed",
        DiskState::Faulted => "faulted",
    }
}

fn check_fits(disk: u64, source: u64, what: &str) -> Result<(), Refusal> {
    match source <= disk {
        true => Ok(()),
        false => {
            Err(Refusal::invalid(format!("disk size {disk} must be greater than or equal to {what} size {source}")))
        }
    }
}

fn check_size(bytes: u64, origin: &Origin) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::InvalidValue { label: "size", message });
    if bytes < GIB {
        return refuse("total size must be at least 1 GiB".to_owned());
    }
    if !bytes.is_multiple_of(GIB) {
        return refuse("total size must be a multiple of 1 GiB".to_owned());
    }
    if origin.kind == DiskType::Distributed && bytes > MAX_DISK_GIB * GIB {
        return refuse(format!("total size must be less than {MAX_DISK_GIB} GiB"));
    }
    Ok(())
}
