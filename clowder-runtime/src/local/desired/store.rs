//! The [`DesiredStore`] of one machine.

use super::file;
use super::record::{FormatError, decode, encode};
use async_trait::async_trait;
use clowder_core::desired::{Change, DesiredError, DesiredModel, DesiredModels, check_names};
use clowder_core::{BoxError, BoxStream, DesiredStore, ModelName};
use futures::StreamExt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Mutex, watch};
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::WatchStream;

/// Models that are recorded at most.
const MOST_MODELS: usize = 10_000;

/// What the user asked for, in one JSON file.
///
/// A change is on the disk before it is answered, and the file is replaced as a whole: after a crash it is as before or as
/// after. It holds the credentials of the models' sources, so only its owner may read it. One process at a time has it.
pub struct DesiredFile {
    path: PathBuf,
    turn: Arc<Mutex<()>>,
    models: Arc<watch::Sender<Arc<DesiredModels>>>,
    _lock: File,
}

/// Why a [`DesiredFile`] cannot be opened, or refuses a change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DesiredFileError {
    /// The disk does not do it.
    #[error("the desired state in {} cannot be opened", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not what this program writes. It is left as it is.
    #[error(
        "{} is no desired state that this program reads: restore it from a backup, or move it away to begin without models",
        path.display()
    )]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: BoxError,
    },
    /// Another process has it.
    #[error("{} is in use by another process of Clowder: end that one, or give this one another folder", path.display())]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// A change gave a record another name.
    #[error("the record of model {name} cannot become one of model {other}")]
    Renamed {
        /// Whose record it is.
        name: ModelName,
        /// What it should become.
        other: ModelName,
    },
    /// There are too many models.
    #[error("there are {MOST_MODELS} models already: remove some first")]
    TooMany,
}

impl DesiredFile {
    /// Opens a file; one that is not there is made with its first record, its folder at once.
    ///
    /// # Errors
    /// [`DesiredFileError::Io`], [`DesiredFileError::Corrupt`], [`DesiredFileError::InUse`]; the file is left as it is.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, DesiredFileError> {
        let path = path.into();
        let opened = {
            let path = path.clone();
            spawn_blocking(move || open(&path)).await
        };
        let (lock, models) = opened.unwrap_or_else(|error| {
            Err(DesiredFileError::Io { path: path.clone(), source: io::Error::other(error) })
        })?;
        Ok(Self { path, turn: Arc::default(), models: Arc::new(watch::Sender::new(Arc::new(models))), _lock: lock })
    }
}

fn open(path: &Path) -> Result<(File, DesiredModels), DesiredFileError> {
    let io = |source| DesiredFileError::Io { path: path.to_owned(), source };
    let lock = file::lock(path).map_err(io)?.ok_or_else(|| DesiredFileError::InUse { path: path.to_owned() })?;
    let models = match file::read(path).map_err(io)? {
        Some(bytes) => decode(&bytes)
            .map_err(|source| DesiredFileError::Corrupt { path: path.to_owned(), source: source.into() })?,
        None => DesiredModels::new(),
    };
    Ok((lock, models))
}

#[async_trait]
impl DesiredStore for DesiredFile {
    async fn list(&self) -> Result<Arc<DesiredModels>, DesiredError> {
        Ok(Arc::clone(&self.models.borrow()))
    }

    async fn update(&self, name: &ModelName, change: Change) -> Result<Option<DesiredModel>, DesiredError> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let before = Arc::clone(&self.models.borrow());
        let Some((after, changed)) = changed(&before, name, change).map_err(DesiredError::Rejected)? else {
            return Ok(before.get(name).cloned());
        };
        let (path, models) = (self.path.clone(), Arc::clone(&self.models));
        // Once begun it is finished, also where the caller goes away: what is on the disk is what is published.
        let written = spawn_blocking(move || {
            let _turn = turn;
            file::replace(&path, &encode(&after)?)?;
            models.send_replace(Arc::new(after));
            Ok(())
        });
        written.await.unwrap_or_else(|error| Err(WriteError::Io(io::Error::other(error)))).map_err(|source| {
            DesiredError::Unreachable { what: format!("write to {}", self.path.display()), source: source.into() }
        })?;
        Ok(changed)
    }

    fn watch(&self) -> BoxStream<Arc<DesiredModels>> {
        WatchStream::new(self.models.subscribe()).boxed()
    }
}

/// Why the records were not written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Format(#[from] FormatError),
}

/// All records with one changed, and that one; `None` where the change changes nothing.
fn changed(
    before: &DesiredModels,
    name: &ModelName,
    change: Change,
) -> Result<Option<(DesiredModels, Option<DesiredModel>)>, BoxError> {
    let recorded = before.get(name);
    let wanted = change(recorded.map(|model| model.spec.as_ref()))?;
    if wanted.as_ref() == recorded.map(|model| model.spec.as_ref()) {
        return Ok(None);
    }
    let mut after = before.clone();
    let Some(spec) = wanted else {
        after.remove(name);
        return Ok(Some((after, None)));
    };
    if spec.name != *name {
        return Err(DesiredFileError::Renamed { name: name.clone(), other: spec.name }.into());
    }
    check_names(before, &spec)?;
    let generation = recorded.map_or(0, |model| model.generation).saturating_add(1);
    let model = DesiredModel { spec: Arc::new(spec), generation };
    after.insert(name.clone(), model.clone());
    if after.len() > MOST_MODELS {
        return Err(DesiredFileError::TooMany.into());
    }
    Ok(Some((after, Some(model))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clowder_core::ModelSpec;
    use clowder_core::secret::Credentials;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn spec() -> ModelSpec {
        ModelSpec::new("kitten".parse().unwrap(), "builtin:kitten".parse().unwrap())
    }

    fn set(spec: ModelSpec) -> Change {
        Box::new(|_| Ok(Some(spec)))
    }

    #[tokio::test]
    async fn conforms() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("desired.json");
        let store = DesiredFile::open(&path).await.unwrap();
        clowder_core::testing::desired::conformance(&store).await;
        let left = store.list().await.unwrap();
        drop(store);
        assert_eq!(DesiredFile::open(&path).await.unwrap().list().await.unwrap(), left);
    }

    #[tokio::test]
    async fn records_outlive_the_process_and_keep_their_credentials() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state").join("desired.json");
        let wanted = ModelSpec { credentials: Some(Credentials::bearer("hf_abc")), ..spec() };
        let store = DesiredFile::open(&path).await.unwrap();
        store.update(&wanted.name, set(spec())).await.unwrap();
        let recorded = store.update(&wanted.name, set(wanted.clone())).await.unwrap().unwrap();
        assert_eq!(recorded.generation, 2);
        drop(store);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = DesiredFile::open(&path).await.unwrap();
        assert_eq!(again.list().await.unwrap()[&wanted.name], recorded);
    }

    #[tokio::test]
    async fn a_corrupt_file_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("desired.json");
        fs::write(&path, r#"{"version":1,"models":[{"#).unwrap();
        let error = DesiredFile::open(&path).await.err().unwrap();
        assert!(matches!(error, DesiredFileError::Corrupt { .. }));
        let said = error.to_string();
        assert!(said.contains("desired.json") && said.contains("move it away"), "{said}");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("line 1"), "{cause}");
        assert_eq!(fs::read(&path).unwrap(), br#"{"version":1,"models":[{"#);
    }

    #[tokio::test]
    async fn two_processes_do_not_share_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("desired.json");
        let _first = DesiredFile::open(&path).await.unwrap();
        assert!(matches!(DesiredFile::open(&path).await.err(), Some(DesiredFileError::InUse { .. })));
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_not_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state").join("desired.json");
        let store = DesiredFile::open(&path).await.unwrap();
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        let error = store.update(&spec().name, set(spec())).await.unwrap_err();
        assert!(matches!(error, DesiredError::Unreachable { .. }), "{error}");
        assert!(store.list().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_record_keeps_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = DesiredFile::open(folder.path().join("desired.json")).await.unwrap();
        let error = store.update(&"other".parse().unwrap(), set(spec())).await.unwrap_err();
        assert!(matches!(error, DesiredError::Rejected(_)), "{error}");
    }
}
