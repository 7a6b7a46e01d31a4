//! One server for each home folder.

use super::ServeError;
use crate::home::Home;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};

/// Held while a server runs on a home folder. The operating system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct HomeLock(#[allow(dead_code, reason = "held open for its lock alone")] File);

impl HomeLock {
    /// Takes the lock and leaves this process's id in it.
    pub(crate) fn take(home: &Home) -> Result<Self, ServeError> {
        let path = home.lock();
        let unusable = |source| ServeError::Lock { path: path.clone(), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The message does without the id where it cannot be read.
                drop(file.take(32).read_to_string(&mut holder));
                let pid = holder.trim().parse().ok();
                return Err(ServeError::AlreadyRunning { home: home.path().to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())?;
            file.flush()
        };
        write(&mut file).map_err(unusable)?;
        Ok(Self(file))
    }

    /// Whether a living server has the lock.
    pub(crate) fn is_held(home: &Home) -> bool {
        let probe = File::open(home.lock()).map(|file| file.try_lock_shared());
        matches!(probe, Ok(Err(TryLockError::WouldBlock)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_learns_who_is_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(Some(folder.path().to_owned())).unwrap();
        let first = HomeLock::take(&home).unwrap();
        let refused = HomeLock::take(&home).unwrap_err();
        assert!(matches!(refused, ServeError::AlreadyRunning { pid: Some(pid), .. } if pid == std::process::id()));
        assert!(HomeLock::is_held(&home));
        drop(first);
        assert!(!HomeLock::is_held(&home));
        assert!(HomeLock::take(&home).is_ok());
    }
}
