//! Whose a model's name is where several resources claim it.

use super::records::Recorded;
use crate::convert::InvalidModel;
use clowder_core::{ModelName, ModelSpec};
use std::collections::HashMap;
use std::sync::Arc;

/// What a resource wants to be.
pub(super) struct Claim<'a> {
    pub(super) record: &'a Recorded,
    /// What it asks for, where that can be read.
    pub(super) asked: Option<Arc<ModelSpec>>,
    pub(super) problem: Option<Arc<InvalidModel>>,
    /// What it recorded before.
    pub(super) last: Option<&'a Arc<ModelSpec>>,
}

/// Whose names are whose, by the resources' own names, before anybody gives one up or gets a new one.
pub(super) fn owners<'a>(claims: &[Claim<'a>]) -> HashMap<ModelName, &'a str> {
    // The status remembers for one who has just begun that a resource had the names that it claims.
    let held = claims.iter().filter_map(|claim| Some((claim.record, &**claim.last?)));
    let told = claims.iter().filter(|claim| claim.last.is_none() && claim.record.was_right());
    let told = told.filter_map(|claim| Some((claim.record, claim.asked.as_deref()?)));
    let all = held.chain(told).flat_map(|(record, spec)| spec.names().map(move |name| (record, name)));
    let own = claims.iter().filter_map(|claim| Some((claim.record, &claim.asked.as_deref()?.name)));
    let mut owners = HashMap::new();
    for (record, name) in all.chain(own) {
        owners.entry(name.clone()).or_insert(record.name.as_str());
    }
    owners
}

/// The first name that another resource has.
pub(super) fn taken(owners: &HashMap<ModelName, &str>, claim: &Claim<'_>, spec: &ModelSpec) -> Option<InvalidModel> {
    spec.names().find_map(|name| {
        let by = owners.get(name).filter(|by| **by != claim.record.name)?;
        let (name, by, own) = (name.clone(), (*by).to_owned(), *name == spec.name);
        Some(if own { InvalidModel::NameTaken { name, by } } else { InvalidModel::AliasTaken { name, by } })
    })
}
