//! Anti-affinity groups: instances that shall not be on one sled.

use super::{Rack, row};
use crate::answer::Answer;
use crate::page::page;
use crate::records::{Group, Instance};
use crate::refusal::{Kind, Refusal};
use crate::request::Request;
use oxide::types;
use std::collections::BTreeSet;
use uuid::Uuid;

/// How the API calls one in its parameters.
const VARIABLE: &str = "anti_affinity_group";

impl Rack {
    pub(super) fn anti_affinity_group_list(&self, request: &Request) -> Result<Answer, Refusal> {
        let project = self.project(request)?;
        page(request, self.groups.of(project).map(|group| row(group, &group.view)))
    }

    pub(super) fn anti_affinity_group_view(&self, request: &Request) -> Result<Answer, Refusal> {
        Answer::ok(&self.in_path(&self.groups, request, VARIABLE)?.view)
    }

    pub(super) fn anti_affinity_group_create(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let project = self.project(request)?;
        let asked: types::AntiAffinityGroupCreate = request.body()?;
        let now = self.now();
        let view = types::AntiAffinityGroup {
            description: asked.description,
            failure_domain: asked.failure_domain,
            id: self.ids.next(),
            name: asked.name,
            policy: asked.policy,
            project_id: project,
            time_created: now,
            time_modified: now,
        };
        Answer::created(&self.groups.insert(Group { view, members: BTreeSet::new() })?.view)
    }

    pub(super) fn anti_affinity_group_delete(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let id = self.in_path(&self.groups, request, VARIABLE)?.view.id;
        self.groups.remove(id);
        Answer::done()
    }

    pub(super) fn anti_affinity_group_member_list(&self, request: &Request) -> Result<Answer, Refusal> {
        let group = self.in_path(&self.groups, request, VARIABLE)?;
        let members = group.members.iter().filter_map(|id| self.instances.get(*id).ok());
        page(request, members.map(|instance| row(instance, as_member(instance))))
    }

    pub(super) fn anti_affinity_group_member_instance_view(&self, request: &Request) -> Result<Answer, Refusal> {
        let (group, instance) = self.group_and_instance(request)?;
        match self.groups.get(group)?.members.contains(&instance) {
            true => Answer::ok(&as_member(self.instances.get(instance)?)),
            false => Err(Refusal::NoSuchId { kind: Kind::AntiAffinityGroupMember, id: instance }),
        }
    }

    pub(super) fn anti_affinity_group_member_instance_add(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let (group, instance) = self.group_and_instance(request)?;
        if self.instances.get(instance)?.sled.is_some() {
            return Err(Refusal::invalid("Instance to be added to group must not be on a sled: stop it first"));
        }
        if !self.groups.get_mut(group)?.members.insert(instance) {
            return Err(Refusal::Exists { kind: Kind::AntiAffinityGroupMember, name: instance.to_string() });
        }
        Answer::created(&as_member(self.instances.get(instance)?))
    }

    pub(super) fn anti_affinity_group_member_instance_delete(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let (group, instance) = self.group_and_instance(request)?;
        match self.groups.get_mut(group)?.members.remove(&instance) {
            true => Answer::done(),
            false => Err(Refusal::NoSuchId { kind: Kind::AntiAffinityGroupMember, id: instance }),
        }
    }

    pub(super) fn instance_anti_affinity_group_list(&self, request: &Request) -> Result<Answer, Refusal> {
        let instance = self.in_path(&self.instances, request, "instance")?.view.id;
        let groups = self.groups.iter().filter(|group| group.members.contains(&instance));
        page(request, groups.map(|group| row(group, &group.view)))
    }

    fn group_and_instance(&self, request: &Request) -> Result<(Uuid, Uuid), Refusal> {
        let group = self.in_path(&self.groups, request, VARIABLE)?.view.id;
        Ok((group, self.in_path(&self.instances, request, "instance")?.view.id))
    }
}

fn as_member(instance: &Instance) -> types::AntiAffinityGroupMember {
    types::AntiAffinityGroupMember::Instance {
        id: instance.view.id,
        name: instance.view.name.clone(),
        run_state: instance.view.run_state,
    }
}
