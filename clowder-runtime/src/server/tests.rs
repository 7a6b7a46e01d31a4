use super::*;
use axum::body::Body;
use axum::http::StatusCode;
use clowder_core::testing::ScriptedEngine;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

fn server(answer: &[&str]) -> Server {
    let server = Server::new(ServerOptions::new("m".parse().unwrap()));
    server.ready(Arc::new(ScriptedEngine::new(answer.iter().copied())), false);
    server
}

async fn send(server: &Server, request: Request) -> (StatusCode, String, Option<String>) {
    let response = server.router().oneshot(request).await.unwrap();
    let retry = response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap(), retry)
}

fn post_to(path: &str, body: impl Into<Body>) -> Request {
    Request::post(path).body(body.into()).unwrap()
}

async fn post_json(server: &Server, path: &str, body: Value) -> (StatusCode, Value) {
    let (status, text, _) = send(server, post_to(path, body.to_string())).await;
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}")))
}

fn chat(more: &Value) -> Value {
    let mut request = json!({"messages": [{"role": "user", "content": "Hi"}]});
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

/// The objects of an event stream, `[DONE]` checked and left out.
fn chunks(text: &str) -> Vec<Value> {
    let mut events: Vec<&str> =
        text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap()).collect();
    assert_eq!(events.pop(), Some("[DONE]"));
    events.into_iter().map(|event| serde_json::from_str(event).unwrap()).collect()
}

#[tokio::test]
async fn a_chat_is_answered() {
    let (status, answer) = post_json(&server(&["Hel", "lo"]), "/v1/chat/completions", chat(&json!({"n": 2}))).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "m");
    assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-"));
    let choices = answer["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 2);
    assert_eq!(choices[1]["message"], json!({"role": "assistant", "content": "Hello"}));
    assert_eq!((&choices[1]["finish_reason"], &choices[1]["index"]), (&json!("stop"), &json!(1)));
    assert_eq!(answer["usage"]["completion_tokens"], 4);
    assert_eq!(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
    assert!(answer["timings"]["predicted_per_second"].is_number());
    let guessed = json!({"accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0});
    assert_eq!(answer["usage"]["completion_tokens_details"], guessed);
    assert_eq!(answer["timings"].get("draft_n"), None);
}

#[tokio::test]
async fn a_stream_has_openais_order() {
    let request = chat(&json!({"stream": true, "stream_options": {"include_usage": true}, "max_tokens": 2}));
    let server = server(&["Hel", "lo", "!"]);
    let (status, text, _) = send(&server, post_to("/v1/chat_completions", request.to_string())).await;
    assert_eq!(status, StatusCode::OK);
    let chunks = chunks(&text);
    let deltas: Vec<_> = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
    assert_eq!(deltas[0], &json!({"role": "assistant", "content": ""}));
    assert_eq!((deltas[1], deltas[2]), (&json!({"content": "Hel"}), &json!({"content": "lo"})));
    assert_eq!(deltas[3], &json!({}));
    assert_eq!(chunks[3]["choices"][0]["finish_reason"], "length");
    assert_eq!(chunks[0].get("usage"), Some(&Value::Null));
    assert_eq!((&chunks[4]["choices"], &chunks[4]["usage"]["completion_tokens"]), (&json!([]), &json!(2)));
    assert_eq!(chunks.len(), 5);
    let first = &chunks[0]["id"];
    assert!(chunks.iter().all(|chunk| &chunk["id"] == first && chunk["object"] == "chat.completion.chunk"));
}

#[tokio::test]
async fn tool_calls_are_parsed_streamed_or_not() {
    let tools = json!([{"type": "function", "function": {"name": "add", "parameters": {}}}]);
    let server = server(&["<tool", "_call>{\"name\": \"add\", ", "\"arguments\": {\"a\": 1}}</tool_call>"]);
    let (_, answer) = post_json(&server, "/v1/chat/completions", chat(&json!({"tools": tools}))).await;
    let choice = &answer["choices"][0];
    assert_eq!((&choice["finish_reason"], &choice["message"]["content"]), (&json!("tool_calls"), &Value::Null));
    let function = json!({"name": "add", "arguments": "{\"a\":1}"});
    assert_eq!(choice["message"]["tool_calls"][0]["function"], function);

    let request = chat(&json!({"tools": tools, "stream": true}));
    let (_, text, _) = send(&server, post_to("/v1/chat/completions", request.to_string())).await;
    let chunks = chunks(&text);
    let call = &chunks[1]["choices"][0]["delta"]["tool_calls"][0];
    assert_eq!((&call["index"], &call["type"], &call["function"]), (&json!(0), &json!("function"), &function));
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");

    let (_, without) = post_json(&server, "/v1/chat/completions", chat(&json!({}))).await;
    assert!(without["choices"][0]["message"]["content"].as_str().unwrap().starts_with("<tool_call>"));
}

#[tokio::test]
async fn completions_take_all_forms_of_prompt() {
    let server = server(&["x"]);
    let complete = |body: Value| post_json(&server, "/v1/completions", body);
    let (_, answer) = complete(json!({"prompt": "ab", "echo": true})).await;
    assert_eq!((&answer["object"], &answer["choices"][0]["text"]), (&json!("text_completion"), &json!("abx")));
    let (_, answer) = complete(json!({"prompt": ["a", [98, 99]], "n": 2})).await;
    assert_eq!(answer["choices"].as_array().unwrap().len(), 4);
    assert_eq!(answer["usage"]["prompt_tokens"], 3);
    let (_, answer) = complete(json!({"prompt": [97, 98]})).await;
    assert_eq!(answer["usage"]["prompt_tokens"], 2);
    for wrong in
        [json!({}), json!({"prompt": []}), json!({"prompt": 5}), json!({"prompt": [1, "a"]}), json!({"prompt": [-1]})]
    {
        let (status, error) = complete(wrong.clone()).await;
        assert_eq!((status, &error["error"]["param"]), (StatusCode::BAD_REQUEST, &json!("prompt")), "{wrong}");
    }
    for (unsupported, param) in [
        (json!({"prompt": "a", "suffix": "b"}), "suffix"),
        (json!({"prompt": "a", "best_of": 3}), "best_of"),
        (json!({"prompt": "a", "echo": true, "logprobs": 1}), "echo"),
    ] {
        let (status, error) = complete(unsupported).await;
        assert_eq!((status, &error["error"]["param"]), (StatusCode::BAD_REQUEST, &json!(param)));
        assert_eq!(error["error"]["code"], "unsupported");
    }
    let request = json!({"prompt": "ab", "echo": true, "stream": true}).to_string();
    let (_, text, _) = send(&server, post_to("/v1/completions", request)).await;
    let texts: String =
        chunks(&text).iter().map(|chunk| chunk["choices"][0]["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(texts, "abx");
}

#[tokio::test]
async fn what_is_wrong_is_said_in_openais_shape() {
    let server = server(&["x"]);
    let (status, text, _) = send(&server, post_to("/v1/chat/completions", "{\"messages\": ")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("invalid_request_error") && text.contains("no JSON"), "{text}");
    let (status, error) = post_json(&server, "/v1/chat/completions", chat(&json!({"temperature": "hot"}))).await;
    assert_eq!((status, &error["error"]["param"]), (StatusCode::BAD_REQUEST, &json!("temperature")));
    let (status, error) = post_json(&server, "/v1/chat/completions", chat(&json!({"model": "other"}))).await;
    assert_eq!((status, &error["error"]["code"]), (StatusCode::NOT_FOUND, &json!("model_not_found")));
    let (status, error) = post_json(&server, "/v1/completions", json!({"prompt": "a".repeat(5000)})).await;
    assert_eq!((status, &error["error"]["code"]), (StatusCode::BAD_REQUEST, &json!("context_length_exceeded")));
    let format = chat(&json!({"response_format": {"type": "json_object"}}));
    let (status, error) = post_json(&server, "/v1/chat/completions", format).await;
    assert_eq!((status, &error["error"]["param"]), (StatusCode::BAD_REQUEST, &json!("response_format")));
    let (status, text, _) = send(&server, Request::get("/nowhere").body(Body::empty()).unwrap()).await;
    assert_eq!((status, text.contains("unknown_url")), (StatusCode::NOT_FOUND, true));
    let (status, text, _) = send(&server, Request::get("/v1/completions").body(Body::empty()).unwrap()).await;
    assert_eq!((status, text.contains("method_not_allowed")), (StatusCode::METHOD_NOT_ALLOWED, true));
}

#[tokio::test]
async fn a_gateways_request_is_answered_under_the_name_that_was_asked_for() {
    let server = server(&["x"]);
    let routed = |path: &str, model: &str, body: Value| {
        let request = Request::post(path).header("x-clowder-model", model).body(Body::from(body.to_string()));
        send(&server, request.unwrap())
    };
    let (status, text, _) = routed("/v1/chat/completions", "m", chat(&json!({"model": "also"}))).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &answer["model"]), (StatusCode::OK, &json!("also")));
    let request = json!({"model": "also", "prompt": "ab", "stream": true});
    let (_, text, _) = routed("/v1/completions", "m", request).await;
    assert!(chunks(&text).iter().all(|chunk| chunk["model"] == "also"), "{text}");
    let (status, ..) = routed("/tokenize", "m", json!({"model": "also", "content": "ab"})).await;
    assert_eq!(status, StatusCode::OK);
    let (status, text, _) = routed("/tokenize", "other", json!({"model": "also", "content": "ab"})).await;
    assert_eq!((status, text.contains("model_not_found")), (StatusCode::NOT_FOUND, true));
}

#[tokio::test]
async fn an_adapter_is_asked_for_by_its_name() {
    let server = Server::new(ServerOptions::new("m".parse().unwrap()));
    let adapters = ["pirate", "poet"].map(|name| name.parse().unwrap());
    let engine = Arc::new(ScriptedEngine::new(["x"]).with_adapters(adapters));
    server.ready(Arc::clone(&engine) as Arc<dyn Engine>, false);
    let ask = |model: &str| post_json(&server, "/v1/chat/completions", chat(&json!({"model": model})));
    for name in ["m", "pirate"] {
        let (status, answer) = ask(name).await;
        assert_eq!((status, &answer["model"]), (StatusCode::OK, &json!(name)));
    }
    let asked = engine.asked();
    assert_eq!(asked[0].adapter, None);
    assert_eq!(asked[1].adapter.as_ref().map(ModelName::as_str), Some("pirate"));

    let (status, error) = ask("parrot").await;
    let said = "this worker serves the model 'm' or 'pirate' or 'poet', not 'parrot'";
    assert_eq!((status, &error["error"]["message"]), (StatusCode::NOT_FOUND, &json!(said)));

    let (_, text, _) = send(&server, Request::get("/v1/models").body(Body::empty()).unwrap()).await;
    let listed: Value = serde_json::from_str(&text).unwrap();
    let listed: Vec<_> = listed["data"].as_array().unwrap().iter().map(|it| (&it["id"], &it["parent"])).collect();
    assert_eq!(listed, [(&json!("m"), &Value::Null), (&json!("pirate"), &json!("m")), (&json!("poet"), &json!("m"))]);
}

#[tokio::test]
async fn a_gateways_request_for_an_adapter_keeps_its_name() {
    let server = Server::new(ServerOptions::new("m".parse().unwrap()));
    let engine = Arc::new(ScriptedEngine::new(["x"]).with_adapters(["pirate".parse().unwrap()]));
    server.ready(Arc::clone(&engine) as Arc<dyn Engine>, false);
    let body = json!({"model": "pirate", "prompt": "ab"}).to_string();
    let request = Request::post("/v1/completions").header("x-clowder-model", "m").body(Body::from(body)).unwrap();
    let (status, text, _) = send(&server, request).await;
    assert_eq!((status, text.contains(r#""model":"pirate""#)), (StatusCode::OK, true), "{text}");
    assert!(engine.asked()[0].adapter.is_some());
}

#[tokio::test]
async fn a_text_that_cannot_fit_is_refused_before_it_is_tokenized() {
    let server = server(&["x"]);
    let complete = |prompt: String| post_json(&server, "/v1/completions", json!({"prompt": prompt}));
    // The scripted engine's tokens are bytes; a vocabulary may have one for a whole character.
    for (prompt, said) in [("a".repeat(16385), "at least 4097 tokens"), ("a b ".repeat(4097), "has 16388 tokens")] {
        let (status, error) = complete(prompt).await;
        assert_eq!((status, &error["error"]["code"]), (StatusCode::BAD_REQUEST, &json!("context_length_exceeded")));
        assert!(error["error"]["message"].as_str().unwrap().contains(said), "{error}");
    }
    let request = chat(&json!({"messages": [{"role": "user", "content": "a".repeat(20000)}]}));
    let (_, error) = post_json(&server, "/v1/chat/completions", request).await;
    assert_eq!(error["error"]["code"], "context_length_exceeded");
    let (status, tokens) = post_json(&server, "/tokenize", json!({"content": "a".repeat(20000)})).await;
    assert_eq!((status, tokens["tokens"].as_array().unwrap().len()), (StatusCode::OK, 20000));
}

#[tokio::test]
async fn a_body_too_large_is_refused() {
    let server = Server::new(ServerOptions { body_limit: 10, ..ServerOptions::new("m".parse().unwrap()) });
    server.ready(Arc::new(ScriptedEngine::new(["x"])), false);
    let (status, text, _) = send(&server, post_to("/v1/completions", "x".repeat(11))).await;
    assert_eq!((status, text.contains("larger than 10 bytes")), (StatusCode::PAYLOAD_TOO_LARGE, true));
}

#[tokio::test]
async fn loading_and_draining_are_503() {
    let loading = Server::new(ServerOptions::new("m".parse().unwrap()));
    let health = || Request::get("/health").body(Body::empty()).unwrap();
    let (status, text, retry) = send(&loading, health()).await;
    assert_eq!((status, retry.as_deref()), (StatusCode::SERVICE_UNAVAILABLE, Some("1")));
    assert!(text.contains("the model is loading"), "{text}");
    let (status, _) = post_json(&loading, "/v1/chat/completions", chat(&json!({}))).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);

    let server = server(&["x"]);
    assert_eq!(send(&server, health()).await.1, r#"{"status":"ok"}"#);
    server.drain();
    assert_eq!(send(&server, health()).await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_key_is_asked_for_but_not_by_probes() {
    let key = Some(Secret::new("sesame"));
    let server = Server::new(ServerOptions { api_key: key, ..ServerOptions::new("m".parse().unwrap()) });
    server.ready(Arc::new(ScriptedEngine::new(["x"])), false);
    let get = |path: &str, key: Option<&str>| {
        let request = Request::get(path);
        let request = match key {
            Some(key) => request.header(header::AUTHORIZATION, key),
            None => request,
        };
        request.body(Body::empty()).unwrap()
    };
    assert_eq!(send(&server, get("/v1/models", None)).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&server, get("/v1/models", Some("Bearer wrong"))).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&server, get("/v1/models", Some("bearer sesame"))).await.0, StatusCode::OK);
    assert_eq!(send(&server, get("/health", None)).await.0, StatusCode::OK);
    assert_eq!(send(&server, get("/metrics", None)).await.0, StatusCode::OK);
}

#[tokio::test]
async fn text_and_tokens_go_both_ways() {
    let server = server(&["x"]);
    let (_, tokens) = post_json(&server, "/tokenize", json!({"content": "ab"})).await;
    assert_eq!(tokens, json!({"tokens": [97, 98]}));
    let (_, pieces) = post_json(&server, "/tokenize", json!({"content": "a", "with_pieces": true})).await;
    assert_eq!(pieces, json!({"tokens": [{"id": 97, "piece": "a"}]}));
    let (_, text) = post_json(&server, "/detokenize", tokens).await;
    assert_eq!(text, json!({"content": "ab"}));
    let (status, _) = post_json(&server, "/detokenize", json!({"tokens": [999]})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (_, prompt) = post_json(&server, "/apply-template", chat(&json!({}))).await;
    assert_eq!(prompt["prompt"], "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    let (status, slots, _) = send(&server, Request::get("/slots").body(Body::empty()).unwrap()).await;
    assert_eq!((status, slots.matches("is_processing").count()), (StatusCode::OK, 4));
}
