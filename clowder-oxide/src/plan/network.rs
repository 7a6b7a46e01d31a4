//! What servers have in common on the network.

use super::{Plan, View};
use crate::cluster::ExternalIp;
use crate::owner::{Part, Tag};
use crate::request::firewall::{api_rule, kept, rule_name};
use crate::request::network::{floating_ip_name, group_name};
use crate::step::Step;
use oxide::types;

/// Whether servers can be made: what they refer to is there.
pub(super) struct Network {
    pub(super) ready: bool,
}

pub(super) fn plan(view: &View<'_>, plan: &mut Plan) -> Network {
    let grouped = group(view, plan);
    let outside = view.cluster.spec().servers.external_ip != ExternalIp::None;
    if !outside {
        return Network { ready: grouped };
    }
    let addressed = floating_ip(view, plan);
    firewall(view, plan);
    Network { ready: grouped && addressed }
}

fn foreign(what: &str, name: &str) -> String {
    format!("{what} {name} exists and is not the cluster's: rename or delete it, or give the cluster another name")
}

fn group(view: &View<'_>, plan: &mut Plan) -> bool {
    let name = group_name(view.cluster.spec());
    match view.seen.groups.iter().find(|(group, _)| *group == name) {
        Some((_, tag)) if view.cluster.owns(tag.as_ref(), &Part::Network) => return true,
        Some(_) => plan.problem(foreign("anti-affinity group", &name)),
        None => plan.step(Step::CreateGroup { name }),
    }
    false
}

fn floating_ip(view: &View<'_>, plan: &mut Plan) -> bool {
    if view.seen.own_floating_ip(view.cluster).is_some() {
        return true;
    }
    let name = floating_ip_name(view.cluster.spec());
    if view.seen.floating_ips.iter().any(|ip| ip.name == name) {
        plan.problem(foreign("floating IP", &name));
    } else {
        plan.step(Step::CreateFloatingIp { name });
    }
    false
}

fn firewall(view: &View<'_>, plan: &mut Plan) {
    let spec = view.cluster.spec();
    let mut servers: Vec<String> =
        view.seen.machines(view.cluster, &Part::Servers).map(|(name, _)| name.to_string()).collect();
    if servers.is_empty() {
        return;
    }
    servers.sort();
    let name = rule_name(spec);
    let Ok(wanted) = api_rule(spec, servers.iter().cloned()) else { return };
    match view.seen.rules.iter().find(|rule| *rule.name == *name) {
        Some(rule) if !view.cluster.owns(Tag::of(&rule.description).ok().as_ref(), &Part::Network) => {
            plan.problem(foreign("firewall rule", &name));
        }
        Some(rule) if same(&kept(rule.clone()), &wanted) => {}
        _ => plan.step(Step::SetFirewall { servers }),
    }
}

/// Whether two rules mean the same; the order of targets has no meaning.
fn same(a: &types::VpcFirewallRuleUpdate, b: &types::VpcFirewallRuleUpdate) -> bool {
    let value = |rule: &types::VpcFirewallRuleUpdate| {
        let mut targets: Vec<String> = rule.targets.iter().filter_map(|one| serde_json::to_string(one).ok()).collect();
        targets.sort();
        let rest = types::VpcFirewallRuleUpdate { targets: Vec::new(), ..rule.clone() };
        (targets, serde_json::to_value(rest).ok())
    };
    value(a) == value(b)
}
