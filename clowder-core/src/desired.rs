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
    /// that changes nothing keeps the generation.
    ///
    /// # Errors
    /// [`DesiredError`]; then the record is as before.
    async fn update(&self, name: &ModelName, change: Change) -> Result<Option<DesiredModel>, DesiredError>;

    /// The records now and after every change of them; the last state always comes.
    fn watch(&self) -> BoxStream<Arc<DesiredModels>>;
}

/// Why a record was not read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DesiredError {
    /// The change itself refused.
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
