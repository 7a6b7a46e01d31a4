//! The folder of all workers' logs.

use super::rotate::{Snapshot, previous};
use super::worker::WorkerLog;
use crate::local::config::LogLimits;
use clowder_core::WorkerId;
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The folder of all workers' logs: `ID.log`, and `ID.log.1` before it.
#[derive(Clone, Debug)]
pub(in crate::local) struct LogFolder {
    path: PathBuf,
    limits: LogLimits,
}

impl LogFolder {
    /// Opens the folder, and makes it if it is not there.
    pub(in crate::local) fn open(path: &Path, limits: LogLimits) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        fs::read_dir(path)?;
        Ok(Self { path: path.to_owned(), limits })
    }

    /// The log of a worker that is to run.
    pub(in crate::local) fn log(&self, worker: &WorkerId) -> WorkerLog {
        WorkerLog::new(self.file(worker), self.limits.file_bytes)
    }

    /// What is kept of a worker that is gone; `None` where nothing is.
    pub(in crate::local) fn departed(&self, worker: &WorkerId) -> io::Result<Option<Snapshot>> {
        let kept = Snapshot::of(&self.file(worker))?;
        Ok((!kept.is_empty()).then_some(kept))
    }

    /// Removes the logs of workers that are gone, but for those written last.
    pub(in crate::local) fn prune(&self, present: &BTreeSet<WorkerId>) -> io::Result<()> {
        let mut departed: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let path = entry.path();
            let worker = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".log"));
            if let Some(Ok(worker)) = worker.map(str::parse::<WorkerId>)
                && !present.contains(&worker)
                && let Ok(written) = entry.metadata().and_then(|metadata| metadata.modified())
            {
                departed.push((written, path));
            }
        }
        departed.sort();
        let surplus = departed.len().saturating_sub(self.limits.departed);
        for (_, path) in &departed[..surplus] {
            remove(&previous(path))?;
            remove(path)?;
        }
        Ok(())
    }

    /// A worker's id is a DNS label, so it is safe as a file's name.
    fn file(&self, worker: &WorkerId) -> PathBuf {
        self.path.join(format!("{worker}.log"))
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::time::Duration;

    #[test]
    fn the_oldest_logs_of_departed_workers_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let limits = LogLimits { departed: 2, ..LogLimits::default() };
        let logs = LogFolder::open(folder.path(), limits).unwrap();
        let names = ["oldest.log", "oldest.log.1", "present.log", "older.log", "newer.log", "newest.log", "note.txt"];
        for (age, name) in names.iter().rev().enumerate() {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 - age as u64)).unwrap();
        }
        logs.prune(&["present".parse().unwrap()].into()).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["newer.log", "newest.log", "note.txt", "present.log"]);
        assert!(logs.departed(&"older".parse().unwrap()).unwrap().is_none());
        assert!(logs.departed(&"newer".parse().unwrap()).unwrap().is_some());
    }
}
