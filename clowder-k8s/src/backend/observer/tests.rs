use super::*;
use clowder_core::testing::eventually;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use serde_json::json;

type Sent<R> = UnboundedSender<Vec<watcher::Result<Event<R>>>>;

fn observer() -> (Observer, Sent<Pod>, Sent<Node>) {
    let ((send_pods, pods), (send_nodes, nodes)) = (unbounded(), unbounded());
    (Observer::of(pods.boxed(), nodes.boxed()), send_pods, send_nodes)
}

fn pod(name: &str, phase: &str) -> Pod {
    let note = json!({ "model": "m", "revision": 1, "node": "n", "memory": 1, "slots": 1 }).to_string();
    let metadata = json!({ "name": name, "annotations": { crate::names::WORKER_ANNOTATION: note } });
    serde_json::from_value(json!({ "metadata": metadata, "status": { "phase": phase } })).unwrap()
}

fn listed<R>(resources: impl IntoIterator<Item = R>) -> Vec<watcher::Result<Event<R>>> {
    let applied = resources.into_iter().map(|resource| Ok(Event::InitApply(resource)));
    std::iter::once(Ok(Event::Init)).chain(applied).chain([Ok(Event::InitDone)]).collect()
}

fn node() -> Node {
    serde_json::from_value(json!({ "metadata": { "name": "n" } })).unwrap()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_before_all_has_been_heard() {
    let (observer, pods, _nodes) = observer();
    pods.unbounded_send(listed([pod("m-1-0", "Pending")])).unwrap();
    let error = observer.inventory().await.unwrap_err();
    assert!(chain(&error).contains("no answer from the API server within 10s"), "{}", chain(&error));
}

#[tokio::test(start_paused = true)]
async fn a_first_look_that_fails_says_why() {
    let (observer, _pods, nodes) = observer();
    nodes.unbounded_send(vec![Err(watcher::Error::NoResourceVersion)]).unwrap();
    let error = observer.inventory().await.unwrap_err();
    assert!(chain(&error).contains("resourceVersion"), "{}", chain(&error));
}

#[tokio::test]
async fn entries_are_shared_and_only_news_is_published() {
    let (observer, pods, nodes) = observer();
    let mut watched = observer.watch();
    pods.unbounded_send(listed([pod("m-1-0", "Pending"), pod("m-1-1", "Pending")])).unwrap();
    nodes.unbounded_send(listed([node()])).unwrap();
    let first = watched.next().await.unwrap();
    assert_eq!((first.workers.len(), first.nodes.len()), (2, 1));
    pods.unbounded_send(vec![Ok(Event::Apply(pod("m-1-0", "Pending")))]).unwrap();
    pods.unbounded_send(vec![Ok(Event::Apply(pod("m-1-0", "Failed")))]).unwrap();
    let second = watched.next().await.unwrap();
    let [gone, same]: [WorkerId; 2] = ["m-1-0", "m-1-1"].map(|id| id.parse().unwrap());
    assert_eq!(second.workers[&gone].state, clowder_core::WorkerState::Stopped, "what is the same woke nobody");
    assert!(Arc::ptr_eq(&first.workers[&same], &second.workers[&same]));
}

#[tokio::test]
async fn the_last_state_stands_while_the_server_is_away() {
    let (observer, pods, nodes) = observer();
    pods.unbounded_send(listed([pod("m-1-0", "Pending")])).unwrap();
    nodes.unbounded_send(listed([node()])).unwrap();
    let before = observer.inventory().await.unwrap();
    pods.unbounded_send(vec![Err(watcher::Error::NoResourceVersion)]).unwrap();
    nodes.unbounded_send(vec![Err(watcher::Error::NoResourceVersion)]).unwrap();
    let mut trouble = observer.trouble.clone();
    trouble.wait_for(Option::is_some).await.unwrap();
    assert_eq!(observer.inventory().await.unwrap(), before);
    pods.unbounded_send(vec![Ok(Event::Init), Ok(Event::InitDone)]).unwrap();
    eventually(observer.watch(), "the state after its return", |inventory| inventory.workers.is_empty()).await;
}

#[tokio::test]
async fn the_watch_ends_with_the_observer() {
    let (observer, _pods, _nodes) = observer();
    let mut watched = observer.watch();
    drop(observer);
    assert!(watched.next().await.is_none());
}
