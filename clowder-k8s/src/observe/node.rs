//! A Node as core's node.

use super::quantity;
use clowder_core::node::{Accelerator, Capacity, NodeName, Openness};
use k8s_openapi::api::core::v1::{Node, Taint};
use std::collections::BTreeSet;

/// Labels of nodes that run the control plane, and only that.
const CONTROL_PLANE: [&str; 2] = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/// The most entries of one extended resource. A device that all may share at once is offered by the thousand, and no
/// worker asks for so many.
const MOST_OF_A_KIND: usize = 256;

/// A Node as core sees it; `None` where it has no name.
///
/// New workers may go there if it is ready, not cordoned, without a taint that keeps Pods away, and no control-plane node. A
/// taint that is named as what the node offers keeps it for those that ask for that. Which models are on it is known to its storage manager alone.
pub fn node(node: &Node) -> Option<clowder_core::Node> {
    let name = NodeName(node.metadata.name.clone()?);
    let allocatable = |resource: &str| {
        let status = node.status.as_ref()?;
        Some(status.allocatable.as_ref()?.get(resource)?.0.as_str())
    };
    let accelerators = accelerators(node);
    let openness = openness(node, &accelerators);
    Some(clowder_core::Node {
        name,
        labels: node.metadata.labels.clone().unwrap_or_default(),
        capacity: Capacity {
            memory: quantity::whole(allocatable("memory")),
            cores: u32::try_from(quantity::whole(allocatable("cpu"))).unwrap_or(u32::MAX),
            accelerators,
        },
        openness,
        cached: BTreeSet::new(),
    })
}

/// What device plugins offer for workers: extended resources, which are named by a domain that is not Kubernetes' own. Of
/// what an accelerator's memory is, a Node says nothing.
fn accelerators(node: &Node) -> Vec<Accelerator> {
    let is_extended =
        |name: &str| name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("hugepages-");
    let allocatable = node.status.iter().filter_map(|status| status.allocatable.as_ref()).flatten();
    let of_kind = |name: &String, count: u64| {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(MOST_OF_A_KIND);
        std::iter::repeat_n(Accelerator { name: name.clone(), memory: 0 }, count)
    };
    allocatable
        .filter(|(name, _)| is_extended(name))
        .flat_map(|(name, count)| of_kind(name, quantity::whole(Some(&count.0))))
        .collect()
}

/// What is cordoned may be down, too, for the very work that it was cordoned for: it is still to be empty.
fn openness(node: &Node, accelerators: &[Accelerator]) -> Openness {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let spec = node.spec.as_ref();
    let cordoned = spec.and_then(|spec| spec.unschedulable).unwrap_or(false);
    let taints = spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let labels = node.metadata.labels.as_ref();
    let control_plane = labels.is_some_and(|labels| CONTROL_PLANE.iter().any(|label| labels.contains_key(*label)));
    if cordoned {
        Openness::Cordoned
    } else if ready && !control_plane {
        tainted(taints, accelerators)
    } else {
        Openness::Closed
    }
}

/// How open taints leave a node. Workers bear with those that Kubernetes, too, has Pods bear with that ask for an extended
/// resource: of its name, and of the effect that keeps away who has not come yet.
fn tainted(taints: &[Taint], accelerators: &[Accelerator]) -> Openness {
    let of_accelerator =
        |taint: &Taint| taint.effect == "NoSchedule" && accelerators.iter().any(|one| one.name == taint.key);
    let mut openness = Openness::Open;
    for taint in taints.iter().filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")) {
        let reserved = Openness::Reserved(taint.key.clone());
        // A worker asks for one kind, and so bears with one kind of taint.
        if !of_accelerator(taint) || (openness != Openness::Open && openness != reserved) {
            return Openness::Closed;
        }
        openness = reserved;
    }
    openness
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn observed(change: impl FnOnce(&mut serde_json::Value)) -> clowder_core::Node {
        let mut value = json!({
            "metadata": { "name": "sled-1", "labels": { "disk": "fast" } },
            "spec": {},
            "status": {
                "allocatable": { "memory": "64Gi", "cpu": "15890m" },
                "conditions": [{ "type": "MemoryPressure", "status": "False" }, { "type": "Ready", "status": "True" }],
            },
        });
        change(&mut value);
        node(&serde_json::from_value(value).unwrap()).unwrap()
    }

    #[test]
    fn a_node_gives_what_is_allocatable() {
        let node = observed(|_| ());
        assert_eq!((node.name.as_str(), node.capacity.memory, node.capacity.cores), ("sled-1", 64 << 30, 15));
        assert_eq!(node.labels["disk"], "fast");
        assert_eq!(node.openness, Openness::Open);
    }

    #[test]
    fn a_node_that_takes_no_workers() {
        let closed: [fn(&mut serde_json::Value); 6] = [
            |node| node["status"]["conditions"][1]["status"] = "Unknown".into(),
            |node| node["status"]["conditions"] = json!([]),
            |node| node["spec"]["taints"] = json!([{ "key": "k", "effect": "NoSchedule" }]),
            |node| node["spec"]["taints"] = json!([{ "key": "k", "effect": "NoExecute" }]),
            |node| node["metadata"]["labels"]["node-role.kubernetes.io/control-plane"] = "".into(),
            |node| node["status"] = json!({}),
        ];
        for change in closed {
            assert_eq!(observed(change).openness, Openness::Closed);
        }
        let preferred = observed(|n| n["spec"]["taints"] = json!([{ "key": "k", "effect": "PreferNoSchedule" }]));
        assert_eq!(preferred.openness, Openness::Open);
    }

    #[test]
    fn a_node_that_shall_be_empty() {
        let cordoned = |node: &mut serde_json::Value| {
            node["spec"]["unschedulable"] = true.into();
            // Kubernetes says it twice.
            node["spec"]["taints"] = json!([{ "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule" }]);
        };
        assert_eq!(observed(cordoned).openness, Openness::Cordoned);
        let down = |node: &mut serde_json::Value| {
            cordoned(node);
            node["status"]["conditions"][1]["status"] = "Unknown".into();
        };
        assert_eq!(observed(down).openness, Openness::Cordoned);
    }

    #[test]
    fn a_taint_named_as_what_the_node_offers_keeps_it_for_that() {
        let tainted = |taints: serde_json::Value| {
            let node = observed(|node| {
                node["status"]["allocatable"]["nvidia.com/gpu"] = "2".into();
                node["status"]["allocatable"]["amd.com/gpu"] = "1".into();
                node["status"]["allocatable"]["intel.com/gpu"] = "0".into();
                node["spec"]["taints"] = taints;
            });
            node.openness
        };
        let gpu = json!({ "key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule" });
        let other = |key: &str, effect: &str| json!({ "key": key, "effect": effect });
        let reserved = Openness::Reserved("nvidia.com/gpu".to_owned());
        assert_eq!(tainted(json!([gpu])), reserved);
        assert_eq!(tainted(json!([gpu, gpu, other("k", "PreferNoSchedule")])), reserved);
        assert_eq!(tainted(json!([gpu, other("k", "NoSchedule")])), Openness::Closed);
        assert_eq!(tainted(json!([gpu, other("amd.com/gpu", "NoSchedule")])), Openness::Closed, "nobody asks for both");
        assert_eq!(tainted(json!([other("nvidia.com/gpu", "NoExecute")])), Openness::Closed);
        assert_eq!(tainted(json!([other("intel.com/gpu", "NoSchedule")])), Openness::Closed, "it has none");
    }

    #[test]
    fn extended_resources_are_accelerators() {
        let node = observed(|node| {
            node["status"]["allocatable"] = json!({
                "memory": "64Gi", "cpu": "16", "pods": "110", "ephemeral-storage": "1Ti", "hugepages-2Mi": "1Gi",
                "attachable-volumes-aws-ebs": "25", "scheduling.kubernetes.io/foo": "3", "kubernetes.io/batch-cpu": "8",
                "amd.com/gpu": "0", "nvidia.com/gpu": "2", "nvidia.com/mig-1g.10gb": "1", "devices.kubevirt.io/kvm": "1k",
            });
        });
        let named = |name: &str| node.capacity.accelerators.iter().filter(|one| one.name == name).count();
        let counts = ["nvidia.com/gpu", "nvidia.com/mig-1g.10gb", "devices.kubevirt.io/kvm"].map(named);
        assert_eq!(counts, [2, 1, MOST_OF_A_KIND]);
        assert_eq!(node.capacity.accelerators.len(), 3 + MOST_OF_A_KIND);
        assert!(node.capacity.accelerators.iter().all(|one| one.memory == 0));
    }

    #[test]
    fn a_node_that_says_nothing_gives_nothing() {
        let node = observed(|node| node["status"]["allocatable"] = json!({ "memory": "lots" }));
        assert_eq!((node.capacity.memory, node.capacity.cores), (0, 0));
        assert_eq!(super::node(&Node::default()), None);
    }
}
