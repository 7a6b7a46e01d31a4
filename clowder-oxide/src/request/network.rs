//! What servers have in common on the network: the API server's address, and sleds that they do not share.

use crate::cluster::{ClusterId, ClusterSpec};
use crate::error::OxideError;
use crate::owner::{Part, Tag};
use crate::request::name;
use oxide::types;

fn tag(cluster: &ClusterId) -> Tag {
    Tag { cluster: cluster.clone(), part: Part::Network }
}

/// The project, where it is to be created.
pub(crate) fn project(cluster: &ClusterSpec) -> Result<types::ProjectCreate, OxideError> {
    Ok(types::ProjectCreate {
        defaults: None,
        description: "Machines of Clowder".to_owned(),
        name: name(&cluster.project)?,
    })
}

/// What the API server's address is called.
pub(crate) fn floating_ip_name(cluster: &ClusterSpec) -> String {
    format!("clowder-{}-api", cluster.id)
}

/// The API server's address.
pub(crate) fn floating_ip(cluster: &ClusterSpec) -> Result<types::FloatingIpCreate, OxideError> {
    Ok(types::FloatingIpCreate {
        address_allocator: types::AddressAllocator::Auto {
            pool_selector: types::PoolSelector::Auto { ip_version: Some(types::IpVersion::V4) },
        },
        description: tag(&cluster.id).describe("Address of a Clowder cluster's API server"),
        name: name(&floating_ip_name(cluster))?,
    })
}

/// What the servers' group is called.
pub(crate) fn group_name(cluster: &ClusterSpec) -> String {
    format!("clowder-{}-servers", cluster.id)
}

/// Keeps servers on different sleds, as long as there are enough of them.
pub(crate) fn group(cluster: &ClusterSpec) -> Result<types::AntiAffinityGroupCreate, OxideError> {
    Ok(types::AntiAffinityGroupCreate {
        description: tag(&cluster.id).describe("Keeps a Clowder cluster's servers on different sleds"),
        failure_domain: types::FailureDomain::Sled,
        name: name(&group_name(cluster))?,
        policy: types::AffinityPolicy::Allow,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::spec;

    #[test]
    fn the_project_the_address_and_the_group() {
        let spec = spec();
        insta::assert_json_snapshot!((project(&spec).unwrap(), floating_ip(&spec).unwrap(), group(&spec).unwrap()));
    }
}
