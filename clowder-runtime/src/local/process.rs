//! One worker process: its pipes, its announcement, its end.

use super::command::command;
use super::config::WorkerCommand;
use super::log::{WorkerLog, pump};
use crate::announce::Announcement;
use clowder_core::plan::StartWorker;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::io;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{Child, ChildStdin};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long the last output of an ended process is waited for. It matters only where a process of its own, which inherited
/// the pipes, outlives it.
const LAST_OUTPUT: Duration = Duration::from_millis(250);

/// A running worker process. Dropping it kills it, with all processes of its own.
pub(super) struct Process {
    child: Child,
    pid: u32,
    log: Arc<WorkerLog>,
    announcement: oneshot::Receiver<String>,
    pumps: JoinSet<()>,
    /// Open as long as the worker shall live: it ends when its standard input does.
    _stdin: Option<ChildStdin>,
}

/// A process that did not announce itself.
#[derive(Debug)]
pub(super) enum Unannounced {
    /// It wrote nothing at all for too long.
    Silent,
    /// It wrote something else.
    Unintelligible(String),
    /// It closed its standard output or ended.
    Ended,
}

impl Process {
    /// Starts a worker.
    pub(super) fn spawn(
        worker: &WorkerCommand,
        start: &StartWorker,
        files: &[&Path],
        log: Arc<WorkerLog>,
    ) -> io::Result<Self> {
        log.begin_process();
        let mut child = command(worker, start, files).spawn()?;
        let pid = child.id().ok_or_else(|| io::Error::other("the process has no id"))?;
        prefer_to_kill_when_memory_runs_out(pid);
        let (first, announcement) = oneshot::channel();
        let mut pumps = JoinSet::new();
        if let Some(stdout) = child.stdout.take() {
            pumps.spawn(pump(stdout, Arc::clone(&log), Some(first)));
        }
        if let Some(stderr) = child.stderr.take() {
            pumps.spawn(pump(stderr, Arc::clone(&log), None));
        }
        Ok(Self { pid, log, announcement, pumps, _stdin: child.stdin.take(), child })
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// What it says of itself when it has loaded its model, or never will. To be asked once.
    pub(super) async fn announcement(&mut self, silence: Duration) -> Result<Announcement, Unannounced> {
        let line = loop {
            let left = silence.saturating_sub(self.log.last_at().elapsed());
            if left.is_zero() {
                return Err(Unannounced::Silent);
            }
            tokio::select! {
                biased;
                line = &mut self.announcement => break line.map_err(|_| Unannounced::Ended)?,
                _ = self.child.wait() => {
                    let line = timeout(LAST_OUTPUT, &mut self.announcement).await;
                    break line.ok().and_then(Result::ok).ok_or(Unannounced::Ended)?;
                }
                () = sleep(left) => {}
            }
        };
        let announcement = serde_json::from_str(&line).map_err(|_| Unannounced::Unintelligible(line.clone()))?;
        match &announcement {
            Announcement::Serving { endpoint, .. } if !is_endpoint(endpoint) => Err(Unannounced::Unintelligible(line)),
            _ => Ok(announcement),
        }
    }

    /// Waits until it ends by itself.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await;
        self.last_output().await;
        status
    }

    /// Waits until it ends by itself, and kills it after `patience`; `None` where it had to.
    pub(super) async fn wait_or_kill(&mut self, patience: Duration) -> Option<io::Result<ExitStatus>> {
        let in_time = timeout(patience, self.child.wait()).await.is_ok();
        if !in_time {
            tracing::warn!(pid = self.pid, ?patience, "a worker process did not end in time and is killed");
            self.signal_group(Signal::KILL);
        }
        let status = self.wait().await;
        in_time.then_some(status)
    }

    /// Lets it finish what it has, and kills it after `grace`.
    pub(super) async fn drain(&mut self, grace: Duration) {
        if let Some(pid) = self.running() {
            // It may have ended at this moment.
            let _ = kill_process(pid, Signal::TERM);
        }
        self.wait_or_kill(grace).await;
    }

    /// Ends it now.
    pub(super) async fn kill(&mut self) {
        self.signal_group(Signal::KILL);
        // However it ended, it is gone.
        let _ = self.wait().await;
    }

    fn signal_group(&self, signal: Signal) {
        if let Some(pid) = self.running() {
            // It may have ended at this moment.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Its id as long as it is surely its: until it has been waited for.
    fn running(&self) -> Option<Pid> {
        self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)
    }

    async fn last_output(&mut self) {
        let pumps = &mut self.pumps;
        let _ = timeout(LAST_OUTPUT, async { while pumps.join_next().await.is_some() {} }).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal_group(Signal::KILL);
    }
}

/// Requests go there, so it must be a plain base URL.
fn is_endpoint(endpoint: &str) -> bool {
    endpoint.strip_prefix("http://").is_some_and(|authority| {
        let well_spelled = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        !authority.is_empty() && authority.len() <= 255 && authority.chars().all(well_spelled)
    })
}

/// Memory that runs out shall cost a worker, not the program that started it.
fn prefer_to_kill_when_memory_runs_out(pid: u32) {
    #[cfg(target_os = "linux")]
    if let Err(error) = std::fs::write(format!("/proc/{pid}/oom_score_adj"), "500") {
        tracing::debug!(pid, %error, "a worker's out-of-memory score cannot be set");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = pid;
}

#[cfg(test)]
mod tests {
    use super::is_endpoint;

    #[test]
    fn endpoints_are_plain_base_urls() {
        for good in ["http://127.0.0.1:41234", "http://[::1]:8000", "http://localhost:1"] {
            assert!(is_endpoint(good), "{good}");
        }
        for bad in ["", "http://", "https://x", "http://x/path", "http://u@x", "http://a b", "file:///etc/passwd"] {
            assert!(!is_endpoint(bad), "{bad}");
        }
    }
}
