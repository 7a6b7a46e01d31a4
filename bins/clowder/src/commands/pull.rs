//! `clowder pull`: a model into this machine's cache.

use crate::commands::deploy::CredentialsArgs;
use crate::context::Context;
use crate::exit::Error;
use crate::names;
use crate::output;
use crate::progress::Progress;
use crate::serve;
use clowder_core::ModelUrl;
use clowder_core::secret::Credentials;
use clowder_core::source::Digest;
use clowder_core::store::{FetchProgress, FetchRequest, StoreError, StoredModel};
use clowder_storage::Cache;
use serde_json::json;
use std::path::PathBuf;
use tokio::sync::watch;

/// Options of `pull`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct PullArgs {
    /// A model's URL: hf://OWNER/REPO:Q4_K_M, hf://OWNER/REPO/FILE.gguf, https://…
    source: String,
    /// The SHA-256 that the model's file must have, sha256:HEX
    #[arg(long)]
    digest: Option<Digest>,
    #[command(flatten)]
    credentials: CredentialsArgs,
    #[command(flatten)]
    cache: CacheArgs,
}

/// Which cache.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct CacheArgs {
    /// Where models are kept [default: HOME/cache]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
}

impl CacheArgs {
    /// The cache's folder.
    pub(crate) fn folder(&self, context: &Context) -> PathBuf {
        self.cache_dir.clone().unwrap_or_else(|| context.home.cache())
    }
}

/// Fetches the model, with a bar; takes a fetch that broke off up where it ended.
pub(crate) async fn run(args: PullArgs, context: Context) -> Result<(), Error> {
    let url = names::source(&args.source)?;
    let kind = args.credentials.kind();
    let credentials = args.credentials.read()?.map(|value| Credentials { kind, value });
    context.home.create()?;
    let cache = serve::open_cache_alone(args.cache.folder(&context)).await?;
    let request = FetchRequest { url: url.clone(), digest: args.digest, credentials };
    let mut progress = Progress::new(context.output);
    let fetched = fetch(&cache, request, &mut progress).await;
    progress.clear();
    let model = fetched.map_err(|error| refused(&url, error))?;
    if context.output.is_json() {
        let model = json!({ "url": url, "digest": model.digest, "bytes": model.bytes, "path": model.path });
        return context.output.json(&model);
    }
    context.output.line(&format!("{url} is in the cache: {}, {}", output::bytes(model.bytes), model.digest))
}

async fn fetch(cache: &Cache, request: FetchRequest, progress: &mut Progress) -> Result<StoredModel, StoreError> {
    let name = request.url.file_name();
    let (sender, mut updates) = watch::channel(FetchProgress::default());
    let mut fetching = std::pin::pin!(cache.pull(request, sender));
    loop {
        tokio::select! {
            fetched = &mut fetching => return fetched,
            Ok(()) = updates.changed() => {
                let now = *updates.borrow_and_update();
                progress.fetch(&name, now);
            }
        }
    }
}

/// The cache's error in the terms of the command.
pub(crate) fn refused(url: &ModelUrl, error: StoreError) -> Error {
    use clowder_core::source::SourceError;
    match error {
        StoreError::Source(SourceError::NotFound { what }) => Error::not_found(format!("{url}: {what} does not exist")),
        error => Error::Cache { source: error.into() },
    }
}
