//! A worker's HTTP server, byte by byte, so that it can fail where a real one does.

use clowder_core::testing::PATIENCE;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// One step of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Status, content type and further header lines.
    Head(u16, &'static str, &'static str),
    Chunk(String),
    /// Waits to be let on; a client that leaves meanwhile is noted.
    Gate(Arc<Notify>),
    /// The same chunk again and again, until the client has left.
    Flood(String),
    /// The process dies.
    Reset,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: String,
}

type Script = dyn Fn(usize) -> Vec<Step> + Send + Sync;

pub(crate) struct FakeWorker {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    requests: watch::Receiver<usize>,
    left: watch::Receiver<usize>,
    accepting: JoinHandle<()>,
}

/// A whole answer.
pub(crate) fn json(status: u16, body: &str) -> Vec<Step> {
    vec![Step::Head(status, "application/json", ""), Step::Chunk(body.to_owned())]
}

/// The answer of a worker to a chat.
pub(crate) fn chat_answer(content: &str) -> Vec<Step> {
    json(200, &format!(r#"{{"choices":[{{"message":{{"role":"assistant","content":"{content}"}}}}]}}"#))
}

/// The beginning of a stream: its head and these events.
pub(crate) fn sse(events: &[&str]) -> Vec<Step> {
    let mut steps = vec![Step::Head(200, "text/event-stream", "cache-control: no-cache\r\n")];
    steps.extend(events.iter().map(|event| Step::Chunk(format!("data: {event}\n\n"))));
    steps
}

impl FakeWorker {
    /// One that answers its `n`th request, counted from 0, by the steps given for it.
    pub(crate) async fn new(script: impl Fn(usize) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (count, requests) = watch::channel(0);
        let (leaving, left) = watch::channel(0);
        let script: Arc<Script> = Arc::new(script);
        let log = seen.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, count, leaving, script) = (log.clone(), count.clone(), leaving.clone(), script.clone());
                tokio::spawn(serve(stream, log, count, leaving, script));
            }
        });
        Self { url, seen, requests, left, accepting }
    }

    /// One that always answers alike.
    pub(crate) async fn answering(steps: Vec<Step>) -> Self {
        Self::new(move |_| steps.clone()).await
    }

    /// An endpoint where nobody listens.
    pub(crate) async fn refusing() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until so many requests have come.
    pub(crate) async fn requests(&self, wanted: usize) {
        let mut requests = self.requests.clone();
        timeout(PATIENCE, requests.wait_for(|count| *count >= wanted)).await.expect("requests").unwrap();
    }

    /// Waits until so many clients left at a gate or in a flood.
    pub(crate) async fn left(&self, wanted: usize) {
        let mut left = self.left.clone();
        timeout(PATIENCE, left.wait_for(|count| *count >= wanted)).await.expect("clients that leave").unwrap();
    }
}

impl Drop for FakeWorker {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    log: Arc<Mutex<Vec<Seen>>>,
    count: watch::Sender<usize>,
    leaving: watch::Sender<usize>,
    script: Arc<Script>,
) {
    let Some(request) = read_request(&mut stream).await else { return };
    let number = {
        let mut log = log.lock().unwrap();
        log.push(request);
        log.len() - 1
    };
    count.send_modify(|count| *count += 1);
    for step in script(number) {
        match step {
            Step::Head(status, kind, more) => {
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{more}transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).await.ok();
            }
            Step::Chunk(text) => {
                let chunk = format!("{:x}\r\n{text}\r\n", text.len());
                stream.write_all(chunk.as_bytes()).await.ok();
            }
            Step::Gate(gate) => {
                let mut byte = [0];
                tokio::select! {
                    () = gate.notified() => {}
                    _ = stream.read(&mut byte) => {
                        leaving.send_modify(|left| *left += 1);
                        return;
                    }
                }
            }
            Step::Flood(text) => {
                let chunk = format!("{:x}\r\n{text}\r\n", text.len());
                while stream.write_all(chunk.as_bytes()).await.is_ok() {}
                leaving.send_modify(|left| *left += 1);
                return;
            }
            Step::Reset => return,
        }
    }
    stream.write_all(b"0\r\n\r\n").await.ok();
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        if body.len() >= length.parse().unwrap() {
            return Some(Seen { head, body: body.to_owned() });
        }
    }
}
