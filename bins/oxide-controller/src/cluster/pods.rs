//! Which Pods keep a node from being empty.

use k8s_openapi::api::core::v1::Pod;

/// Marks a Pod that a kubelet made from a file of its own.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Whether a Pod is moved elsewhere when its node goes. Those of DaemonSets come back where they were, mirrors are the
/// node's own, and what has ended moves nowhere.
pub(super) fn is_evictable(pod: &Pod) -> bool {
    let of_a_daemon_set = || {
        let owners = pod.metadata.owner_references.iter().flatten();
        owners.filter(|owner| owner.controller == Some(true)).any(|owner| owner.kind == "DaemonSet")
    };
    let is_a_mirror = || pod.metadata.annotations.as_ref().is_some_and(|notes| notes.contains_key(MIRROR));
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed")) && !of_a_daemon_set() && !is_a_mirror()
}

/// Whether it is on its way out already.
pub(super) fn is_leaving(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// The node it is on, once it is on one.
pub(super) fn node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_belongs_to_the_node_or_has_ended_does_not_keep_it() {
        let owned = |kind: &str| json!({"ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": "x", "uid": "u", "controller": true}]});
        for (pod, keeps) in [
            (json!({"metadata": {}}), true),
            (json!({"metadata": owned("ReplicaSet"), "status": {"phase": "Running"}}), true),
            (json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}), true),
            (json!({"metadata": owned("DaemonSet")}), false),
            (json!({"metadata": {"annotations": {MIRROR: "x"}}}), false),
            (json!({"metadata": {}, "status": {"phase": "Succeeded"}}), false),
            (json!({"metadata": {}, "status": {"phase": "Failed"}}), false),
        ] {
            let parsed: Pod = serde_json::from_value(pod.clone()).unwrap();
            assert_eq!(is_evictable(&parsed), keeps, "{pod}");
        }
    }
}
