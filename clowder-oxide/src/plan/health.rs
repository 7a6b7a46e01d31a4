//! How a machine is.

use super::View;
use super::machines::Machine;
use crate::owner::Part;
use crate::step::Step;
use oxide::types::InstanceState;
use std::time::Duration;

/// How a machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// Its node is ready.
    Ready,
    /// On its way, within its time; what is waited for.
    Coming(String),
    /// It stands still, and has to be started.
    Stopped,
    /// It will not come by itself, for this reason.
    Sick(String),
}

/// How a machine is.
pub(crate) fn health(view: &View<'_>, machine: &Machine<'_>) -> Health {
    let name = &machine.name;
    let since = view.history.in_state(machine.instance.id);
    let within = |limit: Duration, what: String| {
        if view.over(since, limit) {
            Health::Sick(format!("{what} for {}", minutes(limit)))
        } else {
            Health::Coming(format!("{name}, which is {}", machine.instance.state))
        }
    };
    match machine.instance.state {
        InstanceState::Running => running(view, machine),
        InstanceState::Stopped => {
            let start = Step::Start(machine.target());
            let taken = view.history.taken(&start);
            let tries = taken.map_or(0, |taken| taken.times);
            // Another in its place would find no more room than it does.
            let no_room = taken.and_then(|taken| taken.failure.as_ref()).is_some_and(|why| why.for_want_of_room);
            if tries >= view.limits.tries && !no_room {
                Health::Sick(format!("was started {tries} times and stands still"))
            } else {
                Health::Stopped
            }
        }
        InstanceState::Stopping => within(view.limits.stop, "has been stopping".to_owned()),
        InstanceState::Failed | InstanceState::Destroyed => Health::Sick("has failed".to_owned()),
        state => within(view.limits.transition, format!("has been {state}")),
    }
}

fn running(view: &View<'_>, machine: &Machine<'_>) -> Health {
    let name = &machine.name;
    if machine.node.is_some_and(|node| node.ready) {
        return Health::Ready;
    }
    if view.nodes.is_none() && (*machine.part != Part::Servers || !view.begins()) {
        // Whether it is well, nobody can say.
        return Health::Coming(format!("the cluster to answer and tell of {name}"));
    }
    let limit = if view.begins() { view.limits.cluster_init } else { view.limits.join };
    if view.over(view.history.unready(machine.instance.id), limit) {
        return Health::Sick(format!("runs, and its node has not been ready for {}", minutes(limit)));
    }
    Health::Coming(format!("node {name} to be ready"))
}

impl View<'_> {
    /// Whether there is no machine yet but the first server.
    pub(super) fn begins(&self) -> bool {
        self.cluster.parts().map(|part| self.seen.machines(self.cluster, &part).count()).sum::<usize>() <= 1
    }
}

fn minutes(limit: Duration) -> String {
    match limit.as_secs() {
        secs if secs % 60 == 0 => format!("{} min", secs / 60),
        secs => format!("{secs} s"),
    }
}
