//! What must not be lost of a cluster: a folder of its own, its owner's alone.

use crate::files;
use clowder_core::Secret;
use clowder_core::infra::PoolName;
use clowder_oxide::bootstrap::{ClusterSecrets, SecretsError};
use clowder_oxide::{ClusterId, Sizes};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard};

/// The cluster's secrets, as JSON.
pub(crate) const SECRETS: &str = "secrets.json";
/// The token of the REST API.
pub(crate) const TOKEN: &str = "api.token";
/// How many machines each pool shall have, until the cluster itself keeps that.
const SIZES: &str = "sizes.json";
/// Held by the controller that works on the cluster from here.
const LOCK: &str = "lock";

/// The folder of one cluster: `secrets.json`, `api.token` and, until the cluster is up, `sizes.json`.
#[derive(Clone, Debug)]
pub(crate) struct State {
    folder: PathBuf,
    /// `None` where the folder is a mounted Secret, which is only read.
    _lock: Option<Arc<File>>,
    /// Whose turn it is to move the sizes on.
    turn: Arc<Mutex<()>>,
}

/// Why the folder is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("no state folder: set --state-dir (neither XDG_STATE_HOME nor HOME is set)")]
    NoHome,
    #[error("{path} cannot be {what}")]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("another oxide-controller works on this cluster from {folder}: stop it first, or ask it by its REST API")]
    Locked { folder: PathBuf },
    #[error("{path} is not what was written there: restore it from a copy")]
    Malformed { path: PathBuf, source: serde_json::Error },
    #[error("{path} is empty: restore it from a copy")]
    Empty { path: PathBuf },
    #[error(transparent)]
    Secrets(#[from] SecretsError),
}

impl StateError {
    fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { what, path, source }
    }
}

/// `oxide-controller` in the user's state folder.
pub(crate) fn default_folder(environment: &dyn Fn(&str) -> Option<OsString>) -> Result<PathBuf, StateError> {
    let path = |name| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = path("XDG_STATE_HOME").or_else(|| Some(path("HOME")?.join(".local/state")));
    Ok(state.ok_or(StateError::NoHome)?.join("oxide-controller"))
}

impl State {
    /// The folder of a cluster, for this process alone as long as it lives.
    pub(crate) fn open(all: &Path, cluster: &ClusterId) -> Result<Self, StateError> {
        let folder = all.join(cluster.as_str());
        files::create_private_folder(&folder).map_err(StateError::file("made", &folder))?;
        let path = folder.join(LOCK);
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(StateError::file("opened", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder, _lock: Some(Arc::new(lock)), turn: Arc::default() }),
            Err(TryLockError::WouldBlock) => Err(StateError::Locked { folder }),
            Err(TryLockError::Error(source)) => Err(StateError::File { what: "locked", path, source }),
        }
    }

    /// A mounted Secret: what others wrote, and nothing is written.
    pub(crate) fn mounted(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), _lock: None, turn: Arc::default() }
    }

    /// The folder of a cluster, to look at alone; there may be none.
    pub(crate) fn look(all: &Path, cluster: &ClusterId) -> Self {
        Self { folder: all.join(cluster.as_str()), _lock: None, turn: Arc::default() }
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn read(&self, name: &str) -> Result<Option<String>, StateError> {
        let path = self.folder.join(name);
        files::read_if_there(&path).map_err(StateError::file("read", &path))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), StateError> {
        let path = self.folder.join(name);
        files::write_private(&path, text.as_bytes()).map_err(StateError::file("written", &path))
    }

    fn malformed(&self, name: &str) -> impl FnOnce(serde_json::Error) -> StateError {
        let path = self.folder.join(name);
        move |source| StateError::Malformed { path, source }
    }

    /// The cluster's secrets; `None` where it has none yet.
    pub(crate) fn secrets(&self) -> Result<Option<ClusterSecrets>, StateError> {
        let Some(text) = self.read(SECRETS)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(self.malformed(SECRETS))
    }

    /// New secrets, kept before anybody uses them. With them the cluster's numbers of machines begin, too.
    pub(crate) fn make_secrets(&self) -> Result<ClusterSecrets, StateError> {
        let secrets = ClusterSecrets::generate()?;
        self.keep_sizes(&Sizes::new())?;
        self.write(SECRETS, &serde_json::to_string(&secrets).map_err(self.malformed(SECRETS))?)?;
        Ok(secrets)
    }

    /// Puts back what a cluster's Secret has.
    pub(crate) fn restore(&self, files: &BTreeMap<String, Secret>) -> Result<(), StateError> {
        for name in [TOKEN, SECRETS] {
            if let Some(text) = files.get(name) {
                self.write(name, text.expose())?;
            }
        }
        Ok(())
    }

    /// What a cluster's Secret shall have of the folder.
    pub(crate) fn files(&self) -> Result<BTreeMap<String, Secret>, StateError> {
        let mut files = BTreeMap::new();
        for name in [TOKEN, SECRETS] {
            if let Some(text) = self.read(name)? {
                files.insert(name.to_owned(), Secret::new(text));
            }
        }
        Ok(files)
    }

    /// The token of the REST API, made where there is none.
    pub(crate) fn token(&self) -> Result<Secret, StateError> {
        if let Some(text) = self.read(TOKEN)? {
            return match text.trim() {
                "" => Err(StateError::Empty { path: self.folder.join(TOKEN) }),
                token => Ok(Secret::new(token)),
            };
        }
        // 256 random bits, in hexadecimal.
        let token: String = rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect();
        self.write(TOKEN, &format!("{token}\n"))?;
        Ok(Secret::new(token))
    }

    /// Waits until nobody else reads or writes the sizes.
    pub(crate) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// How many machines each pool shall have; `None` once the cluster keeps that.
    pub(crate) fn sizes(&self) -> Result<Option<Sizes>, StateError> {
        let Some(text) = self.read(SIZES)? else { return Ok(None) };
        let sizes: BTreeMap<String, u32> = serde_json::from_str(&text).map_err(self.malformed(SIZES))?;
        Ok(Some(sizes.into_iter().map(|(pool, machines)| (PoolName(pool), machines)).collect()))
    }

    /// Keeps them.
    pub(crate) fn keep_sizes(&self, sizes: &Sizes) -> Result<(), StateError> {
        let sizes: BTreeMap<&str, u32> = sizes.iter().map(|(pool, machines)| (pool.0.as_str(), *machines)).collect();
        self.write(SIZES, &serde_json::to_string(&sizes).map_err(self.malformed(SIZES))?)
    }

    /// The cluster keeps them from now on.
    pub(crate) fn forget_sizes(&self) -> Result<(), StateError> {
        let path = self.folder.join(SIZES);
        std::fs::remove_file(&path).map_err(StateError::file("removed", &path))
    }

    /// Forgets the cluster, which is no more.
    pub(crate) fn remove(&self) -> Result<(), StateError> {
        std::fs::remove_dir_all(&self.folder).map_err(StateError::file("removed", &self.folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn state(folder: &Path) -> State {
        State::open(folder, &"home".parse().unwrap()).unwrap()
    }

    #[test]
    fn what_was_made_once_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = state(folder.path());
        assert_eq!((first.secrets().unwrap(), first.sizes().unwrap()), (None, None));
        let (secrets, token) = (first.make_secrets().unwrap(), first.token().unwrap());
        assert_eq!(token.expose().len(), 64);
        let sizes = Sizes::from([("workers".into(), 3)]);
        first.keep_sizes(&sizes).unwrap();
        for file in std::fs::read_dir(first.folder()).unwrap().map(Result::unwrap) {
            let mode = file.metadata().unwrap().permissions().mode();
            assert!(mode & 0o077 == 0 || file.file_name() == LOCK, "{file:?} {mode:o}");
        }
        let refused = State::open(folder.path(), &"home".parse().unwrap()).unwrap_err();
        assert!(matches!(refused, StateError::Locked { .. }), "{refused}");
        drop(first);

        let again = state(folder.path());
        assert_eq!(again.secrets().unwrap(), Some(secrets));
        assert_eq!((again.token().unwrap(), again.sizes().unwrap()), (token, Some(sizes)));
        again.forget_sizes().unwrap();
        assert_eq!(again.sizes().unwrap(), None);
    }

    #[test]
    fn a_clusters_secret_restores_the_folder() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (first, second) = (state(one.path()), state(other.path()));
        let (secrets, token) = (first.make_secrets().unwrap(), first.token().unwrap());
        second.restore(&first.files().unwrap()).unwrap();
        assert_eq!((second.secrets().unwrap(), second.token().unwrap()), (Some(secrets), token));
        // The numbers are the cluster's.
        assert_eq!(second.sizes().unwrap(), None);
    }

    #[test]
    fn what_was_changed_is_said_and_not_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let state = state(folder.path());
        std::fs::write(state.folder().join(SECRETS), "{}").unwrap();
        std::fs::write(state.folder().join(TOKEN), " \n").unwrap();
        assert!(state.secrets().unwrap_err().to_string().contains("restore it from a copy"));
        assert!(state.token().unwrap_err().to_string().contains("restore it from a copy"));
    }
}
