//! The server with the bundled model, over real connections.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use clowder_core::engine::Engine;
use clowder_runtime::engine::LlamaEngine;
use clowder_runtime::server::{Server, ServerOptions};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

struct Running {
    address: SocketAddr,
    engine: Arc<LlamaEngine>,
}

async fn start(slots: u32) -> Running {
    serve(common::engine(slots)).await
}

async fn serve(engine: Arc<LlamaEngine>) -> Running {
    let server = Server::new(ServerOptions::new("kitten".parse().unwrap()));
    server.ready(Arc::clone(&engine) as Arc<dyn Engine>, engine.adds_bos());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, server.router()).into_future());
    Running { address, engine }
}

impl Running {
    async fn open(&self, path: &str, body: &Value) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let body = body.to_string();
        let head = format!("POST {path} HTTP/1.0\r\nhost: worker\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    async fn post_text(&self, path: &str, body: Value) -> String {
        let mut answer = String::new();
        self.open(path, &body).await.read_to_string(&mut answer).await.unwrap();
        answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let text = self.post_text(path, body).await;
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
    }
}

fn chat(question: &str, more: &Value) -> Value {
    let mut request = json!({
        "model": "kitten", "messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 8,
        "ignore_eos": true,
    });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

#[tokio::test]
async fn chat_streamed_and_not_say_the_same() {
    let running = start(2).await;
    let whole = running.post("/v1/chat/completions", chat("Hello", &json!({}))).await;
    let content = whole["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(
        (&whole["choices"][0]["finish_reason"], &whole["usage"]["completion_tokens"]),
        (&json!("length"), &json!(8))
    );
    assert!(whole["timings"]["predicted_ms"].as_f64().unwrap() > 0.0);

    let streamed = running.post_text("/v1/chat/completions", chat("Hello", &json!({"stream": true}))).await;
    assert!(streamed.ends_with("data: [DONE]\n\n"), "{streamed}");
    let deltas: String = streamed
        .split_terminator("\n\n")
        .filter_map(|event| serde_json::from_str::<Value>(event.strip_prefix("data: ")?).ok())
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(deltas.chars().next(), content.chars().next());

    let again = running.post("/v1/chat/completions", chat("Hello", &json!({}))).await;
    let usage = &again["usage"];
    let cached = usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
    assert_eq!(cached, usage["prompt_tokens"].as_u64().unwrap() - 1);
    assert_eq!(again["timings"]["cache_n"].as_u64().unwrap(), cached);
}

#[tokio::test]
async fn seeds_stops_and_probabilities() {
    let running = start(1).await;
    let seeded = |seed: u32| {
        running.post("/v1/chat/completions", chat("Hi", &json!({"temperature": 1.5, "seed": seed, "max_tokens": 16})))
    };
    let text = |answer: &Value| answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    // The first run fills the KV cache, so that the two compared have the same batches.
    seeded(1).await;
    assert_eq!(text(&seeded(7).await), text(&seeded(7).await));

    let answer = running.post("/v1/chat/completions", chat("Hi", &json!({"logprobs": true, "top_logprobs": 2}))).await;
    let tokens = answer["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!((tokens.len(), tokens[0]["top_logprobs"].as_array().unwrap().len()), (8, 2));

    let whole = text(&answer);
    if let Some(stop) = whole.chars().nth(2) {
        let stopped = running.post("/v1/chat/completions", chat("Hi", &json!({"stop": [stop.to_string()]}))).await;
        assert!(!text(&stopped).contains(stop));
        assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    }
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_slot() {
    // So many tokens that the worker cannot be through before it notices.
    let running = serve(common::engine_of(1, 32_000)).await;
    let request = chat("Hello", &json!({"stream": true, "max_tokens": 30_000}));
    let mut leaving = running.open("/v1/chat/completions", &request).await;
    leaving.read_u8().await.unwrap();
    assert_eq!(running.engine.load().active, 1);
    drop(leaving);
    let answer = running.post("/v1/chat/completions", chat("Hi", &json!({"max_tokens": 2}))).await;
    assert_eq!(answer["usage"]["completion_tokens"], 2);
    assert_eq!(running.engine.load().cancelled, 1);
}

#[tokio::test]
async fn a_prompt_too_long_is_said_so() {
    let running = start(1).await;
    let answer = running.post("/v1/chat/completions", chat(&"a b ".repeat(2000), &json!({}))).await;
    assert_eq!(answer["error"]["code"], "context_length_exceeded");
    let text = running.post_text("/metrics", json!({})).await;
    assert!(text.contains("method_not_allowed"), "{text}");
}
