use super::*;
use clowder_core::testing::{eventually, updates};
use futures::stream;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A Pod of this machine, on node `n`.
fn pod(name: &str, change: impl FnOnce(&mut Value)) -> Pod {
    let mut pod = json!({
        "metadata": { "name": name },
        "spec": { "nodeName": "n", "containers": [] },
        "status": { "podIP": "127.0.0.1", "phase": "Running" },
    });
    change(&mut pod);
    serde_json::from_value(pod).unwrap()
}

fn listener(port: u16, silence: Silence) -> (Arc<Listener<String>>, watch::Receiver<Arc<Tellers<String>>>) {
    let token = Some(Secret::new("t"));
    let feed = Feed { selector: "app=test", port, path: "/events", token, silence };
    let (tell, tellers) = watch::channel(Arc::default());
    let read = |data: &[u8]| String::from_utf8(data.to_vec()).ok();
    (Arc::new(Listener { http: listen::client(), feed, read, tell }), tellers)
}

/// Answers each call with what is sent, and ends the answer at an empty text.
async fn server() -> (u16, mpsc::Sender<&'static str>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let (say, mut said) = mpsc::channel::<&'static str>(16);
    tokio::spawn(async move {
        loop {
            let (stream, _) = socket.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                stream.read_line(&mut head).await.unwrap();
            }
            assert!(head.starts_with("GET /events ") && head.contains("authorization: Bearer t\r\n"), "{head}");
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await.unwrap();
            while let Some(text) = said.recv().await.filter(|text| !text.is_empty()) {
                stream.write_all(text.as_bytes()).await.unwrap();
            }
        }
    });
    (port, say)
}

fn told(tellers: &Tellers<String>, pod: &str) -> Option<String> {
    tellers.get(pod)?.told.as_deref().cloned()
}

#[tokio::test]
async fn a_pod_is_heard_from_its_address_to_its_end() {
    let (port, say) = server().await;
    let (pods, events) = mpsc::channel::<Event<Pod>>(16);
    let events = stream::unfold(events, async |mut events| Some((vec![Ok(events.recv().await?)], events)));
    let (listener, tellers) = listener(port, Silence::Nothing);
    let _following = AbortOnDropHandle::new(tokio::spawn(listener.follow(events.boxed())));
    let send = |event| pods.try_send(event).unwrap();
    send(Event::Init);
    send(Event::InitApply(pod("a", |pod| pod["status"] = json!({}))));
    send(Event::InitApply(pod("over", |pod| pod["status"]["phase"] = "Failed".into())));
    send(Event::InitDone);
    send(Event::Apply(pod("a", |_| ())));
    let mut seen = updates(tellers);
    let there = eventually(&mut seen, "the Pod", |tellers| tellers.contains_key("a")).await;
    assert_eq!((there.len(), there["a"].node.as_str()), (1, "n"));
    assert_eq!(there["a"].base, format!("http://127.0.0.1:{port}"));

    say.try_send(": hello\n\nevent: e\ndata: one\n\n").unwrap();
    eventually(&mut seen, "what it says", |tellers| told(tellers, "a").as_deref() == Some(" one")).await;
    say.try_send("").unwrap();
    say.try_send("data:two\n\n").unwrap();
    let again = eventually(&mut seen, "what it says when it is heard again", |tellers| {
        assert!(told(tellers, "a").is_some(), "what it said stands while it is not heard");
        told(tellers, "a").as_deref() == Some("two")
    });
    again.await;
    send(Event::Delete(pod("a", |_| ())));
    eventually(&mut seen, "its end", |tellers| tellers.is_empty()).await;
}

/// A feed's Pod `a` on this machine that has said `one` and ended its answer.
async fn fell_silent(silence: Silence) -> (Speaker, impl futures::Stream<Item = Arc<Tellers<String>>> + Unpin) {
    let (port, say) = server().await;
    let (listener, tellers) = listener(port, silence);
    let mut listening = BTreeMap::new();
    let place = Place { node: "n".into(), base: format!("http://127.0.0.1:{port}") };
    listener.listen_to([("a".to_owned(), place)].into(), &mut listening);
    let mut seen = updates(tellers);
    say.try_send("data:one\n").unwrap();
    eventually(&mut seen, "what it says", |tellers| told(tellers, "a").is_some() && tellers["a"].is_heard).await;
    say.try_send("").unwrap();
    (Speaker { say, _listening: listening }, seen)
}

struct Speaker {
    say: mpsc::Sender<&'static str>,
    _listening: BTreeMap<String, (Place, AbortOnDropHandle<()>)>,
}

#[tokio::test]
async fn what_was_told_may_be_too_old_after_a_while() {
    let (_speaker, mut seen) = fell_silent(Silence::ForgottenAfter(Duration::ZERO)).await;
    eventually(&mut seen, "that it is forgotten", |tellers| told(tellers, "a").is_none()).await;
}

#[tokio::test]
async fn what_was_told_stands_for_that_while() {
    let (speaker, mut seen) = fell_silent(Silence::ForgottenAfter(Duration::from_secs(3600))).await;
    let silent = eventually(&mut seen, "that it is not heard", |tellers| !tellers["a"].is_heard).await;
    assert_eq!(told(&silent, "a").as_deref(), Some("one"));
    speaker.say.try_send("data:two\n").unwrap();
    eventually(&mut seen, "what it says when it is heard again", |tellers| {
        assert!(told(tellers, "a").is_some());
        told(tellers, "a").as_deref() == Some("two") && tellers["a"].is_heard
    })
    .await;
}

#[tokio::test]
async fn a_pod_at_another_address_is_another() {
    let (listener, tellers) = listener(9, Silence::Nothing);
    let mut listening = BTreeMap::new();
    let place = |host: &str| Place { node: "n".into(), base: format!("http://{host}:9") };
    listener.listen_to([("a".to_owned(), place("127.0.0.1"))].into(), &mut listening);
    listener.change("a", |teller| teller.told.replace(Arc::new("one".to_owned())).is_none());
    listener.listen_to([("a".to_owned(), place("127.0.0.1"))].into(), &mut listening);
    assert_eq!(told(&tellers.borrow(), "a").as_deref(), Some("one"));
    listener.listen_to([("a".to_owned(), place("127.0.0.2"))].into(), &mut listening);
    assert_eq!(told(&tellers.borrow(), "a"), None);
    assert_eq!(tellers.borrow()["a"].base, "http://127.0.0.2:9");
}

#[test]
fn addresses_of_both_kinds() {
    let with = |ip: &str| address(&pod("a", |pod| pod["status"]["podIP"] = ip.into())).unwrap().1;
    assert_eq!((with("10.0.0.1").as_str(), with("fd00::1").as_str()), ("10.0.0.1", "[fd00::1]"));
}
