//! What Pods tell of themselves: each is listened to for as long as it is there.

mod listen;

use crate::mirror::{Mirror, Reading, events};
use clowder_core::{NodeName, Secret, chain, until};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use listen::{Http, hear};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
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
    /// That what it told is too old once it has not been heard for so long: then it has nothing to tell.
    ForgottenAfter(Duration),
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
    /// Whether it is heard at the moment.
    pub is_heard: bool,
}

/// How a feed fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Its Pods.
    pub pods: usize,
    /// Those of them that are heard.
    pub heard: usize,
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

    /// How many Pods there are, and how many of them are heard at the moment.
    pub fn heard(&self) -> Heard {
        let tellers = self.tellers.borrow();
        Heard { pods: tellers.len(), heard: tellers.values().filter(|teller| teller.is_heard).count() }
    }
}

impl<T> Clone for Teller<T> {
    fn clone(&self) -> Self {
        Self { node: self.node.clone(), base: self.base.clone(), told: self.told.clone(), is_heard: self.is_heard }
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
                tellers.entry(name.clone()).or_insert(Teller { node, base, told: None, is_heard: false });
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
        // Since when the Pod, once heard, is not any more.
        let (silent, silence) = watch::channel(None);
        tokio::join!(self.hear(name, url, &silent), self.forget(name, silence));
    }

    async fn hear(&self, name: &str, url: &str, silent: &watch::Sender<Option<Instant>>) {
        let (mut pause, mut trouble) = (PAUSE, None);
        loop {
            let mut is_heard = false;
            let heard = hear(&self.http, url, self.feed.token.as_ref(), |data| {
                is_heard = true;
                silent.send_replace(None);
                if trouble.take().is_some() {
                    tracing::info!(pod = name, selector = self.feed.selector, "a Pod is heard");
                }
                let told = (self.read)(data).map(Arc::new);
                self.change(name, |teller| {
                    let before = std::mem::replace(&mut teller.is_heard, true);
                    let news = told.is_some();
                    teller.told = told.or_else(|| teller.told.take());
                    news || !before
                });
            });
            match heard.await {
                Ok(()) => tracing::debug!(pod = name, "a Pod has ended what it told"),
                Err(error) => {
                    // Each trouble once, and not with each try.
                    let what = error.to_string();
                    if trouble.as_ref() != Some(&what) {
                        let (error, selector) = (chain(&error), self.feed.selector);
                        tracing::warn!(pod = name, selector, error, "a Pod is not heard; it is tried again and again");
                        trouble = Some(what);
                    }
                }
            }
            if is_heard {
                silent.send_replace(Some(Instant::now()));
                self.change(name, |teller| std::mem::replace(&mut teller.is_heard, false));
            }
            pause = if is_heard { PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            sleep(pause).await;
        }
    }

    /// Forgets what a Pod told when it has been silent for too long.
    async fn forget(&self, name: &str, mut silence: watch::Receiver<Option<Instant>>) {
        let Silence::ForgottenAfter(patience) = self.feed.silence else { return };
        loop {
            let since = *silence.borrow_and_update();
            tokio::select! {
                // What has just been heard is not forgotten.
                biased;
                changed = silence.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                () = until(since.map(|since| since + patience)) => {}
            }
            self.change(name, |teller| teller.told.take().is_some());
            if silence.changed().await.is_err() {
                return;
            }
        }
    }

    /// Changes what is known of a Pod, by what says whether that is news.
    fn change(&self, name: &str, change: impl FnOnce(&mut Teller<T>) -> bool) {
        self.tell.send_if_modified(|tellers| {
            // What a reader still has is copied, which is no more than pointers.
            Arc::make_mut(tellers).get_mut(name).is_some_and(change)
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
