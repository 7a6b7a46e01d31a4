//! An image, and the disk and the snapshot by which it is imported.

use crate::cluster::ClusterSpec;
use crate::error::OxideError;
use crate::owner::{Part, Tag};
use crate::request::name;
use oxide::types;
use uuid::Uuid;

/// The smallest disk, and what sizes are multiples of, in bytes.
const UNIT: u64 = 1 << 30;

fn tag(cluster: &ClusterSpec) -> Tag {
    Tag { cluster: cluster.id.clone(), part: Part::Image }
}

/// What the disk and the snapshot are called by which a cluster imports an image: as long a name as fits, and a hash that
/// tells apart what is cut off, and clusters of one project.
pub(crate) fn import_name(cluster: &ClusterSpec, image: &str) -> String {
    let hash = crate::disk::hash(&format!("{} {image}", cluster.id));
    let head: String = image.chars().take(40).collect();
    format!("import-{hash}-{}", head.trim_end_matches('-'))
}

/// Bytes of a block as the rack wants them.
pub(crate) fn block_size(bytes: i64) -> Result<types::BlockSize, OxideError> {
    types::BlockSize::try_from(bytes).map_err(|_| OxideError::InvalidName { name: bytes.to_string() })
}

/// Bytes of a disk that has room for so many.
fn disk_size(bytes: u64) -> u64 {
    bytes.div_ceil(UNIT).saturating_mul(UNIT)
}

/// The disk that takes the blocks of an image of `bytes`.
pub(crate) fn import_disk(
    cluster: &ClusterSpec,
    image: &str,
    block: u16,
    bytes: u64,
) -> Result<types::DiskCreate, OxideError> {
    Ok(types::DiskCreate {
        description: tag(cluster).describe(&format!("Takes image {image} as it is imported")),
        disk_backend: types::DiskBackend::Distributed(types::DiskSource::ImportingBlocks {
            block_size: block_size(block.into())?,
        }),
        name: name(&import_name(cluster, image))?,
        size: disk_size(bytes).into(),
    })
}

/// The end of an import: a snapshot of what was written.
pub(crate) fn finalize(cluster: &ClusterSpec, image: &str) -> Result<types::FinalizeDisk, OxideError> {
    Ok(types::FinalizeDisk { snapshot_name: Some(name(&import_name(cluster, image))?) })
}

/// The image, of a snapshot.
pub(crate) fn image(cluster: &ClusterSpec, image: &str, snapshot: Uuid) -> Result<types::ImageCreate, OxideError> {
    Ok(types::ImageCreate {
        description: tag(cluster).describe("Machines of a Clowder cluster start from it"),
        name: name(image)?,
        os: "linux".to_owned(),
        source: types::ImageSource::Snapshot(snapshot),
        version: "imported".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::spec;

    #[test]
    fn an_import_from_its_disk_to_its_image() {
        let spec = spec();
        insta::assert_json_snapshot!((
            import_disk(&spec, "debian-12", 512, (3 << 30) + 1).unwrap(),
            finalize(&spec, "debian-12").unwrap(),
            image(&spec, "debian-12", Uuid::from_u128(3)).unwrap(),
        ));
    }

    #[test]
    fn names_of_imports_fit_and_differ() {
        let spec = spec();
        let long = "debian-12-generic-cloud-amd64-20260101-with-a-long-name-x";
        let names = [long, &long.replace('x', "y"), "debian-12"].map(|image| import_name(&spec, image));
        assert!(names.iter().all(|text| name(text).is_ok()), "{names:?}");
        assert_ne!(names[0], names[1]);
    }
}
