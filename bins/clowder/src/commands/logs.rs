//! `clowder logs`: what workers wrote.

use crate::client::{Client, WorkerView};
use crate::commands::no_such_model;
use crate::context::Context;
use crate::exit::Error;
use crate::output::{Output, printable};
use futures::{StreamExt, TryStreamExt};

/// Longer lines are printed in pieces, so that no worker fills the memory.
const MAX_LINE: usize = 64 << 10;

/// Options of `logs`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct LogsArgs {
    /// A worker's name, or a model's for all its workers
    #[arg(value_name = "WORKER|MODEL")]
    of: String,
    /// Go on with lines as they come
    #[arg(long, short)]
    follow: bool,
    /// Only the last so many lines of each worker
    #[arg(long, short = 'n', value_name = "LINES")]
    tail: Option<usize>,
}

/// Prints the lines; those of several workers with their names.
pub(crate) async fn run(args: LogsArgs, context: Context) -> Result<(), Error> {
    let client = context.client()?;
    let all: Vec<WorkerView> = client.workers().await?.list()?;
    let named = |worker: &&WorkerView| worker.worker.id.as_str() == args.of;
    let workers: Vec<&WorkerView> = match all.iter().find(named) {
        Some(worker) => vec![worker],
        None => all.iter().filter(|view| view.worker.model.as_str() == args.of).collect(),
    };
    match &workers[..] {
        // A worker that is gone may have left a log.
        [] => match print(&client, &args.of, &args, "", context.output).await {
            Err(Error::NotFound { .. }) => Err(unknown(&client, &args.of, &all).await),
            other => other,
        },
        [worker] => print(&client, worker.worker.id.as_str(), &args, "", context.output).await,
        several => {
            let each = several.iter().map(|view| async {
                let id = view.worker.id.as_str();
                print(&client, id, &args, &format!("{id} | "), context.output).await
            });
            if args.follow {
                futures::future::try_join_all(each).await.map(drop)
            } else {
                futures::stream::iter(each).then(|printed| printed).try_collect().await
            }
        }
    }
}

async fn unknown(client: &Client, of: &str, workers: &[WorkerView]) -> Error {
    if workers.is_empty() {
        return no_such_model(client, of).await;
    }
    let ids: Vec<&str> = workers.iter().map(|view| view.worker.id.as_str()).collect();
    Error::not_found(format!("there is no worker or model {of:?}; there are the workers {}", ids.join(", ")))
}

async fn print(client: &Client, worker: &str, args: &LogsArgs, prefix: &str, output: Output) -> Result<(), Error> {
    let mut bytes = std::pin::pin!(client.logs(worker, args.tail, args.follow).await?);
    let mut line = Vec::new();
    while let Some(piece) = bytes.try_next().await? {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(part);
            if part.ends_with(b"\n") || line.len() > MAX_LINE {
                print_line(&mut line, prefix, output)?;
            }
        }
    }
    if line.is_empty() { Ok(()) } else { print_line(&mut line, prefix, output) }
}

fn print_line(line: &mut Vec<u8>, prefix: &str, output: Output) -> Result<(), Error> {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches(['\n', '\r']);
    let shown = if output.is_terminal() { printable(text) } else { text.into() };
    let result = output.line(&format!("{prefix}{shown}"));
    line.clear();
    result
}
