//! What is known of the files that workers load, learnt from their sources.

use super::retry::{Backoff, Retries};
use crate::chain;
use crate::desired::DesiredModels;
use crate::gguf::{GgufFacts, GgufKind};
use crate::inspect::{InspectError, ModelFacts, inspect};
use crate::memory::{LoadedFile, LoadedFiles, MemoryNeed};
use crate::model::ModelSpec;
use crate::secret::Credentials;
use crate::source::{Digest, ModelSource, SourceError};
use crate::store::FetchRequest;
use crate::url::ModelUrl;
use futures::FutureExt;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Files inspected at the same time; the others wait.
const AT_ONCE: usize = 4;

/// What identifies a file, as far as inspecting it goes. Who has the wrong credentials learns nothing of a file, and what
/// they were told does not hold for the right ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct File {
    url: ModelUrl,
    digest: Option<Digest>,
    credentials: Option<Credentials>,
    kind: GgufKind,
}

/// All files of a model: its own first, then its adapters', then its draft model's.
fn files(spec: &ModelSpec) -> Vec<File> {
    let is_adapter = |index: usize| (1..=spec.adapters.len()).contains(&index);
    let file = |(index, FetchRequest { url, digest, credentials }): (usize, FetchRequest)| {
        let kind = if is_adapter(index) { GgufKind::Adapter } else { GgufKind::Model };
        File { url, digest, credentials, kind }
    };
    FetchRequest::all_of(spec).into_iter().enumerate().map(file).collect()
}

/// All files of a model, those of its workers on trial included.
fn files_with_trial(spec: &ModelSpec) -> Vec<File> {
    let trial = spec.on_trial();
    files(spec).into_iter().chain(trial.iter().flat_map(files)).collect()
}

/// What was inspected, and what is being.
#[derive(Default)]
pub(super) struct Inspections {
    facts: BTreeMap<File, ModelFacts>,
    refused: BTreeMap<File, InspectError>,
    /// Those that run.
    pub(super) running: JoinSet<(File, Result<ModelFacts, InspectError>)>,
    in_flight: Vec<File>,
    retries: Retries<File>,
}

impl Inspections {
    /// Begins those of a model's files that are not known and are due.
    pub(super) fn begin_due(&mut self, source: &Arc<dyn ModelSource>, spec: &ModelSpec, now: Instant) {
        for file in files_with_trial(spec) {
            let known = self.facts.contains_key(&file) || self.in_flight.contains(&file);
            if known || self.in_flight.len() >= AT_ONCE || !self.retries.is_due(&file, now) {
                continue;
            }
            self.in_flight.push(file.clone());
            let source = Arc::clone(source);
            self.running.spawn(async move {
                let inspecting = inspect_as(source.as_ref(), &file);
                // A source is somebody else's code: its panic is this file's failure, tried again like any other.
                let facts = AssertUnwindSafe(inspecting).catch_unwind().await.unwrap_or_else(|_| {
                    let what = file.url.to_string();
                    Err(SourceError::Unreachable { what, source: "its source panicked".into() }.into())
                });
                (file, facts)
            });
        }
    }

    /// One of those that ran has ended.
    pub(super) fn ended(&mut self, (file, outcome): (File, Result<ModelFacts, InspectError>), backoff: Backoff) {
        self.in_flight.retain(|in_flight| *in_flight != file);
        match outcome {
            Ok(facts) => {
                self.retries.succeeded(&file);
                self.refused.remove(&file);
                self.facts.insert(file, facts);
            }
            Err(error) => {
                tracing::warn!(url = %file.url, error = chain(&error), "not inspected");
                self.retries.failed(file.clone(), backoff);
                self.refused.insert(file, error);
            }
        }
    }

    /// When the next is due that was not at `looked_at`.
    pub(super) fn next(&self, looked_at: Instant) -> Option<Instant> {
        self.retries.next(looked_at)
    }

    /// Forgets the files of models that are not desired any more.
    pub(super) fn forget_all_but(&mut self, desired: &DesiredModels) {
        let files: BTreeSet<File> = desired.values().flat_map(|model| files_with_trial(&model.spec)).collect();
        self.facts.retain(|file, _| files.contains(file));
        self.refused.retain(|file, _| files.contains(file));
        self.retries.retain(|file| files.contains(file));
    }

    /// The header of a model's own file.
    pub(super) fn header(&self, spec: &ModelSpec) -> Option<Arc<GgufFacts>> {
        self.facts.get(files(spec).first()?).map(|facts| Arc::clone(&facts.gguf))
    }

    /// Why one of a model's files was not inspected.
    pub(super) fn refusal(&self, spec: &ModelSpec) -> Option<&InspectError> {
        files(spec).iter().find_map(|file| self.refused.get(file))
    }

    /// Bytes of memory that a worker of a model takes, once all its files are known.
    pub(super) fn need(&self, spec: &ModelSpec) -> Option<u64> {
        let files = files(spec);
        let facts: Vec<&ModelFacts> = files.iter().map(|file| self.facts.get(file)).collect::<Option<_>>()?;
        let loaded = |facts: &'_ &ModelFacts| LoadedFile { header: Arc::clone(&facts.gguf), bytes: facts.bytes };
        let (model, companions) = facts.split_first()?;
        let (adapters, draft) = companions.split_at_checked(spec.adapters.len())?;
        let files = LoadedFiles {
            model: loaded(model),
            adapters: adapters.iter().map(loaded).collect(),
            draft: draft.first().map(loaded),
        };
        Some(MemoryNeed::estimate(&files, &spec.engine).total())
    }
}

async fn inspect_as(source: &dyn ModelSource, file: &File) -> Result<ModelFacts, InspectError> {
    let facts = inspect(source, &file.url, file.credentials.as_ref()).await?;
    match facts.gguf.check_kind(file.kind) {
        Ok(()) => Ok(facts),
        Err(error) => Err(InspectError::Gguf { url: file.url.clone(), error }),
    }
}
