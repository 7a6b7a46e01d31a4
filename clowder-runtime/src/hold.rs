//! Keeping a model's file where it is, against a cache that makes room.
//!
//! The cache is another process's, and what tells it is the lock of a file that it names: shared by all who use the model,
//! taken alone by who removes it. A lock needs no right to write and ends with the process, however that ends.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A model's file stays as long as this lives.
#[derive(Debug)]
pub struct Hold {
    _file: File,
}

/// Why a model is not held.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HoldError {
    /// It was removed first.
    #[error("{model} was removed before this worker held it: it must be fetched anew")]
    Removed {
        /// The model's file.
        model: PathBuf,
    },
    /// It cannot be known.
    #[error("{path} cannot be locked")]
    Locking {
        /// What was to be locked.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Hold {
    /// Locks `path` shared, and sees to it that the model is still there then.
    ///
    /// # Errors
    /// [`HoldError`]
    pub fn take(path: &Path, model: &Path) -> Result<Self, HoldError> {
        let held = File::open(path).and_then(|file| {
            // Whoever has it alone is removing it, which takes a moment.
            file.lock_shared()?;
            let (locked, named) = (file.metadata()?, std::fs::metadata(path)?);
            // One that was removed while it was waited for, and another of its name, protect nothing.
            let is_same = (locked.dev(), locked.ino()) == (named.dev(), named.ino());
            std::fs::metadata(model)?;
            if is_same { Ok(Self { _file: file }) } else { Err(io::ErrorKind::NotFound.into()) }
        });
        held.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => HoldError::Removed { model: model.to_owned() },
            _ => HoldError::Locking { path: path.to_owned(), source },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::TryLockError;

    #[test]
    fn nobody_has_alone_what_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let [blob, hold, model] = ["blob", "m.gguf.hold", "m.gguf"].map(|name| folder.path().join(name));
        std::fs::write(&blob, "x").unwrap();
        std::fs::write(&model, "x").unwrap();
        std::os::unix::fs::symlink(&blob, &hold).unwrap();
        let cache = File::open(&blob).unwrap();
        let held = [Hold::take(&hold, &model).unwrap(), Hold::take(&hold, &model).unwrap()];
        assert!(matches!(cache.try_lock(), Err(TryLockError::WouldBlock)));
        drop(held);
        cache.try_lock().unwrap();
    }

    #[test]
    fn what_is_gone_is_said_to_be_gone() {
        let folder = tempfile::tempdir().unwrap();
        let [hold, model] = ["m.gguf.hold", "m.gguf"].map(|name| folder.path().join(name));
        let removed = || matches!(Hold::take(&hold, &model), Err(HoldError::Removed { .. }));
        assert!(removed());
        std::fs::write(&hold, "x").unwrap();
        assert!(removed(), "its model is");
        std::fs::write(&model, "x").unwrap();
        assert!(!removed());
    }

    #[test]
    fn what_is_removed_while_it_is_waited_for_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let [hold, model] = ["m.gguf.hold", "m.gguf"].map(|name| folder.path().join(name));
        std::fs::write(&hold, "x").unwrap();
        std::fs::write(&model, "x").unwrap();
        let cache = File::open(&hold).unwrap();
        cache.lock().unwrap();
        let taken = std::thread::scope(|scope| {
            let taking = scope.spawn(|| Hold::take(&hold, &model));
            std::fs::remove_file(&hold).unwrap();
            std::fs::write(&hold, "another").unwrap();
            drop(cache);
            taking.join().unwrap()
        });
        // Which of the two it opened is the threads' affair; the one that was removed is never taken for held.
        match taken {
            Ok(held) => assert_eq!(held._file.metadata().unwrap().ino(), std::fs::metadata(&hold).unwrap().ino()),
            Err(error) => assert!(matches!(error, HoldError::Removed { .. }), "{error}"),
        }
    }
}
