//! The demand for models, as all gateways of the cluster tell it.

use clowder_core::demand::{DemandSource, Demands};
use clowder_core::{BoxStream, Secret};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client, ResourceExt};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

/// The Pods of the gateways' Deployment.
const SELECTOR: &str = "app.kubernetes.io/name=clowder-gateway";
/// The port they listen on.
const PORT: u16 = 3090;
/// Between two tries to hear a gateway.
const PAUSE: Duration = Duration::from_secs(1);
/// A gateway that is silent for so long is not heard any more; it says something every 15 seconds.
const SILENCE: Duration = Duration::from_secs(60);
/// The longest line of a gateway, in bytes.
const LONGEST_LINE: usize = 1 << 20;

/// The demand of each gateway that is heard, by Pod.
type Heard = Arc<BTreeMap<String, Demands>>;

/// All gateways of a namespace, followed for as long as it lives.
pub(crate) struct GatewayDemands {
    heard: watch::Receiver<Heard>,
    _follower: AbortOnDropHandle<()>,
}

impl GatewayDemands {
    /// Those of a namespace, which ask for the admin token.
    pub(crate) fn follow(client: Client, namespace: &str, token: Secret) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().read_timeout(SILENCE).build()?;
        let (told, heard) = watch::channel(Heard::default());
        let pods = Api::<Pod>::namespaced(client, namespace);
        let follower = tokio::spawn(follow(pods, Arc::new(Listener { http, token, told })));
        Ok(Self { heard, _follower: AbortOnDropHandle::new(follower) })
    }
}

impl DemandSource for GatewayDemands {
    fn watch(&self) -> BoxStream<Arc<Demands>> {
        let mut heard = self.heard.clone();
        heard.mark_changed();
        let next = |mut heard: watch::Receiver<Heard>| async move {
            // Before a gateway is heard nothing is known, and that is not the same as no demand.
            heard.changed().await.ok()?;
            heard.wait_for(|heard| !heard.is_empty()).await.ok()?;
            let sum = sum(&heard.borrow_and_update());
            Some((Arc::new(sum), heard))
        };
        futures::stream::unfold(heard, next).boxed()
    }
}

fn sum(heard: &BTreeMap<String, Demands>) -> Demands {
    let mut sum = Demands::new();
    for (model, requests) in heard.values().flatten() {
        let total = sum.entry(model.clone()).or_default();
        *total = total.saturating_add(*requests);
    }
    sum
}

/// Listens to one gateway for each Pod there is.
async fn follow(pods: Api<Pod>, listener: Arc<Listener>) {
    let (store, writer) = reflector::store();
    let events = watcher(pods, watcher::Config::default().labels(SELECTOR)).default_backoff().reflect(writer);
    let mut events = std::pin::pin!(events);
    let mut listening: BTreeMap<String, AbortOnDropHandle<()>> = BTreeMap::new();
    while let Some(event) = events.next().await {
        if let Err(error) = event {
            tracing::warn!(%error, "the gateways' Pods are not followed at the moment");
            continue;
        }
        let there: BTreeMap<String, String> =
            store.state().iter().filter_map(|pod| Some((pod.name_any(), base(pod)?))).collect();
        listening.retain(|pod, _| {
            let stays = there.contains_key(pod);
            if !stays {
                listener.forget(pod);
            }
            stays
        });
        for (pod, base) in there {
            listening.entry(pod.clone()).or_insert_with(|| {
                let listener = listener.clone();
                AbortOnDropHandle::new(tokio::spawn(async move { listener.listen(&pod, &base).await }))
            });
        }
    }
}

/// Where a gateway's Pod is called, once it has an address.
fn base(pod: &Pod) -> Option<String> {
    let address = pod.status.as_ref()?.pod_ip.as_deref()?;
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    Some(format!("http://{host}:{PORT}/api/v1/demand"))
}

struct Listener {
    http: reqwest::Client,
    token: Secret,
    told: watch::Sender<Heard>,
}

impl Listener {
    /// Hears a gateway, again and again. One that is not heard has no demand that anybody knows of.
    async fn listen(&self, pod: &str, url: &str) {
        loop {
            if let Err(error) = self.hear(pod, url).await {
                tracing::debug!(pod, %error, "a gateway is not heard at the moment");
            }
            self.forget(pod);
            sleep(PAUSE).await;
        }
    }

    async fn hear(&self, pod: &str, url: &str) -> reqwest::Result<()> {
        let call = self.http.get(url).bearer_auth(self.token.expose());
        let mut bytes = call.send().await?.error_for_status()?.bytes_stream();
        let mut line = Vec::new();
        while let Some(chunk) = bytes.try_next().await? {
            for byte in chunk {
                match byte {
                    b'\n' => {
                        if let Some(demands) = read(&line) {
                            self.told.send_modify(|heard| {
                                Arc::make_mut(heard).insert(pod.to_owned(), demands);
                            });
                        }
                        line.clear();
                    }
                    _ if line.len() < LONGEST_LINE => line.push(byte),
                    _ => return Ok(()),
                }
            }
        }
        Ok(())
    }

    fn forget(&self, pod: &str) {
        self.told.send_if_modified(|heard| heard.contains_key(pod) && Arc::make_mut(heard).remove(pod).is_some());
    }
}

/// The demand of an event's data line; other lines say nothing here.
fn read(line: &[u8]) -> Option<Demands> {
    serde_json::from_slice(line.strip_prefix(b"data:")?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_lines_are_read_and_added_up() {
        assert_eq!(read(b": keep-alive"), None);
        assert_eq!(read(b"event: demand"), None);
        let first = read(br#"data: {"m":2}"#).unwrap();
        let second = read(br#"data: {"m":1,"n":4}"#).unwrap();
        let heard = BTreeMap::from([("a".to_owned(), first), ("b".to_owned(), second)]);
        let expected = Demands::from([("m".parse().unwrap(), 3), ("n".parse().unwrap(), 4)]);
        assert_eq!(sum(&heard), expected);
    }
}
