//! The log of one worker, over all its processes.

use super::rotate::{RotatingFile, Snapshot};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;
use tokio::time::Instant;

/// Lines that a follower may be behind before it loses some.
const FOLLOWER_LAG: usize = 512;
/// Lines of the present process that are kept for the reason of its end.
const LAST_LINES: usize = 32;

/// The log of one worker.
pub(in crate::local) struct WorkerLog {
    state: Mutex<State>,
}

struct State {
    file: RotatingFile,
    unwritable: bool,
    last_lines: VecDeque<String>,
    last_at: Instant,
    followers: broadcast::Sender<Arc<str>>,
}

/// What is kept of a log at one moment, and what comes after it.
pub(in crate::local) struct Kept {
    pub(in crate::local) lines: Snapshot,
    pub(in crate::local) later: Option<broadcast::Receiver<Arc<str>>>,
}

impl WorkerLog {
    /// A log in a file of at most `limit` bytes and the one before it.
    pub(super) fn new(path: PathBuf, limit: u64) -> Self {
        let state = State {
            file: RotatingFile::new(path, limit),
            unwritable: false,
            last_lines: VecDeque::with_capacity(LAST_LINES),
            last_at: Instant::now(),
            followers: broadcast::Sender::new(FOLLOWER_LAG),
        };
        Self { state: Mutex::new(state) }
    }

    /// A new process writes from now on.
    pub(in crate::local) fn begin_process(&self) {
        let mut state = self.lock();
        state.last_lines.clear();
        state.last_at = Instant::now();
    }

    /// Keeps lines and hands them to the followers. A disk that does not take them stops neither.
    pub(super) fn append(&self, lines: Vec<String>) {
        let mut state = self.lock();
        state.last_at = Instant::now();
        for line in lines {
            match state.file.append(&line) {
                Ok(()) => state.unwritable = false,
                Err(error) if !state.unwritable => {
                    state.unwritable = true;
                    tracing::warn!(%error, "a worker's log cannot be written; its lines are lost until it can");
                }
                Err(_) => {}
            }
            // An error says that nobody follows.
            let _ = state.followers.send(line.as_str().into());
            if state.last_lines.len() == LAST_LINES {
                state.last_lines.pop_front();
            }
            state.last_lines.push_back(line);
        }
    }

    /// The last lines of the present process.
    pub(in crate::local) fn last_lines(&self) -> Vec<String> {
        self.lock().last_lines.iter().cloned().collect()
    }

    /// When the present process last wrote something, or began.
    pub(in crate::local) fn last_at(&self) -> Instant {
        self.lock().last_at
    }

    /// What is kept, and where wanted what comes after it; no line is missing between the two or in both.
    pub(in crate::local) fn read(&self, follow: bool) -> io::Result<Kept> {
        let state = self.lock();
        let later = follow.then(|| state.followers.subscribe());
        Ok(Kept { lines: state.file.snapshot()?, later })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[tokio::test]
    async fn a_follower_gets_each_line_once() {
        let folder = tempfile::tempdir().unwrap();
        let log = WorkerLog::new(folder.path().join("w.log"), 1000);
        log.append(lines(&["a", "b"]));
        let kept = log.read(true).unwrap();
        log.append(lines(&["c"]));
        drop(log);
        assert_eq!(kept.lines.lines(None).unwrap(), ["a", "b"]);
        let mut later = kept.later.unwrap();
        assert_eq!(&*later.recv().await.unwrap(), "c");
        assert!(later.recv().await.is_err());
    }

    #[tokio::test]
    async fn a_full_disk_stops_no_follower() {
        let folder = tempfile::tempdir().unwrap();
        let log = WorkerLog::new(folder.path().join("missing").join("w.log"), 1000);
        let mut later = log.read(true).unwrap().later.unwrap();
        log.append(lines(&["a"]));
        assert_eq!(&*later.recv().await.unwrap(), "a");
    }

    #[tokio::test]
    async fn the_last_lines_are_those_of_the_present_process() {
        let folder = tempfile::tempdir().unwrap();
        let log = WorkerLog::new(folder.path().join("w.log"), 1000);
        log.append(lines(&["old"]));
        log.begin_process();
        log.append((0..40).map(|n| n.to_string()).collect());
        let last = log.last_lines();
        assert_eq!((last.len(), last[0].as_str(), last[31].as_str()), (32, "8", "39"));
    }
}
