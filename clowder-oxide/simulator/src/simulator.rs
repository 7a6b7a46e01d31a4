//! A simulated rack, started and looked at.

use crate::calls::{Call, CrashPoint};
use crate::desk::Desk;
use crate::error::StartError;
use crate::fault::Injection;
use crate::options::Options;
use crate::rack::Rack;
use crate::records::Instance;
use crate::server::serve;
use crate::state::{Guest, State};
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;

/// A rack that listens on a port of this machine. It is gone when this is dropped.
///
/// # Panics
/// When it is dropped after an answer that is not as Oxide's description of the API says: then the simulator is wrong.
#[derive(Debug)]
pub struct Simulator {
    url: Url,
    desk: Arc<Desk>,
    server: JoinHandle<()>,
}

impl Simulator {
    /// Starts one.
    ///
    /// # Errors
    /// [`StartError`] where it cannot listen, or something in the options is not usable.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let rack = Rack::new(&options)?;
        let tls = options.tls.as_ref().map(|tls| tls.acceptor()).transpose()?;
        let listen = |source| StartError::Listen { address: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let url = match &options.tls {
            None => format!("http://{address}"),
            Some(tls) => format!("https://{}:{}", tls.host, address.port()),
        };
        let url = url.parse().map_err(|_| StartError::Name(url.clone()))?;
        // Like a real one, it tells who may see it; unlike one, it protects nothing.
        let token = format!("oxide-token-{:016x}", options.seed);
        let desk = Arc::new(Desk::new(token, options.tick, rack));
        let server = tokio::spawn(serve(listener, tls, desk.clone()));
        Ok(Self { url, desk, server })
    }

    /// Where it is.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The token that it lets in.
    pub fn token(&self) -> &str {
        &self.desk.token
    }

    /// Its clock.
    pub fn clock(&self) -> Clock<'_> {
        Clock(&self.desk)
    }

    /// What goes wrong with it.
    pub fn faults(&self) -> FaultsOf<'_> {
        FaultsOf(&self.desk)
    }

    /// The calls that came in so far, or since they were last [forgotten](Self::forget_calls).
    pub fn calls(&self) -> Vec<Call> {
        self.desk.with(|inner| inner.calls.all())
    }

    /// Those of them that may change something.
    pub fn mutating_calls(&self) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.mutating).collect()
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        self.desk.with(|inner| inner.calls.forget());
    }

    /// From this point on each call fails by a cut connection, until the rack is [revived](Self::revive).
    pub fn stop_after(&self, point: CrashPoint) {
        self.desk.with(|inner| inner.calls.stop_at(point));
    }

    /// Whether calls are cut off now.
    pub fn is_stopped(&self) -> bool {
        self.desk.is_stopped()
    }

    /// Waits until calls are cut off.
    pub async fn stopped(&self) {
        // The sender lives as long as this.
        let _ = self.desk.stopped().wait_for(|stopped| *stopped).await;
    }

    /// Calls are answered again.
    pub fn revive(&self) {
        self.desk.with(|inner| inner.calls.revive());
    }

    /// All that there is now.
    pub fn state(&self) -> State {
        self.desk.with(|inner| State::of(&inner.rack))
    }

    /// The first instance of this name.
    pub fn instance(&self, name: &str) -> Option<Instance> {
        self.state().instance(name).cloned()
    }

    /// What runs in the instances, now and after each change.
    pub fn events(&self) -> watch::Receiver<Arc<Vec<Guest>>> {
        self.desk.guests()
    }

    /// An instance breaks, as with its sled: it is `failed`, and started again if its policy says so. Whether there is
    /// such an instance.
    pub fn break_instance(&self, name: &str) -> bool {
        self.desk.with(|inner| {
            let found = inner.rack.instances.iter().find(|instance| *instance.view.name == name);
            let Some(id) = found.map(|instance| instance.view.id) else { return false };
            let restart_after = inner.rack.times.auto_restart;
            inner.rack.fail(id, restart_after);
            true
        })
    }

    /// Answers so far that were not as described, a line each: the simulator is wrong where there are any.
    pub fn wrong_answers(&self) -> Vec<String> {
        self.desk.with(|inner| inner.wrong.clone())
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.server.abort();
        let wrong = self.desk.with(|inner| std::mem::take(&mut inner.wrong));
        assert!(wrong.is_empty() || std::thread::panicking(), "answers are not as described: {wrong:#?}");
    }
}

/// The clock of a rack. It stands still but for the [tick](Options::tick) of each call, and until it is moved.
#[derive(Clone, Copy, Debug)]
pub struct Clock<'a>(&'a Desk);

impl Clock<'_> {
    /// Lets time pass, and what is due in it happen.
    pub fn advance(&self, time: Duration) {
        self.0.with(|inner| inner.rack.advance(time));
    }

    /// What time it is on the rack.
    pub fn now(&self) -> DateTime<Utc> {
        self.0.with(|inner| inner.rack.schedule.now())
    }
}

/// The faults of a rack.
#[derive(Clone, Copy, Debug)]
pub struct FaultsOf<'a>(&'a Desk);

impl FaultsOf<'_> {
    /// This will go wrong. Of several that could happen to one call, the first that was injected does.
    pub fn inject(&self, injection: impl Into<Injection>) {
        self.0.with(|inner| inner.faults.add(injection.into()));
    }

    /// Nothing more goes wrong.
    pub fn clear(&self) {
        self.0.with(|inner| inner.faults.clear());
    }

    /// How many injections have not happened as often as they shall.
    pub fn left(&self) -> usize {
        self.0.with(|inner| inner.faults.left())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[should_panic(expected = "answers are not as described: [\n    \"ping, 200 OK\",\n]")]
    async fn a_simulator_that_gave_a_wrong_answer_fails_its_test() {
        let rack = Simulator::start(Options::default()).await.unwrap();
        rack.desk.with(|inner| inner.wrong.push("ping, 200 OK".to_owned()));
        assert_eq!(rack.wrong_answers().len(), 1);
    }
}
