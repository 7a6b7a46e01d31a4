//! What a worker opens, on this node.

use clowder_core::store::{FetchRequest, StoredModel};
use std::path::Path;

/// The files of a worker, each as it was asked for and where it is: the model's own first, then those of its companions in
/// their order. Kept from one process to the next, so that a crash fetches nothing and the files stay.
#[derive(Default)]
pub(super) struct Files(Vec<(FetchRequest, StoredModel)>);

impl Files {
    /// The file that was fetched for this request, if it is still there.
    pub(super) async fn find(&self, request: &FetchRequest) -> Option<StoredModel> {
        let is_same = |former: &FetchRequest| (&former.url, former.digest) == (&request.url, request.digest);
        let (_, stored) = self.0.iter().find(|(former, _)| is_same(former))?;
        tokio::fs::try_exists(&stored.path).await.unwrap_or(false).then(|| stored.clone())
    }

    /// One more.
    pub(super) fn push(&mut self, request: FetchRequest, stored: StoredModel) {
        self.0.push((request, stored));
    }

    /// Where they are, in order.
    pub(super) fn paths(&self) -> Vec<&Path> {
        self.0.iter().map(|(_, stored)| stored.path.as_path()).collect()
    }
}
