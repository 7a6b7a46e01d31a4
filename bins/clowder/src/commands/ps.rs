//! `clowder ps`: models and their workers.

use crate::client::{CanaryView, ModelView, WorkerView};
use crate::context::Context;
use crate::exit::Error;
use crate::output::{Output, ago, bytes, or_dash};
use serde_json::json;

/// Options of `ps`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct PsArgs {
    /// Only this model
    model: Option<String>,
}

/// Prints a table of models and one of workers.
pub(crate) async fn run(args: PsArgs, context: Context) -> Result<(), Error> {
    let client = context.client()?;
    let (models, workers) = tokio::try_join!(client.models(), client.workers())?;
    let wanted = |name: &str| args.model.as_deref().is_none_or(|model| model == name);
    if let Some(model) = &args.model
        && !models.list::<ModelView>()?.iter().any(|view| view.name == *model)
    {
        return Err(super::no_such_model(&client, model).await);
    }
    if context.output.is_json() {
        let keep = |list: &serde_json::Value, key: &str| -> Vec<serde_json::Value> {
            let all = list["data"].as_array().cloned().unwrap_or_default();
            all.into_iter().filter(|one| wanted(one[key].as_str().unwrap_or_default())).collect()
        };
        let both = json!({ "models": keep(&models.value, "name"), "workers": keep(&workers.value, "model") });
        return context.output.json(&both);
    }
    let models: Vec<ModelView> = models.list()?;
    let workers: Vec<WorkerView> = workers.list()?;
    if models.is_empty() && workers.is_empty() {
        return context.output.line("no model is served: `clowder deploy SOURCE` serves one");
    }
    print_models(context.output, models.iter().filter(|model| wanted(&model.name)))?;
    let workers: Vec<&WorkerView> = workers.iter().filter(|view| wanted(view.worker.model.as_str())).collect();
    if workers.is_empty() {
        return Ok(());
    }
    context.output.line("")?;
    print_workers(context.output, &workers)
}

fn print_models<'a>(output: Output, models: impl Iterator<Item = &'a ModelView>) -> Result<(), Error> {
    let rows = models.map(|model| {
        vec![
            model.name.clone(),
            model.phase_word().to_owned(),
            format!("{}/{}", model.ready, model.replicas),
            or_dash(model.canary.as_ref().map(canary)),
            or_dash(model.memory.map(bytes)),
            model.engine.slots().to_string(),
            model.source.clone(),
            or_dash(model.reason.as_deref()),
        ]
    });
    output.table(
        &["MODEL", "PHASE", "READY", "CANARY", "MEMORY", "SLOTS", "SOURCE", "REASON"],
        &[2, 3, 4, 5],
        rows.collect(),
    )
}

fn print_workers(output: Output, workers: &[&WorkerView]) -> Result<(), Error> {
    let rows = workers.iter().map(|view| {
        let worker = &view.worker;
        let exit = worker.last_exit.as_ref().map(|exit| format!("{} ({})", exit.reason, ago(exit.at_ms)));
        vec![
            worker.id.to_string(),
            worker.node.to_string(),
            state(view),
            format!("{}/{}", view.in_flight, worker.slots),
            worker.restarts.to_string(),
            or_dash((worker.memory > 0).then(|| bytes(worker.memory))),
            or_dash(worker.pid),
            or_dash(worker.endpoint.as_deref()),
            or_dash(exit),
        ]
    });
    let header = ["WORKER", "NODE", "STATE", "BUSY", "RESTARTS", "MEMORY", "PID", "ENDPOINT", "LAST EXIT"];
    output.table(&header, &[3, 4, 5, 6], rows.collect())
}

/// Workers on trial, and their share of the requests.
fn canary(canary: &CanaryView) -> String {
    format!("{}/{} at {}%", canary.ready, canary.replicas, canary.weight)
}

fn state(view: &WorkerView) -> String {
    let state = &view.worker.state;
    match (state, state.reason()) {
        (clowder_core::WorkerState::Fetching(progress), _) => match progress.total {
            Some(total) if total > 0 => {
                format!("fetching {}%", u128::from(progress.bytes) * 100 / u128::from(total))
            }
            _ => format!("fetching {}", bytes(progress.bytes)),
        },
        (_, Some(reason)) => format!("{}: {reason}", state.phase()),
        (_, None) => state.phase().to_owned(),
    }
}
