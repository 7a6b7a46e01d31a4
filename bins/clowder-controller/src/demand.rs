//! The demand for models, as all gateways of the cluster tell it.

use clowder_core::demand::{DemandSource, Demands};
use clowder_core::{BoxStream, Secret};
use clowder_k8s::feeds::{Feed, Feeds, Heard, Silence, Tellers};
use futures::StreamExt;
use kube::Client;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The Pods of the gateways' Deployment.
const SELECTOR: &str = "app.kubernetes.io/name=clowder-gateway";
/// The port they listen on.
const PORT: u16 = 3090;

/// How long what a gateway told stands while it is not heard. A connection that breaks is no reason to take its requests for
/// done; one that stays away has none that anybody knows of.
const STANDING: Duration = Duration::from_secs(60);

/// All gateways of a namespace, followed for as long as it lives.
pub(crate) struct GatewayDemands(Feeds<Demands>);

impl GatewayDemands {
    /// Those of a namespace, which ask for the admin token.
    pub(crate) fn follow(client: Client, namespace: &str, token: Secret) -> Self {
        let feed = Feed {
            selector: SELECTOR,
            port: PORT,
            path: "/api/v1/demand",
            token: Some(token),
            silence: Silence::ForgottenAfter(STANDING),
        };
        Self(Feeds::follow(client, namespace, feed, |data| serde_json::from_slice(data).ok()))
    }

    /// How many there are and are heard.
    pub(crate) fn heard(&self) -> Heard {
        self.0.heard()
    }
}

impl DemandSource for GatewayDemands {
    fn watch(&self) -> BoxStream<Arc<Demands>> {
        let mut tellers = self.0.tellers();
        tellers.mark_changed();
        let next = |mut tellers: watch::Receiver<Arc<Tellers<Demands>>>| async move {
            loop {
                tellers.changed().await.ok()?;
                // Before a gateway is heard nothing is known, and that is not the same as no demand.
                let sum = sum(&tellers.borrow_and_update());
                if let Some(sum) = sum {
                    return Some((Arc::new(sum), tellers));
                }
            }
        };
        futures::stream::unfold(tellers, next).boxed()
    }
}

/// The demand at all gateways that are heard; `None` where none is.
fn sum(tellers: &Tellers<Demands>) -> Option<Demands> {
    let mut heard = tellers.values().filter_map(|teller| teller.told.as_deref()).peekable();
    heard.peek()?;
    let mut sum = Demands::new();
    for (model, requests) in heard.flatten() {
        let total = sum.entry(model.clone()).or_default();
        *total = total.saturating_add(*requests);
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clowder_k8s::feeds::Teller;

    #[test]
    fn the_demand_at_those_that_are_heard_is_added_up() {
        let teller = |pod: &str, told: Option<&str>| {
            let told = told.map(|data| Arc::new(serde_json::from_str(data).unwrap()));
            (pod.to_owned(), Teller { node: "n".into(), base: String::new(), told, is_heard: true })
        };
        assert_eq!(sum(&[teller("a", None)].into()), None);
        let heard = [teller("a", Some(r#"{"m":2}"#)), teller("b", Some(r#"{"m":1,"n":4}"#)), teller("c", None)];
        let expected = Demands::from([("m".parse().unwrap(), 3), ("n".parse().unwrap(), 4)]);
        assert_eq!(sum(&heard.into()), Some(expected));
    }
}
