//! Waiting for a model to be served as asked, with progress.

use crate::client::{Client, ModelView};
use crate::exit::Error;
use crate::progress::Progress;
use clowder_core::status::ModelPhase;
use futures::StreamExt;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Whether a command waits for what it asked for.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct WaitArgs {
    /// Wait until it is done; this is the default
    #[arg(long, overrides_with = "no_wait")]
    wait: bool,
    /// Return at once; `clowder ps` shows how it goes on
    #[arg(long)]
    no_wait: bool,
    /// Give up when nothing has moved for so long: 90s, 5m, 2h
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

impl WaitArgs {
    /// How long to wait without anything moving; `None` where not to wait at all.
    pub(crate) fn time(&self) -> Option<Duration> {
        (self.wait || !self.no_wait).then_some(self.timeout)
    }
}

/// Waits until a model serves with as many workers as asked, as of a generation of its record. Gives up when nothing has
/// moved for `patience`: a large file may take hours, and is no reason to, as long as it comes.
pub(crate) async fn until_ready(
    client: &Client,
    asked: &ModelView,
    patience: Duration,
    progress: &mut Progress,
) -> Result<ModelView, Error> {
    let result = watch(client, asked, patience, progress).await;
    progress.clear();
    result
}

async fn watch(
    client: &Client,
    asked: &ModelView,
    patience: Duration,
    progress: &mut Progress,
) -> Result<ModelView, Error> {
    let mut events = std::pin::pin!(client.events().await?);
    let mut last: Option<ModelView> = None;
    let mut give_up = Instant::now() + patience;
    while let Some(models) =
        timeout_at(give_up, events.next()).await.map_err(|_| stuck(asked, last.as_ref(), patience))?
    {
        let Some(model) = models?.into_iter().find(|model| model.name == asked.name) else {
            if last.is_some() {
                return Err(Error::not_found(format!("model {} was removed meanwhile", asked.name)));
            }
            continue;
        };
        // Not yet about what was asked for.
        if model.generation < asked.generation {
            continue;
        }
        match model.phase {
            ModelPhase::Ready | ModelPhase::Idle => return Ok(model),
            ModelPhase::Failed => {
                let reason = model.reason.unwrap_or_else(|| "the server gives no reason".to_owned());
                return Err(Error::ModelFailed { name: model.name, reason });
            }
            _ => show(&model, progress),
        }
        if last.as_ref().is_none_or(|last| moved(last, &model)) {
            give_up = Instant::now() + patience;
        }
        last = Some(model);
    }
    Err(Error::BrokenOff { server: client.server().to_owned(), source: "the server ended".into() })
}

fn moved(before: &ModelView, now: &ModelView) -> bool {
    let bytes = |model: &ModelView| model.fetch().map(|fetch| fetch.bytes);
    (before.phase, before.ready, bytes(before)) != (now.phase, now.ready, bytes(now))
}

fn stuck(asked: &ModelView, last: Option<&ModelView>, patience: Duration) -> Error {
    let reason =
        last.and_then(|model| model.reason.as_deref()).map(|reason| format!(": {reason};")).unwrap_or_default();
    Error::TimedOut {
        what: format!("model {} does not serve{reason} nothing has moved", asked.name),
        waited: humantime::format_duration(patience).to_string(),
    }
}

fn show(model: &ModelView, progress: &mut Progress) {
    if let (ModelPhase::Fetching, Some(fetch)) = (model.phase, model.fetch()) {
        return progress.fetch(&model.name, fetch);
    }
    let count =
        if model.replicas > 1 { format!(", {} of {} ready", model.ready, model.replicas) } else { String::new() };
    let reason = model.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    progress.say(&format!("{}: {}{count}{reason}", model.name, model.phase_word()));
}
