//! `clowder rm`: stop serving a model, or remove one from the cache.

use crate::commands::pull::{CacheArgs, refused};
use crate::context::Context;
use crate::exit::Error;
use crate::{names, serve};

/// Options of `rm`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct RmArgs {
    /// The served model's name; with --cached, the cached model's URL
    model: String,
    /// Remove it from this machine's cache
    #[arg(long)]
    cached: bool,
    #[command(flatten)]
    cache: CacheArgs,
}

/// Removes it: its workers finish what they have.
pub(crate) async fn run(args: RmArgs, context: Context) -> Result<(), Error> {
    if args.cached {
        return remove_cached(&args, &context).await;
    }
    context.client()?.remove(&args.model).await?;
    context.output.line(&format!("{} is no longer served", args.model))
}

async fn remove_cached(args: &RmArgs, context: &Context) -> Result<(), Error> {
    let url = names::source(&args.model)?;
    context.home.create()?;
    let cache = serve::open_cache_alone(args.cache.folder(context)).await?;
    if cache.find(&url).await.map_err(|error| refused(&url, error))?.is_none() {
        return Err(Error::not_found(format!("{url} is not in the cache; `clowder list` shows what is")));
    }
    cache.forget(&url).await.map_err(|error| refused(&url, error))?;
    context.output.line(&format!("{url} is no longer in the cache"))
}
