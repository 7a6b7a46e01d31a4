//! `clowder scale`: how many workers serve a model.

use crate::client::ModelView;
use crate::commands::wait::{self, WaitArgs};
use crate::context::Context;
use crate::exit::Error;
use crate::progress::Progress;
use crate::replicas::Replicas;
use serde_json::Map;

/// Options of `scale`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ScaleArgs {
    /// The model's name
    model: String,
    /// Workers that shall serve it: a number, where 0 keeps the record and frees the memory, or bounds such as 0..3, within
    /// which they follow the demand
    replicas: Replicas,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Changes the record and waits for its effect.
pub(crate) async fn run(args: ScaleArgs, context: Context) -> Result<(), Error> {
    let client = context.client()?;
    let mut change = Map::new();
    args.replicas.write(&mut change);
    let answer = client.change(&args.model, &change.into()).await?;
    let mut value = answer.value.clone();
    if let Some(limit) = args.wait.time() {
        let asked: ModelView = answer.read()?;
        wait::until_ready(&client, &asked, limit, &mut Progress::new(context.output)).await?;
        value = client.model(&args.model).await?.value;
    }
    if context.output.is_json() {
        return context.output.json(&value);
    }
    let verb = if args.wait.time().is_some() { "has" } else { "shall have" };
    context.output.line(&format!("{} {verb} {}", args.model, args.replicas))
}
