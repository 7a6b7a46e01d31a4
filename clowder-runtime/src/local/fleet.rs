//! Which workers there are, and what each of them is told.

use super::board::Board;
use super::log::WorkerLog;
use clowder_core::plan::StartWorker;
use clowder_core::{BackendError, Worker, WorkerId, WorkerState};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

/// Workers at the same time; a machine has fewer by far.
const MOST_WORKERS: usize = 1024;

/// What a supervisor is told, as a level: the newest order is the one that counts.
#[derive(Clone)]
pub(super) struct Order {
    /// What shall run.
    pub(super) start: Arc<StartWorker>,
    /// Whether it shall end.
    pub(super) stop: bool,
}

/// A worker's supervisor, seen from outside.
pub(super) struct Member {
    log: Arc<WorkerLog>,
    _task: AbortOnDropHandle<()>,
}

impl Member {
    /// The log that the worker's processes write, and the task of its supervisor, which ends with the member.
    pub(super) fn new(log: Arc<WorkerLog>, task: JoinHandle<()>) -> Self {
        Self { log, _task: AbortOnDropHandle::new(task) }
    }
}

/// All workers of this machine.
pub(super) struct Fleet {
    /// What is to be seen of them.
    pub(super) board: Board,
    roster: Mutex<Roster>,
}

#[derive(Default)]
struct Roster {
    members: BTreeMap<WorkerId, (watch::Sender<Order>, Member)>,
    closed: bool,
}

impl Fleet {
    pub(super) fn new(board: Board) -> Self {
        Self { board, roster: Mutex::default() }
    }

    /// There shall be this worker; `recruit` makes the supervisor of one that is new. Says whether it was.
    pub(super) fn start(
        &self,
        start: &StartWorker,
        recruit: impl FnOnce(watch::Receiver<Order>) -> Member,
    ) -> Result<bool, BackendError> {
        let id = &start.worker;
        let refused = |reason: String| BackendError::Refused { worker: id.clone(), reason };
        let mut roster = self.lock();
        if roster.closed {
            return Err(refused("the backend is shutting down".to_owned()));
        }
        if let Some((orders, _)) = roster.members.get(id) {
            return self.start_again(orders, start).map(|()| false);
        }
        if roster.members.len() >= MOST_WORKERS {
            return Err(refused(format!("there are {MOST_WORKERS} workers already; stop some first")));
        }
        self.board.insert(observed(start));
        let (orders, receiver) = watch::channel(Order { start: Arc::new(start.clone()), stop: false });
        roster.members.insert(id.clone(), (orders, recruit(receiver)));
        Ok(true)
    }

    /// A worker that is there is told again. One that failed for good begins anew under another spec; of all others the
    /// credentials and the memory may change, the rest of what runs may not.
    fn start_again(&self, orders: &watch::Sender<Order>, start: &StartWorker) -> Result<(), BackendError> {
        let id = &start.worker;
        let Order { start: former, stop } = orders.borrow().clone();
        let inventory = self.board.inventory();
        let failed = inventory.workers.get(id).is_some_and(|w| matches!(w.state, WorkerState::Failed { .. }));
        let revised = former.spec.revision() != start.spec.revision();
        if stop || (revised && !failed) {
            return Err(BackendError::Busy { worker: id.clone() });
        }
        let respecified = revised || former.spec.credentials != start.spec.credentials;
        self.board.change(id, |worker| {
            worker.memory = start.memory;
            if failed && respecified {
                let (restarts, last_exit) = (worker.restarts, worker.last_exit.take());
                *worker = Worker { restarts, last_exit, ..observed(start) };
            }
        });
        if respecified {
            orders.send_modify(|order| order.start = Arc::new(start.clone()));
        }
        Ok(())
    }

    /// There shall not be this worker; an unknown one is none.
    pub(super) fn stop(&self, id: &WorkerId) {
        if let Some((orders, _)) = self.lock().members.get(id) {
            self.tell_to_stop(id, orders);
        }
    }

    /// There shall be no worker, now or later.
    pub(super) fn close(&self) {
        let mut roster = self.lock();
        roster.closed = true;
        for (id, (orders, _)) in &roster.members {
            self.tell_to_stop(id, orders);
        }
    }

    /// Ends all supervisors where they are, and their processes with them.
    pub(super) fn abandon(&self) {
        let mut roster = self.lock();
        roster.closed = true;
        roster.members.clear();
    }

    /// A worker is gone. The last thing that its supervisor does.
    pub(super) fn forget(&self, id: &WorkerId) {
        let mut roster = self.lock();
        self.board.change(id, |worker| {
            worker.state = WorkerState::Stopped;
            (worker.pid, worker.endpoint) = (None, None);
        });
        self.board.remove(id);
        roster.members.remove(id);
    }

    /// The log of a worker that is there.
    pub(super) fn log(&self, id: &WorkerId) -> Option<Arc<WorkerLog>> {
        self.lock().members.get(id).map(|(_, member)| Arc::clone(&member.log))
    }

    /// The workers that are there.
    pub(super) fn ids(&self) -> BTreeSet<WorkerId> {
        self.lock().members.keys().cloned().collect()
    }

    fn tell_to_stop(&self, id: &WorkerId, orders: &watch::Sender<Order>) {
        self.board.change(id, |worker| worker.state = WorkerState::Draining);
        orders.send_modify(|order| order.stop = true);
    }

    fn lock(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A worker of which nothing is known but what was asked for.
fn observed(start: &StartWorker) -> Worker {
    let mut worker = Worker::new(start.worker.clone(), start.spec.name.clone(), start.node.clone());
    worker.revision = start.spec.revision();
    worker.memory = start.memory;
    worker.slots = start.spec.engine.slots();
    worker
}
