//! `Placement`: where shall replicas run? Pure and synchronous.

use crate::model::ModelSpec;
use crate::node::Inventory;
use crate::plan::Plan;
use std::sync::Arc;

mod memory_fit;

pub use memory_fit::MemoryFit;
pub(crate) use memory_fit::place::{Load, Need};

/// A desired model with what placing it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// What was asked for.
    pub spec: Arc<ModelSpec>,
    /// Bytes of memory that one worker takes; `None` while not known: then nothing new is started.
    pub memory: Option<u64>,
    /// The same of its workers on trial, where some [shall be](crate::model::Rollout::shares).
    pub trial: Option<Trial>,
    /// How many of the replicas the present demand does not need. They linger: workers that are there stay, may be stopped
    /// for a model that has no room, and are never started.
    pub spare: u32,
}

impl Wanted {
    /// A model whose demand needs all its replicas, and whose workers on trial take as much memory as the others.
    pub fn new(spec: Arc<ModelSpec>, memory: Option<u64>) -> Self {
        let trial = spec.on_trial().map(|spec| Trial { spec: Arc::new(spec), memory });
        Self { spec, memory, trial, spare: 0 }
    }

    /// The replicas that the present demand needs.
    pub fn needed(&self) -> u32 {
        self.spec.replicas.saturating_sub(self.spare)
    }
}

/// A model as its workers on trial run it.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// [`ModelSpec::on_trial`].
    pub spec: Arc<ModelSpec>,
    /// Bytes of memory that one worker takes; `None` while not known.
    pub memory: Option<u64>,
}

/// Where shall replicas run?
///
/// Why one call for everything and not one for each model? Only the whole picture tells whether moving one model makes
/// room for another. The answer is a [`Plan`]: what to start and stop *now*. Called again with what has become of it,
/// it says the next step, until there is none.
pub trait Placement: Send + Sync {
    /// The next steps from `inventory` towards `wanted`, models of higher priority first in line for memory and earlier
    /// entries before later ones. The same arguments give the same plan.
    ///
    /// A worker is never stopped for a model of the same or a lower priority, unless it lingers ([`Wanted::spare`]). One on a
    /// node that is [cordoned](crate::node::Openness::Cordoned) is replaced elsewhere, unless it is pinned there, and stays for
    /// as long as there is no room for that. On one that is merely closed it stays. One that its node
    /// [refused](crate::Worker::refused) is started elsewhere, too, where there is room, and for its sake nobody goes.
    ///
    /// Where there is a trial, its [share](crate::model::Rollout::shares) of the replicas runs under its spec. A change of the
    /// shares replaces workers like a change of settings: who is not wanted any more serves until who is wanted does.
    fn plan(&self, wanted: &[Wanted], inventory: &Inventory) -> Plan;
}

impl<T: Placement + ?Sized> Placement for Arc<T> {
    fn plan(&self, wanted: &[Wanted], inventory: &Inventory) -> Plan {
        T::plan(self, wanted, inventory)
    }
}
