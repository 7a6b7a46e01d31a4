use super::*;
use axum::body::{Body, to_bytes};
use clowder_core::testing::InMemoryInfra;
use clowder_oxide::PartStatus;
use http::Request;
use tower::ServiceExt as _;

const TOKEN: &str = "0123456789abcdef";

struct Calls {
    router: Router,
    status: watch::Sender<ClusterStatus>,
    server: watch::Sender<Option<Url>>,
}

impl Calls {
    fn new() -> Self {
        let infra = InMemoryInfra::new([("workers".into(), 0..=5, 1 << 30), ("large".into(), 1..=2, 1 << 40)]);
        let (status, status_now) = watch::channel(ClusterStatus { cluster: "home".to_owned(), ..Default::default() });
        let (server, server_now) = watch::channel(None);
        let api = Api { infra: Arc::new(infra), workers: "workers".into(), status: status_now, server: server_now };
        Self { router: router(api, Secret::new(TOKEN)), status, server }
    }

    async fn send(&self, method: &str, path: &str, authorization: Option<&str>, body: &str) -> (u16, String) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.send(method, path, Some(&format!("Bearer {TOKEN}")), body).await
    }
}

#[tokio::test]
async fn the_number_of_workers_is_told_and_changed_as_by_the_original() {
    let calls = Calls::new();
    assert_eq!(calls.call("GET", "/nodes/workers", "").await, (200, "0".to_owned()));
    let changed = calls.call("POST", "/nodes/workers/modify", "5\n").await;
    assert_eq!(changed, (201, "Worker count changed from 0 to 5".to_owned()));
    let changed = calls.call("POST", "/nodes/workers/modify", "2").await;
    assert_eq!(changed, (201, "Worker count changed from 5 to 2".to_owned()));
    for bad in ["-1", "", "two", "1.5", "99999999999"] {
        let (status, said) = calls.call("POST", "/nodes/workers/modify", bad).await;
        assert_eq!(status, 400, "{bad}: {said}");
        assert!(said.contains("0 or more"), "{said}");
    }
    let (status, said) = calls.call("POST", "/nodes/workers/modify", "6").await;
    assert_eq!((status, said.contains("0 to 5 machines, not 6")), (409, true), "{said}");
    assert_eq!(calls.call("GET", "/nodes/workers", "").await.1, "2");
}

#[tokio::test]
async fn pools_are_told_as_an_infrastructure_has_them() {
    let calls = Calls::new();
    let (status, scaled) = calls.call("PUT", "/api/v1/pools/large", r#"{"machines": 1}"#).await;
    assert_eq!(status, 200, "{scaled}");
    let (_, all) = calls.call("GET", "/api/v1/pools", "").await;
    insta::assert_json_snapshot!(serde_json::from_str::<serde_json::Value>(&all).unwrap());
    for (path, body, status, code) in [
        ("/api/v1/pools/none", r#"{"machines": 1}"#, 404, "unknown_pool"),
        ("/api/v1/pools/large", r#"{"machines": 3}"#, 409, "out_of_range"),
        ("/api/v1/pools/large", r#"{"machines": -1}"#, 400, "invalid_request"),
        ("/api/v1/pools/large", r#"{"machine": 1}"#, 400, "invalid_request"),
        ("/api/v1/pools/large", "", 400, "invalid_request"),
    ] {
        let (found, said) = calls.call("PUT", path, body).await;
        assert_eq!((found, said.contains(code)), (status, true), "{path} {body}: {said}");
    }
}

#[tokio::test]
async fn whoever_bears_no_token_learns_nothing_and_changes_nothing() {
    let calls = Calls::new();
    let wrong = format!("Bearer {}", TOKEN.replace('0', "1"));
    for authorization in [None, Some(wrong.as_str()), Some("Bearer "), Some(TOKEN), Some("Basic dTpw")] {
        for (method, path) in [
            ("GET", "/nodes/workers"),
            ("POST", "/nodes/workers/modify"),
            ("GET", "/api/v1/status"),
            ("GET", "/api/v1/pools"),
            ("PUT", "/api/v1/pools/workers"),
        ] {
            let (status, said) = calls.send(method, path, authorization, "3").await;
            assert_eq!((status, said.contains("unauthorized")), (401, true), "{path}: {said}");
        }
    }
    assert_eq!(calls.call("GET", "/nodes/workers", "").await.1, "0");
    let (status, said) = calls.call("GET", "/nodes", "").await;
    assert_eq!((status, said.contains("unknown_call")), (404, true));
    assert_eq!(calls.call("DELETE", "/nodes/workers", "").await.0, 405);
    assert_eq!(calls.call("POST", "/nodes/workers/modify", &"1".repeat(5 << 10)).await.0, 413);
}

#[tokio::test]
async fn it_is_ready_once_the_cluster_is_up() {
    let calls = Calls::new();
    assert_eq!(calls.send("GET", "/health/live", None, "").await.0, 200);
    assert_eq!(calls.send("GET", "/health/ready", None, "").await.0, 503);
    calls.status.send_modify(|status| status.servers = PartStatus { desired: 3, ready: 1, ..PartStatus::default() });
    calls.server.send_replace(Some("https://203.0.113.7:6443".parse().unwrap()));
    assert_eq!(calls.send("GET", "/health/ready", None, "").await.0, 200);
    let (_, status) = calls.call("GET", "/api/v1/status", "").await;
    insta::assert_snapshot!(status);
}
