//! What Pods tell of themselves: each is listened to for as long as it is there.

mod listen;

use crate::mirror::{Mirror, Reading, events};
use clowder_core::{NodeName, Secret, chain};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use listen::{Http, hear};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

/// Before another try to hear a Pod that has been heard; twice as long after each that was in vain.
const PAUSE: Duration = Duration::from_secs(1);
/// And no longer than so long.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Pods that are listened to at most.
const MOST_PODS: usize = 10_000;

/// Which Pods tell something, and how they are asked: by a call that is answered with server-sent events, each of them all
/// there is to tell.
#[derive(Clone, Debug)]
pub struct Feed {
    /// The labels of the Pods.
    pub selector: &'static str,
    /// The port that they listen on.
    pub port: u16,
    /// The path of the call.
    pub path: &'static str,
    /// What the call bears.
    pub token: Option<Secret>,
    /// What a Pod that is not heard at the moment has told.
    pub silence: Silence,
}

/// What it means that a Pod is not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Nothing: what it told last stands until it is gone.
    Nothing,
    /// That it has nothing to tell.
    Forgotten,
}

/// A Pod that can be listened to.
#[derive(Debug)]
pub struct Teller<T> {
    /// The node that it is on.
    pub node: NodeName,
    /// Its base URL.
    pub base: String,
    /// What it told last.
    pub told: Option<Arc<T>>,
}

/// The Pods of a feed, by name.
pub type Tellers<T> = BTreeMap<String, Teller<T>>;

/// The Pods of a [`Feed`], each listened to from when it has an address until it is gone.
pub struct Feeds<T> {
    tellers: watch::Receiver<Arc<Tellers<T>>>,
    _follower: AbortOnDropHandle<()>,
}

/// Where a Pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    node: NodeName,
    base: String,
}

impl<T: Send + Sync + 'static> Feeds<T> {
    /// Follows the Pods of a namespace, of whose events `read` makes something of the data; what it cannot read is passed
    /// over. To be called within a tokio runtime.
    pub fn follow(client: Client, namespace: &str, feed: Feed, read: fn(&[u8]) -> Option<T>) -> Self {
        let pods: Api<Pod> = Api::namespaced(client, namespace);
        let events = events(pods, Config::default().labels(feed.selector));
        let (tell, tellers) = watch::channel(Arc::default());
        let listener = Arc::new(Listener { http: listen::client(), feed, read, tell });
        let follower = tokio::spawn(listener.follow(events));
        Self { tellers, _follower: AbortOnDropHandle::new(follower) }
    }

    /// The Pods and what they told, from now on.
    pub fn tellers(&self) -> watch::Receiver<Arc<Tellers<T>>> {
        self.tellers.clone()
    }
}

impl<T> Clone for Teller<T> {
    fn clone(&self) -> Self {
        Self { node: self.node.clone(), base: self.base.clone(), told: self.told.clone() }
    }
}

struct Listener<T> {
    http: Http,
    feed: Feed,
    read: fn(&[u8]) -> Option<T>,
    tell: watch::Sender<Arc<Tellers<T>>>,
}

impl<T: Send + Sync + 'static> Listener<T> {
    async fn follow(self: Arc<Self>, mut events: crate::mirror::Events<Pod>) {
        let port = self.feed.port;
        let mut pods: Mirror<Pod, String, (NodeName, String)> =
            Mirror::new(Reading { key: |pod| pod.metadata.name.clone(), value: address });
        let mut listening: BTreeMap<String, (Place, AbortOnDropHandle<()>)> = BTreeMap::new();
        while let Some(events) = events.next().await {
            let mut news = false;
            for event in events {
                match event {
                    Ok(event) => news |= pods.take(event),
                    Err(error) => {
                        let (error, selector) = (chain(&error), self.feed.selector);
                        tracing::warn!(
                            error,
                            selector,
                            "Pods cannot be watched now; what was last heard of them stands"
                        );
                    }
                }
            }
            if news && pods.is_complete() {
                let there = pods.entries().iter().take(MOST_PODS);
                let there = there.map(|(name, address)| {
                    let (node, host) = (address.0.clone(), &address.1);
                    (name.clone(), Place { node, base: format!("http://{host}:{port}") })
                });
                self.listen_to(there.collect(), &mut listening);
            }
        }
    }

    /// Listens to these Pods and to no others. One that has another address is another Pod.
    fn listen_to(
        self: &Arc<Self>,
        there: BTreeMap<String, Place>,
        listening: &mut BTreeMap<String, (Place, AbortOnDropHandle<()>)>,
    ) {
        listening.retain(|name, (place, _)| there.get(name) == Some(place));
        self.tell.send_modify(|tellers| {
            let tellers = Arc::make_mut(tellers);
            tellers.retain(|name, _| listening.contains_key(name));
            for (name, place) in &there {
                let Place { node, base } = place.clone();
                tellers.entry(name.clone()).or_insert(Teller { node, base, told: None });
            }
        });
        for (name, place) in there {
            listening.entry(name.clone()).or_insert_with(|| {
                let (listener, url) = (Arc::clone(self), format!("{}{}", place.base, self.feed.path));
                let hearing = tokio::spawn(async move { listener.listen(&name, &url).await });
                (place, AbortOnDropHandle::new(hearing))
            });
        }
    }

    /// Hears a Pod, again and again.
    async fn listen(&self, name: &str, url: &str) {
        let mut pause = PAUSE;
        loop {
            let mut is_heard = false;
            let heard = hear(&self.http, url, self.feed.token.as_ref(), |data| {
                is_heard = true;
                if let Some(told) = (self.read)(data) {
                    self.put(name, Some(told));
                }
            });
            match heard.await {
                Ok(()) => tracing::debug!(pod = name, "a Pod has ended what it told"),
                Err(error) => tracing::debug!(pod = name, error = chain(&error), "a Pod is not heard at the moment"),
            }
            if self.feed.silence == Silence::Forgotten {
                self.put(name, None);
            }
            pause = if is_heard { PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            sleep(pause).await;
        }
    }

    fn put(&self, name: &str, told: Option<T>) {
        self.tell.send_if_modified(|tellers| {
            let Some(before) = tellers.get(name) else { return false };
            if told.is_none() && before.told.is_none() {
                return false;
            }
            if let Some(teller) = Arc::make_mut(tellers).get_mut(name) {
                teller.told = told.map(Arc::new);
            }
            true
        });
    }
}

/// The node and the address of a Pod that runs.
fn address(pod: &Pod) -> Option<(NodeName, String)> {
    let status = pod.status.as_ref()?;
    if matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
        return None;
    }
    let node = NodeName(pod.spec.as_ref()?.node_name.clone()?);
    let address = status.pod_ip.as_deref()?;
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    Some((node, host))
}

#[cfg(test)]
mod tests;
