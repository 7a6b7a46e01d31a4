//! `clowder list`: the models in this machine's cache.

use crate::commands::pull::CacheArgs;
use crate::context::Context;
use crate::exit::Error;
use crate::output::{ago, bytes, or_dash};
use crate::serve;
use clowder_storage::cache::Entry;

/// Options of `list`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    cache: CacheArgs,
}

/// Prints a table of models.
pub(crate) async fn run(args: ListArgs, context: Context) -> Result<(), Error> {
    context.home.create()?;
    let cache = serve::open_cache_alone(args.cache.folder(&context)).await?;
    let entries = cache.list().await.map_err(|error| Error::Cache { source: error.into() })?;
    if context.output.is_json() {
        return context.output.json(&entries);
    }
    if entries.is_empty() {
        return context.output.line("no model is in the cache: `clowder pull URL` fetches one");
    }
    let rows = entries.iter().map(|entry| {
        let used = entry.last_used.map(|seconds| ago(seconds.saturating_mul(1000)));
        let digest = entry.digest.map(|digest| digest.hex().chars().take(12).collect::<String>());
        vec![entry.url.to_string(), bytes(entry.bytes), state(entry), or_dash(digest), or_dash(used)]
    });
    context.output.table(&["MODEL", "SIZE", "STATE", "DIGEST", "LAST USED"], &[1], rows.collect())
}

fn state(entry: &Entry) -> String {
    match (entry.complete, entry.total, entry.in_use) {
        (false, Some(total), _) => format!("partial, of {}", bytes(total)),
        (false, None, _) => "partial".to_owned(),
        (true, _, _) if entry.in_place => "in its own place".to_owned(),
        (true, _, true) => "in use".to_owned(),
        (true, _, false) if entry.pinned => "pinned".to_owned(),
        (true, _, false) => "complete".to_owned(),
    }
}
