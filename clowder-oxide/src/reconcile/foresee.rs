//! What would be done if everything went well: the plan, carried out in thought until it is empty.

use super::Look;
use crate::cluster::Cluster;
use crate::history::History;
use crate::ideal::Ideal;
use crate::limits::Limits;
use crate::plan::{View, plan};
use crate::step::Step;
use std::collections::BTreeSet;
use std::fmt;
use tokio::time::Instant;

/// More rounds than any cluster takes from nothing to its largest.
const ROUNDS: usize = 10_000;

/// What would be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foreseen {
    /// The steps, in their order.
    pub steps: Vec<Step>,
    /// What keeps it from going further.
    pub problems: Vec<String>,
    /// What a person may want to know of.
    pub notes: Vec<String>,
}

impl fmt::Display for Foreseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() && self.problems.is_empty() {
            writeln!(f, "nothing to do")?;
        }
        let mut seen = BTreeSet::new();
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))?;
        for step in self.steps.iter().filter(|step| seen.insert(*step)) {
            writeln!(f, "{step}")?;
        }
        self.problems.iter().try_for_each(|problem| writeln!(f, "problem: {problem}"))
    }
}

pub(super) fn foresee(cluster: &Cluster, look: Look, limits: &Limits) -> Foreseen {
    let mut history = History::default();
    let mut now = Instant::now();
    let mut ideal = Ideal::new(look.seen, look.nodes);
    let mut foreseen = Foreseen::default();
    for round in 0..ROUNDS {
        history.observe(cluster, &ideal.seen, &ideal.nodes, now);
        let view = View {
            cluster,
            sizes: &look.sizes,
            seen: &ideal.seen,
            nodes: &ideal.nodes,
            history: &history,
            limits,
            now,
        };
        let plan = plan(&view);
        if round == 0 {
            foreseen.notes.clone_from(&plan.notes);
        }
        for (instance, part, why) in &plan.condemned {
            history.condemn(*instance, part.clone(), why.clone(), now);
        }
        history.retain(&plan.wanted());
        if plan.steps.is_empty() && plan.condemned.is_empty() {
            foreseen.problems = plan.problems;
            break;
        }
        for step in &plan.steps {
            ideal.take(cluster, step, &mut history);
            history.took(step, None, limits, now);
        }
        foreseen.steps.extend(plan.steps);
        now += limits.again.most;
    }
    foreseen
}
