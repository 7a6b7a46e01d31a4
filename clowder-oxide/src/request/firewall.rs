//! Rules of the VPC's firewall. The rack takes the whole list at once, so ours are put among everybody's.

use crate::cluster::ClusterSpec;
use crate::error::OxideError;
use crate::owner::{Part, Tag};
use crate::request::name;
use oxide::types;

/// The port of a cluster's API server.
const API_PORT: &str = "6443";

/// What the rule is called that lets clients in.
pub(crate) fn rule_name(cluster: &ClusterSpec) -> String {
    format!("clowder-{}-api", cluster.id)
}

/// Lets clients from everywhere to the API server on these machines, and nowhere else. Servers ask them for certificates.
pub(crate) fn api_rule(
    cluster: &ClusterSpec,
    servers: impl IntoIterator<Item = String>,
) -> Result<types::VpcFirewallRuleUpdate, OxideError> {
    let tag = Tag { cluster: cluster.id.clone(), part: Part::Network };
    let port = types::L4PortRange::try_from(API_PORT);
    let targets = servers.into_iter().map(|server| Ok(types::VpcFirewallRuleTarget::Instance(name(&server)?)));
    Ok(types::VpcFirewallRuleUpdate {
        action: types::VpcFirewallRuleAction::Allow,
        description: tag.describe("Lets clients to a Clowder cluster's API server"),
        direction: types::VpcFirewallRuleDirection::Inbound,
        filters: types::VpcFirewallRuleFilter {
            hosts: None,
            ports: Some(port.into_iter().collect()),
            protocols: Some(vec![types::VpcFirewallRuleProtocol::Tcp]),
        },
        name: name(&rule_name(cluster))?,
        priority: 65_000,
        status: types::VpcFirewallRuleStatus::Enabled,
        targets: targets.collect::<Result<_, OxideError>>()?,
    })
}

/// The whole list with `ours` in it: in place of the cluster's rule of that name, if there is one. All others stay as they
/// are, in their order.
pub(crate) fn with_rule(
    rules: Vec<types::VpcFirewallRule>,
    ours: &types::VpcFirewallRuleUpdate,
) -> types::VpcFirewallRuleUpdateParams {
    let others = rules.into_iter().filter(|rule| rule.name != ours.name).map(kept);
    types::VpcFirewallRuleUpdateParams { rules: others.chain(std::iter::once(ours.clone())).collect() }
}

/// A rule as it is sent to leave it as it is.
pub(crate) fn kept(rule: types::VpcFirewallRule) -> types::VpcFirewallRuleUpdate {
    types::VpcFirewallRuleUpdate {
        action: rule.action,
        description: rule.description,
        direction: rule.direction,
        filters: rule.filters,
        name: rule.name,
        priority: rule.priority,
        status: rule.status,
        targets: rule.targets,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::spec;

    fn rule(body: &types::VpcFirewallRuleUpdate) -> types::VpcFirewallRule {
        let mut json = serde_json::to_value(body).unwrap();
        let nil = uuid::Uuid::nil().to_string();
        for (key, value) in [
            ("id", nil.as_str()),
            ("vpc_id", nil.as_str()),
            ("time_created", "2026-01-01T00:00:00Z"),
            ("time_modified", "2026-01-01T00:00:00Z"),
        ] {
            json[key] = value.into();
        }
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn only_our_own_rule_is_replaced() {
        let spec = spec();
        let foreign = types::VpcFirewallRuleUpdate {
            name: name("allow-ssh").unwrap(),
            description: "anybody's".to_owned(),
            ..api_rule(&spec, ["bastion".to_owned()]).unwrap()
        };
        let old = api_rule(&spec, ["clowder-control-plane-0".to_owned()]).unwrap();
        let new = api_rule(&spec, (0..2).map(|i| format!("clowder-control-plane-{i}"))).unwrap();
        let body = with_rule(vec![rule(&foreign), rule(&old)], &new);
        insta::assert_json_snapshot!(body);
    }
}
