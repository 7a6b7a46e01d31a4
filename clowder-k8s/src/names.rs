//! How things are named on a cluster.

use clowder_core::ModelName;
use sha2::{Digest, Sha256};

/// Who has set a field of a resource, as server-side apply records it.
pub const FIELD_MANAGER: &str = "clowder";

/// The label that says what a resource is.
pub const NAME_LABEL: &str = "app.kubernetes.io/name";
/// The label that says who made a resource.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// The [`NAME_LABEL`] of workers' Pods.
pub const WORKER: &str = "clowder-worker";
/// The [`MANAGED_BY_LABEL`] of all that Clowder makes by itself.
pub const MANAGER: &str = "clowder";
/// The label with the [slug](ModelName::slug) of the model that a worker serves.
pub const MODEL_LABEL: &str = "clowder.dev/model";
/// The label with the revision of that model, 8 hexadecimal digits.
pub const REVISION_LABEL: &str = "clowder.dev/revision";
/// The annotation with what an observer needs to know of a worker; see [`WorkerNote`](crate::pod::WorkerNote).
pub const WORKER_ANNOTATION: &str = "clowder.dev/worker";

/// What selects workers' Pods.
pub(crate) fn worker_selector() -> String {
    format!("{NAME_LABEL}={WORKER},{MANAGED_BY_LABEL}={MANAGER}")
}

/// The longest resource name that is a model's name as it stands.
const LONGEST_NAME: usize = 63;

/// The name of the resource that a model's record is kept in where it is made by Clowder. A model's name that is a
/// resource's name too is taken as it is; of another, a slug and a hash are made, and `spec.alias` says the whole.
pub(crate) fn resource_name(model: &ModelName) -> String {
    let name = model.as_str();
    if is_resource_name(name) { name.to_owned() } else { hashed_name(model) }
}

/// The name of a resource that is made for this model alone, whatever others are called.
pub(crate) fn hashed_name(model: &ModelName) -> String {
    let hash = Sha256::digest(model.as_str().as_bytes());
    let hash: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    match model.slug().as_str() {
        "" => format!("model-{hash}"),
        slug => format!("{slug}-{hash}"),
    }
}

/// Whether it is a DNS subdomain (RFC 1123), as resources are named, and no longer than a model's name may be.
fn is_resource_name(name: &str) -> bool {
    let label = |label: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        !label.is_empty()
            && label.starts_with(inner)
            && label.ends_with(inner)
            && label.chars().all(|c| inner(c) || c == '-')
    };
    name.len() <= LONGEST_NAME && name.split('.').all(label)
}

/// The Secret with the credentials that were given for a model through the API.
pub(crate) fn credentials_secret(resource: &str) -> String {
    format!("clowder-credentials-{resource}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> String {
        resource_name(&name.parse().unwrap())
    }

    #[test]
    fn a_name_that_fits_is_kept() {
        for name in ["kitten", "7b", "qwen2.5-0.5b"] {
            assert_eq!(named(name), name);
        }
    }

    #[test]
    fn a_name_that_does_not_becomes_one_that_does() {
        let names = ["Kitten", "org/kitten", "org:kitten", "a..b", "a-", "a.-b", "kitten_"].map(named);
        assert!(names.iter().all(|name| is_resource_name(name)), "{names:?}");
        assert!(names[0].starts_with("kitten-") && names[1].starts_with("org-kitten-"), "{names:?}");
        assert_ne!(names[1], names[2], "names of one slug are told apart");
    }
}
