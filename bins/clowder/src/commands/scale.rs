//! `clowder scale`: how many workers serve a model.

use crate::client::ModelView;
use crate::commands::wait::{self, WaitArgs};
use crate::context::Context;
use crate::exit::Error;
use crate::progress::Progress;
use serde_json::json;

/// Options of `scale`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ScaleArgs {
    /// The model's name
    model: String,
    /// Workers that shall serve it; 0 keeps the record and frees the memory
    replicas: u32,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Changes the record and waits for its effect.
pub(crate) async fn run(args: ScaleArgs, context: Context) -> Result<(), Error> {
    let client = context.client()?;
    let answer = client.change(&args.model, &json!({ "replicas": args.replicas })).await?;
    let mut value = answer.value.clone();
    if let Some(limit) = args.wait.time() {
        let asked: ModelView = answer.read()?;
        wait::until_ready(&client, &asked, limit, &mut Progress::new(context.output)).await?;
        value = client.model(&args.model).await?.value;
    }
    if context.output.is_json() {
        return context.output.json(&value);
    }
    let workers = if args.replicas == 1 { "worker" } else { "workers" };
    let verb = if args.wait.time().is_some() { "has" } else { "shall have" };
    context.output.line(&format!("{} {verb} {} {workers}", args.model, args.replicas))
}
