//! Firewall rules: always read and written as a whole.

use super::Rack;
use crate::answer::Answer;
use crate::refusal::Refusal;
use crate::request::Request;
use oxide::types;
use serde_json::json;
use std::collections::BTreeSet;
use uuid::Uuid;

impl Rack {
    /// The rules of a new VPC.
    pub(super) fn default_rules(&mut self, vpc: Uuid) -> Result<Vec<types::VpcFirewallRule>, Refusal> {
        let rule = |name: &str, description: &str, filters: serde_json::Value| {
            json!({
                "action": "allow", "description": description, "direction": "inbound", "filters": filters,
                "name": name, "priority": 65534, "status": "enabled",
                "targets": [{ "type": "vpc", "value": "default" }],
            })
        };
        let rules = json!([
            rule(
                "allow-icmp",
                "allow inbound ICMP traffic from anywhere",
                json!({ "protocols": [{ "type": "icmp", "value": null }] }),
            ),
            rule(
                "allow-internal-inbound",
                "allow inbound traffic to all instances within the VPC if originated within the VPC",
                json!({ "hosts": [{ "type": "vpc", "value": "default" }] }),
            ),
            rule(
                "allow-ssh",
                "allow inbound TCP connections on port 22 from anywhere",
                json!({ "ports": ["22"], "protocols": [{ "type": "tcp" }] }),
            ),
        ]);
        let rules: Vec<types::VpcFirewallRuleUpdate> = serde_json::from_value(rules).map_err(|_| Refusal::Internal)?;
        Ok(rules.into_iter().map(|rule| self.new_rule(vpc, rule)).collect())
    }

    pub(super) fn vpc_firewall_rules_view(&self, request: &Request) -> Result<Answer, Refusal> {
        let vpc = self.vpcs.get(self.vpc_of(request)?)?;
        Answer::ok(&types::VpcFirewallRules { rules: vpc.firewall_rules.clone() })
    }

    pub(super) fn vpc_firewall_rules_update(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let id = self.vpc_of(request)?;
        let asked: types::VpcFirewallRuleUpdateParams = request.body()?;
        let mut names = BTreeSet::new();
        if let Some(twice) = asked.rules.iter().find(|rule| !names.insert(rule.name.to_string())) {
            return Err(Refusal::InvalidValue {
                label: "rules",
                message: format!("Rule names must be unique. Duplicates: [{}]", *twice.name),
            });
        }
        let mut rules: Vec<_> = asked.rules.into_iter().map(|rule| self.new_rule(id, rule)).collect();
        rules.sort_by(|a, b| a.name.cmp(&b.name));
        let vpc = self.vpcs.get_mut(id)?;
        vpc.firewall_rules.clone_from(&rules);
        Answer::ok(&types::VpcFirewallRules { rules })
    }

    /// Each update makes all rules anew, with ids of their own.
    fn new_rule(&mut self, vpc: Uuid, rule: types::VpcFirewallRuleUpdate) -> types::VpcFirewallRule {
        let now = self.now();
        types::VpcFirewallRule {
            action: rule.action,
            description: rule.description,
            direction: rule.direction,
            filters: rule.filters,
            id: self.ids.next(),
            name: rule.name,
            priority: rule.priority,
            status: rule.status,
            targets: rule.targets,
            time_created: now,
            time_modified: now,
            vpc_id: vpc,
        }
    }
}
