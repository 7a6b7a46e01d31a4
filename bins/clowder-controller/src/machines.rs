//! An infrastructure behind an API: `GET /api/v1/pools`, `PUT /api/v1/pools/NAME`. The Oxide controller has it, and whoever makes
//! machines in another way may have it too.

use async_trait::async_trait;
use clowder_core::infra::{Infra, InfraError, InfraState, PoolName};
use clowder_core::{BoxError, Secret};
use futures::StreamExt;
use reqwest::{Client, Method, Response, StatusCode, Url, redirect};
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

/// How long a call may take: none waits for a machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest answer that is read, in bytes: some hundred for each machine.
const LONGEST: usize = 16 << 20;
/// How much of what an infrastructure says an error quotes, in characters.
const QUOTED: usize = 200;

/// Pools of machines that another program keeps.
pub(crate) struct RemoteInfra {
    client: Client,
    pools: Url,
    token: Option<Secret>,
}

/// An answer that does not do it, in the form that all of Clowder's have.
#[derive(Deserialize)]
struct Refusal {
    error: Message,
}

#[derive(Deserialize)]
struct Message {
    message: String,
}

impl RemoteInfra {
    /// The infrastructure at this address, which asks for `token`.
    pub(crate) fn new(mut address: Url, token: Option<Secret>) -> Result<Self, reqwest::Error> {
        // What opens it is told to nobody else.
        let client = Client::builder().timeout(PATIENCE).redirect(redirect::Policy::none()).build()?;
        let path = format!("{}/api/v1/pools", address.path().trim_end_matches('/'));
        address.set_path(&path);
        Ok(Self { client, pools: address, token })
    }

    async fn call(&self, what: &str, method: Method, url: Url, body: Option<u32>) -> Result<Response, InfraError> {
        let mut request = self.client.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        if let Some(machines) = body {
            request = request.json(&json!({ "machines": machines }));
        }
        request.send().await.map_err(|error| unreachable(what, error.without_url()))
    }
}

#[async_trait]
impl Infra for RemoteInfra {
    async fn observe(&self) -> Result<InfraState, InfraError> {
        let what = "asking for pools of machines";
        let answer = self.call(what, Method::GET, self.pools.clone(), None).await?;
        if !answer.status().is_success() {
            return Err(unreachable(what, refusal(answer).await));
        }
        let body = read(answer).await.map_err(|error| unreachable(what, error))?;
        serde_json::from_slice(&body).map_err(|error| unreachable(what, error))
    }

    async fn scale(&self, pool: &PoolName, machines: u32) -> Result<(), InfraError> {
        let what = "asking for machines";
        let mut url = self.pools.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.push(&pool.0);
        }
        let answer = self.call(what, Method::PUT, url, Some(machines)).await?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND => Err(InfraError::UnknownPool { pool: pool.clone() }),
            StatusCode::CONFLICT => match self.observe().await?.pools.remove(pool) {
                Some(found) if !(found.min..=found.max).contains(&machines) => {
                    let (min, max) = (found.min, found.max);
                    Err(InfraError::OutOfRange { pool: pool.clone(), asked: machines, min, max })
                }
                _ => Err(unreachable(what, refusal(answer).await)),
            },
            _ => Err(unreachable(what, refusal(answer).await)),
        }
    }
}

fn unreachable(what: &str, source: impl Into<BoxError>) -> InfraError {
    InfraError::Unreachable { what: what.to_owned(), source: source.into() }
}

/// What an answer says that is no success.
async fn refusal(answer: Response) -> String {
    let status = answer.status();
    let said = read(answer).await.ok().and_then(|body| serde_json::from_slice::<Refusal>(&body).ok());
    match said {
        Some(said) => {
            let quoted = said.error.message.chars().filter(|c| !c.is_control()).take(QUOTED);
            format!("it answered {status}: {}", quoted.collect::<String>())
        }
        None => format!("it answered {status}"),
    }
}

/// The body of an answer, as far as it is no longer than any is.
async fn read(answer: Response) -> Result<Vec<u8>, BoxError> {
    let (mut body, mut parts) = (Vec::new(), answer.bytes_stream());
    while let Some(part) = parts.next().await {
        body.extend_from_slice(&part.map_err(reqwest::Error::without_url)?);
        if body.len() > LONGEST {
            return Err(format!("its answer is longer than {LONGEST} bytes").into());
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests;
