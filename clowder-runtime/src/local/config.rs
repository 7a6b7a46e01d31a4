//! What a [`LocalBackend`](super::LocalBackend) is told.

use super::machine;
use clowder_core::NodeName;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The program that is a worker, and the arguments that come before those of the worker contract.
///
/// Appended are `--model-path PATH --alias NAME --host 127.0.0.1 --port 0 --slots N --kv-type TYPE [--context N]
/// [--threads N] [--gpu-layers N] --supervised`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The executable.
    pub program: PathBuf,
    /// Its first arguments, such as `worker`.
    pub args: Vec<OsString>,
}

/// When a worker that failed is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffSettings {
    /// The wait after a first failure; each further one doubles it. Up to half of a wait is taken off at random, so that
    /// workers that failed together do not come back together.
    pub first: Duration,
    /// The longest wait, a day at most.
    pub longest: Duration,
    /// A worker that served for so long has its failures forgotten.
    pub stable_after: Duration,
}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(200),
            longest: Duration::from_secs(60),
            stable_after: Duration::from_secs(60),
        }
    }
}

/// How much of the workers' logs is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// Bytes of one file. A worker has two at most: the current one and the one before it.
    pub file_bytes: u64,
    /// Workers that are gone whose logs stay readable; the oldest go first.
    pub departed: usize,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { file_bytes: 4 << 20, departed: 32 }
    }
}

/// What a [`LocalBackend`](super::LocalBackend) is told.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// What this machine is called.
    pub node: NodeName,
    /// Labels of this machine, for selectors.
    pub labels: BTreeMap<String, String>,
    /// What a worker is.
    pub command: WorkerCommand,
    /// Where the workers' logs are kept; made if it is not there.
    pub log_folder: PathBuf,
    /// How much of them is kept.
    pub log_limits: LogLimits,
    /// Bytes of memory that workers may take; `None` takes what the machine (or the control group that this process is
    /// in) has, less a tenth, at least 512 MiB and at most 4 GiB, for everything else.
    pub memory: Option<u64>,
    /// When a worker that failed is started again.
    pub backoff: BackoffSettings,
    /// How long a worker may take to finish its requests when it is stopped, before it is killed.
    pub grace: Duration,
    /// How long a worker that does not serve yet may write nothing, neither announcement nor log, before it is killed.
    pub startup_silence: Duration,
}

impl LocalConfig {
    /// The usual settings: the node is called what the host is called, 30 seconds of grace, 10 minutes of silence.
    pub fn new(command: WorkerCommand, log_folder: impl Into<PathBuf>) -> Self {
        Self {
            node: machine::host_name(),
            labels: BTreeMap::new(),
            command,
            log_folder: log_folder.into(),
            log_limits: LogLimits::default(),
            memory: None,
            backoff: BackoffSettings::default(),
            grace: Duration::from_secs(30),
            startup_silence: Duration::from_secs(600),
        }
    }
}
