//! Images: found by name, or imported.

use super::{Plan, View};
use crate::cluster::ImageSpec;
use crate::observe::SeenDisk;
use crate::owner::Part;
use crate::request::image::import_name;
use crate::step::Step;
use oxide::types::{DiskState, SnapshotState};
use std::collections::BTreeMap;

pub(super) fn plan(view: &View<'_>, plan: &mut Plan) {
    let wanted: BTreeMap<&str, &ImageSpec> = view.cluster.images().map(|image| (image.name.as_str(), image)).collect();
    let mut importing = Vec::new();
    for image in wanted.values().filter(|image| view.seen.image(&image.name).is_none()) {
        match image.source {
            None => plan.problem(format!(
                "image {} is neither in the project nor in the silo: give a source to import it from, or name another",
                image.name
            )),
            Some(_) => {
                import(view, image, plan);
                importing.push(import_name(view.cluster.spec(), &image.name));
            }
        }
    }
    // An import that is not wanted any more is done before it is cleared away.
    let left = view
        .seen
        .disks
        .iter()
        .filter(|disk| is_ours(view, disk) && !importing.contains(&disk.name) && !view.history.is_writing(disk.id));
    left.for_each(|disk| clear(view, disk, plan));
}

fn is_ours(view: &View<'_>, disk: &SeenDisk) -> bool {
    view.cluster.owns(disk.tag.as_ref(), &Part::Image)
}

fn import(view: &View<'_>, image: &ImageSpec, plan: &mut Plan) {
    let name = import_name(view.cluster.spec(), &image.name);
    let disk = view.seen.disks.iter().find(|disk| disk.name == name);
    let snapshot = view.seen.snapshots.iter().find(|snapshot| snapshot.name == name);
    let failed = view.history.unwritten(&image.name);
    if let Some(why) = failed.and_then(|failed| failed.failure.as_ref()) {
        plan.problem(why.reason.clone());
    }
    if disk.is_some_and(|disk| view.history.is_writing(disk.id)) {
        return plan.wait(format!("image {} to be imported", image.name));
    }
    if disk.is_some_and(|disk| !is_ours(view, disk)) {
        return plan
            .problem(format!("disk {name} is in the way of an import and not the cluster's: delete or rename it"));
    }
    match (disk, snapshot) {
        (disk, Some(snapshot)) if disk.is_none_or(|disk| disk.id != snapshot.disk) => {
            plan.problem(format!("snapshot {name} is in the way of an import and not the cluster's: delete it"));
        }
        (_, Some(snapshot)) => match snapshot.state {
            SnapshotState::Ready => {
                plan.step(Step::CreateImage { image: image.name.clone(), snapshot: snapshot.id });
            }
            SnapshotState::Creating => plan.wait(format!("snapshot {name} to be ready")),
            SnapshotState::Faulted | SnapshotState::Destroyed => {
                plan.step(Step::DeleteSnapshot { snapshot: snapshot.id, name });
            }
        },
        (None, None) if failed.is_some_and(|failed| failed.again_at > view.now) => {
            plan.wait(format!("image {} to be imported again", image.name));
        }
        (None, None) => plan.step(Step::CreateImportDisk(image.clone())),
        (Some(disk), None) if matches!(disk.state, DiskState::ImportReady) && !view.history.is_used(disk.id) => {
            plan.step(Step::WriteImage { image: image.clone(), disk: disk.id });
        }
        (Some(disk), None) => clear(view, disk, plan),
    }
}

/// Takes the next step to be rid of the disk of an import, and of what was made of it.
fn clear(view: &View<'_>, disk: &SeenDisk, plan: &mut Plan) {
    let (id, name) = (disk.id, disk.name.clone());
    let snapshots = view.seen.snapshots.iter().filter(|snapshot| snapshot.disk == id);
    let mut snapshots = snapshots.filter(|snapshot| snapshot.state != SnapshotState::Destroyed).peekable();
    if snapshots.peek().is_some() {
        // A snapshot bears no tag. That of its disk says whose it is, so the disk goes last.
        return snapshots
            .for_each(|left| plan.step(Step::DeleteSnapshot { snapshot: left.id, name: left.name.clone() }));
    }
    match disk.state {
        DiskState::ImportingFromBulkWrites => plan.step(Step::StopImport { disk: id, name }),
        DiskState::ImportReady | DiskState::ImportingFromUrl => plan.step(Step::AbandonImport { disk: id, name }),
        DiskState::Detached | DiskState::Faulted => plan.step(Step::DeleteDisk { disk: id, name }),
        _ => plan.wait(format!("disk {name} to be ready")),
    }
}
