//! Which server answers, and under which name: a running one, or one started for this chat.

use crate::client::{Client, ModelView};
use crate::commands::{deploy, wait};
use crate::context::Context;
use crate::exit::Error;
use crate::names;
use crate::progress::Progress;
use crate::serve::{self, Ephemeral, builtin};
use clowder_core::status::ModelPhase;
use clowder_core::{ModelSpec, ModelUrl};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long nothing may move before a model is given up.
const PATIENCE: Duration = Duration::from_secs(300);

/// A model that answers.
pub(super) struct Target {
    /// The server's client.
    pub(super) client: Client,
    /// The model's name there.
    pub(super) model: String,
    /// The server, where it was started for this chat.
    server: Option<Ephemeral>,
}

impl Target {
    /// Ends the server that was started for this chat.
    pub(super) async fn close(self) {
        if let Some(server) = self.server {
            server.close().await;
        }
    }
}

/// Finds the model on the server that runs, or starts one for it.
pub(super) async fn find(typed: &str, context: &Context) -> Result<Target, Error> {
    let client = context.client()?;
    if context.names_server() || client.answers().await {
        let model = on_server(typed, &client, context).await?;
        return Ok(Target { client, model, server: None });
    }
    let recorded = recorded(typed, context).await?;
    if recorded.is_none() && !names::is_source(typed) && !builtin::NAMES.contains(&typed) {
        return Err(unknown(typed, context).await);
    }
    let server = Ephemeral::start(context, recorded).await?;
    let client = server.client();
    match on_server(typed, &client, context).await {
        Ok(model) => Ok(Target { client, model, server: Some(server) }),
        Err(error) => {
            server.close().await;
            Err(error)
        }
    }
}

/// The model of that name, its own or a further one, that this home's server would serve if it ran.
async fn recorded(name: &str, context: &Context) -> Result<Option<ModelSpec>, Error> {
    let models = serve::recorded_models(&context.home).await?;
    let found = models.values().find(|model| model.spec.names().any(|own| own.as_str() == name));
    Ok(found.map(|model| ModelSpec { replicas: 1, ..ModelSpec::clone(&model.spec) }))
}

async fn unknown(name: &str, context: &Context) -> Error {
    let recorded = serve::recorded_models(&context.home).await.unwrap_or_default();
    let known: BTreeSet<&str> =
        recorded.keys().map(|name| name.as_str()).chain(builtin::NAMES.iter().copied()).collect();
    let known: Vec<&str> = known.into_iter().collect();
    Error::not_found(format!(
        "there is no model {name:?}; there are: {}; a URL (hf://OWNER/REPO:Q4_K_M) or a .gguf file works too",
        known.join(", ")
    ))
}

async fn on_server(typed: &str, client: &Client, context: &Context) -> Result<String, Error> {
    if !names::is_source(typed) {
        match client.model(typed).await {
            Ok(answer) => return ready(client, answer.read()?, context).await,
            Err(Error::NotFound { .. }) if builtin::NAMES.contains(&typed) => {}
            // Whoever may chat need not be the admin: the OpenAI API tells the names too.
            Err(Error::Denied { .. }) if client.model_names().await?.contains(typed) => return Ok(typed.to_owned()),
            Err(error) => return Err(error),
        }
    }
    let source = names::source(typed)?;
    let deployed = client.models().await?.list::<ModelView>()?.into_iter().find(|model| same(model, &source));
    let model = match deployed {
        Some(model) => model,
        None => deploy::deploy_default(client, &source).await?,
    };
    ready(client, model, context).await
}

fn same(model: &ModelView, source: &ModelUrl) -> bool {
    model.source == source.to_string() && model.replicas > 0
}

async fn ready(client: &Client, model: ModelView, context: &Context) -> Result<String, Error> {
    match model.phase {
        ModelPhase::Ready | ModelPhase::Degraded => return Ok(model.name),
        ModelPhase::Idle => {
            let message = format!("model {0} has no replicas: `clowder scale {0} 1` gives it one", model.name);
            return Err(Error::Refused { message });
        }
        _ => {}
    }
    let mut progress = Progress::new(context.output);
    wait::until_ready(client, &model, PATIENCE, &mut progress).await.map(|model| model.name)
}
