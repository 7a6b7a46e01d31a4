//! `clowder nodes`: the machines that workers run on.

use crate::client::NodeView;
use crate::context::Context;
use crate::exit::Error;
use crate::output::{bytes, or_dash};

/// Prints a table of nodes.
pub(crate) async fn run(context: Context) -> Result<(), Error> {
    let answer = context.client()?.nodes().await?;
    if context.output.is_json() {
        return context.output.json(&answer.value);
    }
    let rows = answer.list::<NodeView>()?.into_iter().map(|node| {
        let accelerators: Vec<&str> = node.capacity.accelerators.iter().map(|one| one.name.as_str()).collect();
        vec![
            node.name.clone(),
            if node.schedulable { "yes" } else { "no" }.to_owned(),
            node.workers.len().to_string(),
            node.capacity.cores.to_string(),
            bytes(node.capacity.memory),
            bytes(node.free_memory),
            or_dash((!accelerators.is_empty()).then(|| accelerators.join(", "))),
            node.cached.len().to_string(),
        ]
    });
    let header = ["NODE", "TAKES WORKERS", "WORKERS", "CORES", "MEMORY", "FREE", "ACCELERATORS", "CACHED MODELS"];
    context.output.table(&header, &[2, 3, 4, 5, 7], rows.collect())
}
