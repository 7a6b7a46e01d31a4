//! Keeping a model's files where they are, against a cache that makes room.
//!
//! The cache is another process's, and what tells it is the lock of a file that it names: shared by all who use the model,
//! taken alone by who removes it. A lock needs no right to write and ends with the process, however that ends.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A model's files stay as long as this lives.
#[derive(Debug)]
pub struct Hold {
    _locked: Vec<File>,
}

/// Why a model is not held.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HoldError {
    /// One of its files was removed first.
    #[error("{file} was removed before this worker held it: it must be fetched anew")]
    Removed {
        /// Which.
        file: PathBuf,
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
    /// Locks all `paths` shared, and sees to it that all `files` are still there then. Nothing to lock is nothing to see to.
    ///
    /// # Errors
    /// [`HoldError`]
    pub fn take(paths: &[PathBuf], files: &[&Path]) -> Result<Self, HoldError> {
        let error = |path: &Path, source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => {
                // Who is to fetch it anew knows the file, not what stands for it in the cache.
                let gone = files.iter().copied().find(|file| !file.exists()).unwrap_or(path);
                HoldError::Removed { file: gone.to_owned() }
            }
            _ => HoldError::Locking { path: path.to_owned(), source },
        };
        let mut locked = Vec::with_capacity(paths.len());
        for path in paths {
            locked.push(lock(path).map_err(|source| error(path, source))?);
        }
        for file in files.iter().filter(|_| !paths.is_empty()) {
            std::fs::metadata(file).map_err(|source| error(file, source))?;
        }
        Ok(Self { _locked: locked })
    }
}

fn lock(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    // Whoever has it alone is removing it, which takes a moment.
    file.lock_shared()?;
    let (locked, named) = (file.metadata()?, std::fs::metadata(path)?);
    // One that was removed while it was waited for, and another of its name, protect nothing.
    let is_same = (locked.dev(), locked.ino()) == (named.dev(), named.ino());
    if is_same { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
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
        let take = || Hold::take(std::slice::from_ref(&hold), &[&model]).unwrap();
        let held = [take(), take()];
        assert!(matches!(cache.try_lock(), Err(TryLockError::WouldBlock)));
        drop(held);
        cache.try_lock().unwrap();
    }

    #[test]
    fn what_is_gone_is_said_to_be_gone() {
        let folder = tempfile::tempdir().unwrap();
        let [hold, model] = ["m.gguf.hold", "m.gguf"].map(|name| folder.path().join(name));
        let take = || Hold::take(std::slice::from_ref(&hold), &[&model]);
        let removed = || matches!(take(), Err(HoldError::Removed { file }) if file == model);
        assert!(removed());
        std::fs::write(&hold, "x").unwrap();
        assert!(removed(), "its model is");
        std::fs::write(&model, "x").unwrap();
        take().unwrap();
    }

    #[test]
    fn all_that_a_worker_needs_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["m.hold", "a.hold", "m.gguf", "a.gguf"].map(|name| folder.path().join(name));
        names.iter().for_each(|path| std::fs::write(path, "x").unwrap());
        let [model_hold, adapter_hold, model, adapter] = &names;
        let holds = [model_hold.clone(), adapter_hold.clone()];
        let held = Hold::take(&holds, &[model, adapter]).unwrap();
        for hold in &holds {
            assert!(matches!(File::open(hold).unwrap().try_lock(), Err(TryLockError::WouldBlock)));
        }
        drop(held);
        std::fs::remove_file(adapter).unwrap();
        let error = Hold::take(&holds, &[model, adapter]).unwrap_err();
        assert!(matches!(error, HoldError::Removed { file } if file == *adapter));
        Hold::take(&[], &[adapter]).unwrap();
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
            let taking = scope.spawn(|| Hold::take(std::slice::from_ref(&hold), &[&model]));
            std::fs::remove_file(&hold).unwrap();
            std::fs::write(&hold, "another").unwrap();
            drop(cache);
            taking.join().unwrap()
        });
        // Which of the two it opened is the threads' affair; the one that was removed is never taken for held.
        match taken {
            Ok(held) => assert_eq!(held._locked[0].metadata().unwrap().ino(), std::fs::metadata(&hold).unwrap().ino()),
            Err(error) => assert!(matches!(error, HoldError::Removed { .. }), "{error}"),
        }
    }
}
