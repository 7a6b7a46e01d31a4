//! `DesiredStore`: what the user asked for, kept.

use crate::model::{ModelName, ModelSpec};
use crate::{BoxError, BoxStream};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A model as recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredModel {
    /// What was asked for.
    pub spec: Arc<ModelSpec>,
    /// Counts the changes of this record; starts at 1.
    pub generation: u64,
}

/// All desired models, at one moment.
pub type DesiredModels = BTreeMap<ModelName, DesiredModel>;

/// A change of one model: gets what is recorded (`None` where nothing is), returns what shall be (`None` removes it).
/// An error leaves the record as it was and reaches the caller inside [`DesiredError::Rejected`].
pub type Change = Box<dyn FnOnce(Option<&ModelSpec>) -> Result<Option<ModelSpec>, BoxError> + Send>;

/// Keeps what the user asked for: a file on one machine, `Model` resources on Kubernetes.
///
/// One call changes a record, and it is read-modify-write: two callers at the same time never undo each other.
#[async_trait]
pub trait DesiredStore: Send + Sync {
    /// All that is recorded.
    async fn list(&self) -> Result<Arc<DesiredModels>, DesiredError>;

    /// Changes one model's record, durably, and returns it as it is afterwards; `None` where there is none. A change
    /// that changes nothing keeps the generation. One that claims a name of another model is refused by [`check_names`]:
    /// only the store sees all records while it changes one.
    ///
    /// # Errors
    /// [`DesiredError`]; then the record is as before.
    async fn update(&self, name: &ModelName, change: Change) -> Result<Option<DesiredModel>, DesiredError>;

    /// The records now and after every change of them; the last state always comes.
    fn watch(&self) -> BoxStream<Arc<DesiredModels>>;
}

/// A record claims a name that is another model's, as its own or as a further one.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the name \"{name}\" is taken by the model {by}: take another")]
pub struct NameTaken {
    /// The name.
    pub name: ModelName,
    /// The model that has it.
    pub by: ModelName,
}

/// Whether no other model has a name of this record. Every [`DesiredStore`] asks it of what it is to keep, and hands the error
/// on inside [`DesiredError::Rejected`].
///
/// # Errors
/// [`NameTaken`], for the first name that another model has.
pub fn check_names(records: &DesiredModels, spec: &ModelSpec) -> Result<(), NameTaken> {
    let mut others = records.values().map(|record| &record.spec).filter(|other| other.name != spec.name);
    let taken = others.find_map(|other| {
        let name = spec.names().find(|name| other.names().any(|taken| taken == *name))?;
        Some(NameTaken { name: name.clone(), by: other.name.clone() })
    });
    taken.map_or(Ok(()), Err)
}

/// Why a record was not read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DesiredError {
    /// The change itself refused, or its outcome is none that may be kept.
    #[error(transparent)]
    Rejected(BoxError),
    /// The store cannot be read or written.
    #[error("the desired state {what} failed")]
    Unreachable {
        /// What was being done, with the place.
        what: String,
        /// Why.
        #[source]
        source: BoxError,
    },
}
