//! The task that keeps one worker running.

use super::backoff::Backoff;
use super::config::LocalConfig;
use super::exit::{describe, quoted, telling_line};
use super::files::Files;
use super::fleet::{Fleet, Order};
use super::log::WorkerLog;
use super::process::{Process, Unannounced};
use crate::announce::{Announcement, EXIT_UNLOADABLE};
use clowder_core::plan::StartWorker;
use clowder_core::store::{FetchProgress, FetchRequest, StoredModel};
use clowder_core::worker::LastExit;
use clowder_core::{ModelStore, Worker, WorkerId, WorkerState, chain};
use futures::FutureExt;
use std::convert::Infallible;
use std::io;
use std::panic::AssertUnwindSafe;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// How often the progress of a fetch is published at most.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);
/// How long a process that said it ends, or closed its standard output, may take to end.
const END_PATIENCE: Duration = Duration::from_secs(5);
const PANICKED: &str = "a fault in the program that runs the workers or in its model store; its log says where";

/// Keeps one worker running, until it is told to stop.
pub(super) struct Supervisor {
    pub(super) id: WorkerId,
    pub(super) config: Arc<LocalConfig>,
    pub(super) store: Arc<dyn ModelStore>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) log: Arc<WorkerLog>,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) backoff: Backoff,
    pub(super) files: Files,
    pub(super) launches: u32,
}

/// How an attempt to run the worker ended.
enum Ended {
    /// As ordered: to stop, or to begin anew under another spec.
    Ordered,
    /// In a way that trying again may mend.
    Failed(Failure),
    /// In a way that it will not.
    FailedForGood(Failure),
}

/// What went wrong.
struct Failure {
    reason: String,
    /// The end of the process, where there was one.
    exit: Option<LastExit>,
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self { reason, exit: None }
    }
}

impl Failure {
    fn of_process(reason: String, exit: String) -> Self {
        Self { reason, exit: Some(LastExit { reason: exit, at_ms: epoch_ms(SystemTime::now()) }) }
    }
}

impl Supervisor {
    pub(super) async fn run(mut self) {
        loop {
            let Order { start, stop } = self.orders.borrow().clone();
            if stop {
                break;
            }
            // The model store is anybody's code, and a worker whose supervisor is gone could not even be stopped.
            let attempt = AssertUnwindSafe(self.attempt(&start)).catch_unwind().await;
            let ended = attempt.map_or_else(|_| Ended::Failed(PANICKED.to_owned().into()), |Err(ended)| ended);
            match ended {
                Ended::Ordered => self.backoff.reset(),
                Ended::Failed(failure) => self.back_off(failure, &start).await,
                Ended::FailedForGood(failure) => self.give_up(failure, &start).await,
            }
        }
        tracing::info!(worker = %self.id, "worker stopped");
        self.fleet.forget(&self.id);
    }

    /// From the model's file to the end of a process.
    async fn attempt(&mut self, start: &Arc<StartWorker>) -> Result<Infallible, Ended> {
        self.obtain(start).await?;
        let mut process = self.launch(start)?;
        self.announced(&mut process).await?;
        self.serve(&mut process).await
    }

    /// The files that it opens, fetched if need be, one after the other.
    async fn obtain(&mut self, start: &Arc<StartWorker>) -> Result<(), Ended> {
        let former = std::mem::take(&mut self.files);
        for request in FetchRequest::all_of(&start.spec) {
            let stored = match former.find(&request).await {
                Some(stored) => stored,
                None => self.fetch(start, request.clone()).await?,
            };
            self.files.push(request, stored);
        }
        Ok(())
    }

    async fn fetch(&mut self, start: &Arc<StartWorker>, request: FetchRequest) -> Result<StoredModel, Ended> {
        self.publish(|worker| worker.state = WorkerState::Fetching(FetchProgress::default()));
        let (sender, mut progress) = watch::channel(FetchProgress::default());
        let store = Arc::clone(&self.store);
        let mut fetch = store.ensure(&self.config.node, request, sender);
        let mut publish_at = Instant::now();
        let fetched = loop {
            tokio::select! {
                biased;
                () = superseded(&mut self.orders, start) => return Err(Ended::Ordered),
                fetched = &mut fetch => break fetched,
                Some(now) = next_progress(&mut progress, publish_at) => {
                    self.fleet.board.change(&self.id, |worker| worker.state = WorkerState::Fetching(now));
                    publish_at = Instant::now() + PROGRESS_INTERVAL;
                }
            }
        };
        drop(fetch);
        match fetched {
            Ok(stored) => {
                // What kept the file from coming says nothing about the process.
                self.backoff.reset();
                self.fleet.board.observe_cache(store.as_ref()).await;
                Ok(stored)
            }
            Err(error) if error.is_transient() => Err(Ended::Failed(chain(&error).into())),
            Err(error) => Err(Ended::FailedForGood(chain(&error).into())),
        }
    }

    fn launch(&mut self, start: &StartWorker) -> Result<Process, Ended> {
        let command = &self.config.command;
        let process = Process::spawn(command, start, &self.files.paths(), Arc::clone(&self.log)).map_err(|error| {
            Ended::Failed(format!("the worker program {} cannot be started: {error}", command.program.display()).into())
        })?;
        tracing::info!(worker = %self.id, pid = process.pid(), "worker process started");
        let restarts = self.launches;
        self.launches = self.launches.saturating_add(1);
        self.publish(|worker| {
            worker.state = WorkerState::Starting;
            worker.pid = Some(process.pid());
            worker.restarts = restarts;
            worker.context = 0;
        });
        Ok(process)
    }

    /// Waits until the worker serves.
    async fn announced(&mut self, process: &mut Process) -> Result<(), Ended> {
        let announcement = tokio::select! {
            biased;
            () = told_to_stop(&mut self.orders) => return Err(self.drain(process).await),
            announcement = process.announcement(self.config.startup_silence) => announcement,
        };
        match announcement {
            Ok(Announcement::Serving { endpoint, context, slots }) => {
                tracing::info!(worker = %self.id, endpoint, context, slots, "worker ready");
                self.publish(|worker| {
                    worker.state = WorkerState::Ready;
                    worker.endpoint = Some(endpoint);
                    (worker.context, worker.slots) = (context, slots);
                });
                Ok(())
            }
            Ok(Announcement::Unloadable { reason }) => {
                process.wait_or_kill(END_PATIENCE).await;
                let reason = quoted(&reason);
                let exit = format!("exit code {EXIT_UNLOADABLE}: {reason}");
                Err(Ended::FailedForGood(Failure::of_process(reason, exit)))
            }
            Err(Unannounced::Ended) => Err(match process.wait_or_kill(END_PATIENCE).await {
                Some(status) => self.ended(status),
                None => failed("killed because it closed its standard output without an announcement".to_owned()),
            }),
            Err(Unannounced::Silent) => {
                process.kill().await;
                let silence = self.config.startup_silence;
                let log = telling_line(&self.log.last_lines()).map(|line| format!(": {line}")).unwrap_or_default();
                Err(failed(format!("killed because it wrote nothing for {silence:?} while it was starting{log}")))
            }
            Err(Unannounced::Unintelligible(line)) => {
                process.kill().await;
                let program = self.config.command.program.display().to_string();
                Err(failed(format!(
                    "killed because its first line on standard output is no announcement of a worker: {}; is {program} the \
                     worker program of this version?",
                    quoted(&line)
                )))
            }
        }
    }

    /// Waits until the process of a worker that serves ends.
    async fn serve(&mut self, process: &mut Process) -> Result<Infallible, Ended> {
        let since = Instant::now();
        tokio::select! {
            biased;
            () = told_to_stop(&mut self.orders) => Err(self.drain(process).await),
            status = process.wait() => {
                self.backoff.served(since.elapsed());
                Err(self.ended(status))
            }
        }
    }

    async fn drain(&mut self, process: &mut Process) -> Ended {
        process.drain(self.config.grace).await;
        tracing::info!(worker = %self.id, pid = process.pid(), "worker process drained");
        Ended::Ordered
    }

    /// A process ended without being told.
    fn ended(&self, status: io::Result<ExitStatus>) -> Ended {
        let lines = self.log.last_lines();
        let reason = match &status {
            Ok(status) => describe(*status, &lines),
            Err(error) => format!("its end cannot be observed: {error}"),
        };
        if status.is_ok_and(|status| status.code() == Some(EXIT_UNLOADABLE.into())) {
            let why = telling_line(&lines).unwrap_or_else(|| "the worker did not say why; see its log".to_owned());
            return Ended::FailedForGood(Failure::of_process(format!("the model cannot be loaded: {why}"), reason));
        }
        failed(reason)
    }

    /// Waits before the next attempt, or until another spec makes waiting pointless.
    async fn back_off(&mut self, failure: Failure, start: &Arc<StartWorker>) {
        let wait = self.backoff.next(rand::random());
        let Failure { reason, exit } = failure;
        tracing::warn!(worker = %self.id, reason, ?wait, "worker failed and is tried again");
        let retry_at_ms = epoch_ms(SystemTime::now() + wait);
        self.publish_failure(WorkerState::Backoff { reason, retry_at_ms }, exit);
        tokio::select! {
            () = sleep(wait) => {}
            () = superseded(&mut self.orders, start) => self.backoff.reset(),
        }
    }

    /// Waits for another spec.
    async fn give_up(&mut self, failure: Failure, start: &Arc<StartWorker>) {
        let Failure { reason, exit } = failure;
        tracing::error!(worker = %self.id, reason, "worker failed and waits for another spec");
        self.publish_failure(WorkerState::Failed { reason }, exit);
        superseded(&mut self.orders, start).await;
        self.backoff.reset();
    }

    fn publish_failure(&self, state: WorkerState, exit: Option<LastExit>) {
        self.publish(|worker| {
            worker.state = state;
            (worker.pid, worker.endpoint) = (None, None);
            worker.last_exit = exit.or(worker.last_exit.take());
        });
    }

    fn publish(&self, change: impl FnOnce(&mut Worker)) {
        self.fleet.board.change(&self.id, change);
    }
}

/// A process ended in a way that another may not.
fn failed(reason: String) -> Ended {
    Ended::Failed(Failure::of_process(reason.clone(), reason))
}

/// Waits for an order to stop.
async fn told_to_stop(orders: &mut watch::Receiver<Order>) {
    // Orders end with the backend, and then a worker shall stop as well.
    let _ = orders.wait_for(|order| order.stop).await;
}

/// Waits for an order other than `start`.
async fn superseded(orders: &mut watch::Receiver<Order>, start: &Arc<StartWorker>) {
    let _ = orders.wait_for(|order| order.stop || !Arc::ptr_eq(&order.start, start)).await;
}

/// The next progress of a fetch, not before `at`; none where the fetch reports no more.
async fn next_progress(progress: &mut watch::Receiver<FetchProgress>, at: Instant) -> Option<FetchProgress> {
    sleep_until(at).await;
    progress.changed().await.ok()?;
    Some(*progress.borrow_and_update())
}

fn epoch_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
