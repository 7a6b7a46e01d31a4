//! Imports: a disk is written block by block.

use super::Rack;
use super::disks::label;
use crate::answer::Answer;
use crate::records::Snapshot;
use crate::refusal::Refusal;
use crate::request::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oxide::types::{self, DiskState, SnapshotState};
use uuid::Uuid;

/// The most bytes of one write.
const MAX_CHUNK: usize = 512 * 1024;

/// The most bytes that are kept of one disk: a simulator is no place for a whole image.
const MAX_CONTENT: u64 = 256 << 20;

impl Rack {
    pub(super) fn disk_bulk_write_import_start(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let disk = self.in_path(&self.disks, request, "disk")?;
        match disk.view.state {
            DiskState::ImportReady => {
                let id = disk.view.id;
                self.set_disk_state(id, DiskState::ImportingFromBulkWrites)?;
                Answer::done()
            }
            ref state => Err(Refusal::invalid(format!(
                "cannot set disk in state {} to \"importing_from_bulk_writes\"",
                label(state)
            ))),
        }
    }

    pub(super) fn disk_bulk_write_import(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let disk = self.in_path(&self.disks, request, "disk")?;
        let (id, size) = (disk.view.id, disk.view.size.0);
        let block = u64::try_from(*disk.view.block_size).map_err(|_| Refusal::Internal)?;
        if !matches!(disk.view.state, DiskState::ImportingFromBulkWrites) {
            return Err(Refusal::invalid(format!(
                "cannot import blocks with a bulk write for disk in state {}",
                label(&disk.view.state)
            )));
        }
        let asked: types::ImportBlocksBulkWrite = request.body()?;
        let data = STANDARD.decode(asked.base64_encoded_data);
        let data = data.map_err(|error| Refusal::invalid(format!("error base64 decoding data: {error}")))?;
        let length = data.len() as u64;
        if data.len() > MAX_CHUNK {
            return Err(Refusal::invalid(format!("data length {length} is larger than max chunk size {MAX_CHUNK}")));
        }
        if !asked.offset.is_multiple_of(block) || !length.is_multiple_of(block) {
            return Err(Refusal::invalid(format!("offset and data length must be multiples of block size {block}")));
        }
        if asked.offset.saturating_add(length) > size {
            return Err(Refusal::invalid(format!("data goes past the end of the disk at {size}")));
        }
        if disk.content.written() + length > MAX_CONTENT {
            return Err(Refusal::NoCapacity("this simulator keeps 256 MiB of a disk: import a smaller image"));
        }
        self.disks.get_mut(id)?.content.write(asked.offset, data.into());
        Answer::done()
    }

    pub(super) fn disk_bulk_write_import_stop(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let disk = self.in_path(&self.disks, request, "disk")?;
        match disk.view.state {
            DiskState::ImportingFromBulkWrites => {
                let id = disk.view.id;
                self.set_disk_state(id, DiskState::ImportReady)?;
                Answer::done()
            }
            ref state => {
                Err(Refusal::invalid(format!("cannot set disk in state {} to \"import_ready\"", label(state))))
            }
        }
    }

    pub(super) fn disk_finalize_import(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let disk = self.in_path(&self.disks, request, "disk")?;
        let (id, project) = (disk.view.id, disk.view.project_id);
        if !matches!(disk.view.state, DiskState::ImportReady) {
            return Err(Refusal::invalid(format!("cannot finalize disk in state {}", label(&disk.view.state))));
        }
        let asked: types::FinalizeDisk = request.body()?;
        if let Some(name) = asked.snapshot_name {
            let description = format!("snapshot of disk {}", *disk.view.name);
            self.make_snapshot(project, id, name, description)?;
        }
        self.set_disk_state(id, DiskState::Detached)?;
        Answer::done()
    }

    /// A snapshot of a disk as it is now.
    pub(super) fn make_snapshot(
        &mut self,
        project: Uuid,
        disk: Uuid,
        name: types::Name,
        description: String,
    ) -> Result<&Snapshot, Refusal> {
        let disk = self.disks.get(disk)?.clone();
        self.check_storage(disk.view.size.0)?;
        let now = self.now();
        let view = types::Snapshot {
            description,
            disk_id: disk.view.id,
            id: self.ids.next(),
            name,
            project_id: project,
            size: disk.view.size,
            state: SnapshotState::Ready,
            time_created: now,
            time_modified: now,
        };
        let snapshot = Snapshot { view, content: disk.content, block_size: disk.view.block_size };
        self.snapshots.insert(snapshot).map(|snapshot| &*snapshot)
    }
}
