//! Counts the calls of the API server, around the client that makes them.

use super::Metrics;
use futures::future::BoxFuture;
use http::{Method, Request, Response, Uri};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// A kind of calls. Both labels have few values whatever is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Call {
    verb: &'static str,
    /// The status of the answer, or `none` where there was no answer.
    code: String,
}

/// A layer of a client's stack that counts each call when it is answered. A watch counts when it begins.
#[derive(Clone)]
pub(crate) struct CountCalls(Family<Call, Counter>);

impl CountCalls {
    /// One that counts for these metrics.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self(metrics.calls.clone())
    }
}

impl<S> Layer<S> for CountCalls {
    type Service = Counted<S>;

    fn layer(&self, service: S) -> Counted<S> {
        Counted { service, calls: self.0.clone() }
    }
}

/// A client whose calls are counted.
#[derive(Clone)]
pub(crate) struct Counted<S> {
    service: S,
    calls: Family<Call, Counter>,
}

impl<S, B, A> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<A>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let verb = verb(request.method(), request.uri());
        let (calls, answer) = (self.calls.clone(), self.service.call(request));
        Box::pin(async move {
            let answer = answer.await;
            let code =
                answer.as_ref().map_or_else(|_| "none".to_owned(), |answer| answer.status().as_u16().to_string());
            calls.get_or_create(&Call { verb, code }).inc();
            answer
        })
    }
}

/// What Kubernetes calls it, as in its roles.
fn verb(method: &Method, uri: &Uri) -> &'static str {
    let watches =
        uri.query().is_some_and(|query| query.split('&').any(|part| matches!(part, "watch=true" | "watch=1")));
    match *method {
        Method::GET if watches => "watch",
        Method::GET if is_collection(uri.path()) => "list",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}

/// `/api/V/…` or `/apis/G/V/…`, with `namespaces/NAME/` or without, then a kind and nothing more.
fn is_collection(path: &str) -> bool {
    let mut parts = path.trim_matches('/').split('/');
    let version = match parts.next() {
        Some("api") => parts.next(),
        Some("apis") => parts.next().and(parts.next()),
        _ => None,
    };
    let rest: Vec<&str> = parts.collect();
    let rest = match rest.as_slice() {
        ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
        rest => rest,
    };
    version.is_some() && rest.len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;
    use tower::{ServiceExt as _, service_fn};

    #[test]
    fn verbs_are_those_of_roles() {
        let verb = |method: Method, uri: &str| verb(&method, &uri.parse().unwrap());
        for (method, uri, expected) in [
            (Method::GET, "/api/v1/namespaces/n/pods?labelSelector=a&watch=true", "watch"),
            (Method::GET, "/api/v1/namespaces/n/pods?limit=500", "list"),
            (Method::GET, "/api/v1/nodes", "list"),
            (Method::GET, "/api/v1/namespaces", "list"),
            (Method::GET, "/api/v1/namespaces/n", "get"),
            (Method::GET, "/api/v1/namespaces/n/pods/p", "get"),
            (Method::GET, "/api/v1/namespaces/n/pods/p/log", "get"),
            (Method::GET, "/apis/clowder.dev/v1alpha1/namespaces/n/models", "list"),
            (Method::GET, "/apis/coordination.k8s.io/v1/namespaces/n/leases/l", "get"),
            (Method::GET, "/version", "get"),
            (Method::POST, "/apis/events.k8s.io/v1/namespaces/n/events", "create"),
            (Method::PATCH, "/apis/clowder.dev/v1alpha1/namespaces/n/models/m/status", "patch"),
            (Method::DELETE, "/api/v1/namespaces/n/pods/p", "delete"),
        ] {
            assert_eq!(verb(method, uri), expected, "{uri}");
        }
    }

    #[tokio::test]
    async fn calls_are_counted_by_what_became_of_them() {
        let metrics = Metrics::default();
        let answer = service_fn(async |request: Request<()>| match request.uri().path() {
            "/api/v1/nodes" => Ok(Response::new(())),
            _ => Err("no answer"),
        });
        let client = CountCalls::new(&metrics).layer(answer);
        for path in ["/api/v1/nodes", "/api/v1/nodes", "/api/v1/pods"] {
            let _ = client.clone().oneshot(Request::get(path).body(()).unwrap()).await;
        }
        let mut registry = Registry::with_prefix("clowder_controller");
        metrics.register(&mut registry);
        let mut page = String::new();
        text::encode(&mut page, &registry).unwrap();
        for line in [
            "clowder_controller_api_requests_total{verb=\"list\",code=\"200\"} 2\n",
            "clowder_controller_api_requests_total{verb=\"list\",code=\"none\"} 1\n",
            "clowder_controller_rounds_total 0\n",
        ] {
            assert!(page.contains(line), "{page}");
        }
    }
}
