//! Snapshots, and the images that are made from them.

use super::disks::label;
use super::{Rack, row};
use crate::answer::Answer;
use crate::page::page;
use crate::records::Image;
use crate::refusal::Refusal;
use crate::request::Request;
use oxide::types::{self, DiskState, NameOrId};

impl Rack {
    pub(super) fn snapshot_list(&self, request: &Request) -> Result<Answer, Refusal> {
        let project = self.project(request)?;
        page(request, self.snapshots.of(project).map(|snapshot| row(snapshot, &snapshot.view)))
    }

    pub(super) fn snapshot_view(&self, request: &Request) -> Result<Answer, Refusal> {
        Answer::ok(&self.in_path(&self.snapshots, request, "snapshot")?.view)
    }

    pub(super) fn snapshot_create(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let project = self.project(request)?;
        let asked: types::SnapshotCreate = request.body()?;
        let disk = self.disks.within(project, &asked.disk)?;
        match &disk.view.state {
            DiskState::Detached | DiskState::Attached(_) => {}
            state => {
                return Err(Refusal::invalid(format!("cannot snapshot disk in state \"{}\"", label(state))));
            }
        }
        let disk = disk.view.id;
        Answer::created(&self.make_snapshot(project, disk, asked.name, asked.description)?.view)
    }

    pub(super) fn snapshot_delete(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let id = self.in_path(&self.snapshots, request, "snapshot")?.view.id;
        self.snapshots.remove(id);
        Answer::done()
    }

    /// The images of a project, or those of the silo where none is named.
    pub(super) fn image_list(&self, request: &Request) -> Result<Answer, Refusal> {
        let project = request.query("project")?.map(|project| self.find_project(&project)).transpose()?;
        let images = self.images.iter().filter(|image| image.view.project_id == project);
        page(request, images.map(|image| row(image, &image.view)))
    }

    pub(super) fn image_view(&self, request: &Request) -> Result<Answer, Refusal> {
        Answer::ok(&self.image_in_path(request)?.view)
    }

    pub(super) fn image_create(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let project = request.query("project")?.map(|project| self.find_project(&project)).transpose()?;
        let asked: types::ImageCreate = request.body()?;
        let types::ImageSource::Snapshot(snapshot) = asked.source;
        let snapshot = self.snapshots.get(snapshot)?;
        if project.is_some_and(|project| project != snapshot.view.project_id) {
            return Err(Refusal::invalid("snapshot does not belong to this project"));
        }
        let (block_size, size) = (snapshot.block_size.clone(), snapshot.view.size.clone());
        let (content, now) = (snapshot.content.clone(), self.now());
        let view = types::Image {
            block_size,
            description: asked.description,
            digest: None,
            id: self.ids.next(),
            name: asked.name,
            os: asked.os,
            project_id: project,
            size,
            time_created: now,
            time_modified: now,
            version: asked.version,
        };
        Answer::created(&self.images.insert(Image { view, content })?.view)
    }

    /// Disks that were made from it stay.
    pub(super) fn image_delete(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let id = self.image_in_path(request)?.view.id;
        self.images.remove(id);
        Answer::done()
    }

    /// A name without a project is that of an image of the silo.
    fn image_in_path(&self, request: &Request) -> Result<&Image, Refusal> {
        match (request.path("image")?, request.query("project")?) {
            (NameOrId::Name(name), None) => self.images.named(None, &name),
            (image, project) => self.pick(&self.images, "image", &image, project.as_ref()),
        }
    }
}
