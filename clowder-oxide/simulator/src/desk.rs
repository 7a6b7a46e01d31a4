//! Where calls arrive: each is checked, executed, written down and answered, or cut off.

use crate::answer::Answer;
use crate::calls::{Call, Calls, Reach};
use crate::description::{DESCRIPTION, NOT_AS_DESCRIBED, normalized};
use crate::fault::{Fault, Faults};
use crate::ids::Ids;
use crate::operation::Operation;
use crate::rack::Rack;
use crate::refusal::Refusal;
use crate::state::Guest;
use http::request::Parts;
use http::{HeaderMap, header};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

/// Ids of requests are none of the rack's: what is made does not depend on how often somebody looks.
const REQUEST_IDS: u64 = 0x5265_7175_6573_7473;

/// All that a simulator is, behind one lock.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) token: String,
    tick: Duration,
    inner: Mutex<Inner>,
    guests: watch::Sender<Arc<Vec<Guest>>>,
    stopped: watch::Sender<bool>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) rack: Rack,
    pub(crate) faults: Faults,
    pub(crate) calls: Calls,
    /// Answers that were not as described.
    pub(crate) wrong: Vec<String>,
    request_ids: Ids,
}

/// What is to be done with a call.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is answered, after a while.
    Answered { answer: Answer, request_id: Uuid, delay: Duration },
    /// The connection is cut.
    Cut,
}

impl Desk {
    pub(crate) fn new(token: String, tick: Duration, rack: Rack) -> Self {
        let guests = watch::Sender::new(Arc::new(Guest::all(&rack)));
        let inner = Inner {
            rack,
            faults: Faults::default(),
            calls: Calls::default(),
            wrong: Vec::new(),
            request_ids: Ids::new(REQUEST_IDS),
        };
        Self { token, tick, inner: Mutex::new(inner), guests, stopped: watch::Sender::new(false) }
    }

    /// All of it, to look at and to change. What changes is told when it is done.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.lock();
        let result = work(&mut inner);
        self.tell(&inner);
        result
    }

    pub(crate) fn guests(&self) -> watch::Receiver<Arc<Vec<Guest>>> {
        self.guests.subscribe()
    }

    pub(crate) fn stopped(&self) -> watch::Receiver<bool> {
        self.stopped.subscribe()
    }

    /// Whether calls are cut off now.
    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().calls.is_stopped()
    }

    /// One call.
    pub(crate) fn call(&self, parts: &Parts, body: &[u8]) -> Outcome {
        self.with(|inner| {
            if inner.calls.is_stopped() {
                return Outcome::Cut;
            }
            inner.rack.advance(self.tick);
            let outcome = inner.call(parts, body, &self.token);
            // What takes no time is done by the time the answer is there.
            inner.rack.advance(Duration::ZERO);
            outcome
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in one test's call is that test's failure; what is behind the lock is changed call by call.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, inner: &Inner) {
        let stopped = inner.calls.is_stopped();
        self.stopped.send_if_modified(|told| std::mem::replace(told, stopped) != stopped);
        let guests = Guest::all(&inner.rack);
        self.guests.send_if_modified(|told| {
            let changed = **told != guests;
            if changed {
                *told = Arc::new(guests);
            }
            changed
        });
    }
}

impl Inner {
    fn call(&mut self, parts: &Parts, body: &[u8], token: &str) -> Outcome {
        let (method, path) = (&parts.method, &normalized(parts.uri.path()));
        let read = DESCRIPTION.read(method, path, parts.uri.query(), body);
        let operation = match &read {
            Ok((operation, _)) => Some(*operation),
            Err((operation, _)) => *operation,
        };
        let struck = operation.and_then(|operation| self.faults.strike(operation, method));
        let fault = struck.map(|struck| struck.fault);
        let mut inside = fault.filter(|fault| fault.is_inside());
        let result = match (refusal_of(fault), read) {
            _ if fault == Some(Fault::Cut) => Ok(None),
            (_, Err((None, refusal))) => Err(refusal),
            (Some(refusal), _) => Err(refusal),
            // An open door for all, as on a rack.
            (None, Ok((Operation::Ping, request))) => {
                self.rack.execute(Operation::Ping, &request, &mut inside).map(Some)
            }
            (None, _) if !is_authorized(&parts.headers, token) => Err(Refusal::Unauthorized),
            (None, Err((_, refusal))) => Err(refusal),
            (None, Ok((operation, request))) => self.rack.execute(operation, &request, &mut inside).map(Some),
        };
        if let Some(struck) = struck {
            self.faults.settle(struck, inside.is_none());
        }
        let request_id = self.request_ids.next();
        let Some(answer) = result.unwrap_or_else(|refusal| Some(refusal.answer(request_id))) else {
            self.calls.add_cut(Call::new(method, path, operation, None));
            return Outcome::Cut;
        };
        let answer = self.checked(operation, answer);
        let reach = self.calls.add(Call::new(method, path, operation, Some(answer.status.as_u16())));
        if fault == Some(Fault::LostAnswer) || reach == Reach::Lost {
            return Outcome::Cut;
        }
        let delay = match fault {
            Some(Fault::Slow(delay)) => delay,
            _ => Duration::ZERO,
        };
        Outcome::Answered { answer, request_id, delay }
    }

    /// The answer, if it is as described; a simulator that lies fails its test.
    fn checked(&mut self, operation: Option<Operation>, answer: Answer) -> Answer {
        let wrong = DESCRIPTION.faults_of(operation, &answer);
        if wrong.is_empty() {
            return answer;
        }
        self.wrong.extend(wrong);
        Answer { status: NOT_AS_DESCRIBED, ..answer }
    }
}

/// What is answered instead of the truth.
fn refusal_of(fault: Option<Fault>) -> Option<Refusal> {
    match fault? {
        Fault::Unavailable => Some(Refusal::Unavailable),
        Fault::InternalError => Some(Refusal::Internal),
        Fault::RateLimited { retry_after } => Some(Refusal::TooManyRequests { retry_after }),
        _ => None,
    }
}

fn is_authorized(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    given.and_then(|value| value.strip_prefix("Bearer ")) == Some(token)
}
