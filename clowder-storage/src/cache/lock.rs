//! Locks between processes, on files that may be deleted while somebody waits for them.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Whether an open file is still the one of that name.
fn is_current(file: &File, path: &Path) -> io::Result<bool> {
    let opened = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (opened.dev(), opened.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The sole right to something, as long as it lives. Its file is made for it and goes with it.
#[derive(Debug)]
pub(super) struct Exclusive {
    path: PathBuf,
    _file: File,
}

impl Exclusive {
    /// `None` while somebody else has it, in this process or another.
    pub(super) fn try_acquire(path: &Path) -> io::Result<Option<Arc<Self>>> {
        loop {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
            match file.try_lock() {
                Ok(()) if is_current(&file, path)? => {
                    return Ok(Some(Arc::new(Self { path: path.to_owned(), _file: file })));
                }
                // Its last holder deleted it before this lock was had: take the one that is there now.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Whether somebody has it.
    pub(super) fn is_held(path: &Path) -> bool {
        File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        // Before the lock goes, so that nobody can get it on a file that is then deleted.
        std::fs::remove_file(&self.path).ok();
    }
}

/// A share in a blob: who deletes it must have it alone. Other programs take it by `flock`, which a mount that cannot be
/// written allows too. The blob's time of change is when it was last used.
#[derive(Debug)]
pub(super) struct Share(File);

impl Share {
    /// `None` where there is no such blob.
    pub(super) fn acquire(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let file = match File::open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            // Whoever has it alone is deleting it, which takes a moment.
            file.lock_shared()?;
            if is_current(&file, path)? {
                touch(&file);
                return Ok(Some(Self(file)));
            }
        }
    }

    /// Whether it may be deleted now. The answer holds as long as the returned file lives. What may not is used at this
    /// moment, and is marked so: whoever uses it may be unable to.
    pub(super) fn sole(path: &Path) -> io::Result<Option<File>> {
        let file = File::open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => {
                touch(&file);
                Ok(None)
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        touch(&self.0);
    }
}

fn touch(file: &File) {
    // A time that cannot be set makes the model look older than it is, which costs a fetch at worst.
    file.set_modified(SystemTime::now()).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_no_file_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let first = Exclusive::try_acquire(&path).unwrap().unwrap();
        assert!(Exclusive::is_held(&path));
        assert!(Exclusive::try_acquire(&path).unwrap().is_none());
        drop(first);
        assert!(!path.exists() && !Exclusive::is_held(&path));
        assert!(Exclusive::try_acquire(&path).unwrap().is_some());
    }

    #[test]
    fn what_is_shared_cannot_be_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        assert!(Share::acquire(&path).unwrap().is_none());
        std::fs::write(&path, "x").unwrap();
        let shares = [Share::acquire(&path).unwrap(), Share::acquire(&path).unwrap()];
        assert!(Share::sole(&path).unwrap().is_none());
        drop(shares);
        assert!(Share::sole(&path).unwrap().is_some());
    }

    #[test]
    fn what_another_process_shares_is_used_as_long_as_it_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        std::fs::write(&path, "x").unwrap();
        let modified = || std::fs::metadata(&path).unwrap().modified().unwrap();
        File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let other = File::open(&path).unwrap();
        other.lock_shared().unwrap();
        assert!(Share::sole(&path).unwrap().is_none());
        assert!(modified() > SystemTime::UNIX_EPOCH);
        drop(other);
        let last = modified();
        assert!(Share::sole(&path).unwrap().is_some());
        assert_eq!(modified(), last, "a look alone is no use");
    }
}
