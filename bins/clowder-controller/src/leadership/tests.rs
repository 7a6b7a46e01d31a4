use super::*;
use clowder_core::BoxError;
use kube::client::{Body, ClientBuilder};
use serde_json::{Value, json};
use std::sync::Mutex;
use tower::service_fn;

/// An API server that has one Lease.
#[derive(Clone)]
struct Server {
    lease: Arc<Mutex<Value>>,
    is_there: Arc<watch::Sender<bool>>,
}

impl Server {
    fn new() -> Self {
        let lease = json!({ "metadata": { "name": LEASE }, "spec": {} });
        Self { lease: Arc::new(Mutex::new(lease)), is_there: Arc::new(watch::channel(true).0) }
    }

    fn client(self, noted: &NoteRenewals) -> Client {
        let service = service_fn(move |request: Request<Body>| {
            let server = self.clone();
            async move { server.answer(request).await }
        });
        Client::new(noted.layer(service), "n")
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        if !*self.is_there.borrow() {
            return Err("it is away".into());
        }
        let patches = request.method() == Method::PATCH;
        let body = request.into_body().collect_bytes().await?;
        let mut lease = self.lease.lock().unwrap();
        if patches {
            let patch: Value = serde_json::from_slice(&body)?;
            for (field, value) in patch["spec"].as_object().unwrap() {
                lease["spec"][field] = value.clone();
            }
        }
        Ok(Response::new(Body::from(serde_json::to_vec(&*lease)?)))
    }

    /// Another controller takes the Lease.
    fn take_over(&self) {
        self.lease.lock().unwrap()["spec"]["holderIdentity"] = "another".into();
    }

    fn is_free(&self) -> bool {
        self.lease.lock().unwrap()["spec"]["holderIdentity"].is_null()
    }
}

/// Says whether it is there.
struct Leads(watch::Sender<bool>);

impl Drop for Leads {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

/// A controller of a server, and whether it leads.
async fn controller(server: &Server) -> (Arc<Leadership>, watch::Receiver<bool>) {
    let client = |noted| Ok(server.clone().client(&noted));
    let leadership = Arc::new(Leadership::new(client, "n", Some("this")).await.unwrap());
    let (tell, leads) = watch::channel(false);
    let following = Arc::clone(&leadership);
    tokio::spawn(async move {
        let lead = || {
            let leads = Leads(tell.clone());
            async move {
                leads.0.send_replace(true);
                std::future::pending().await
            }
        };
        following.follow(lead).await
    });
    (leadership, leads)
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_renew_stops_and_leads_again_when_it_can() {
    let server = Server::new();
    let (_leadership, mut leads) = controller(&server).await;
    leads.wait_for(|leads| *leads).await.unwrap();
    server.is_there.send_replace(false);
    let stopped = tokio::time::timeout(TERM + PAUSE, leads.wait_for(|leads| !*leads)).await;
    stopped.expect("it stops with its term").unwrap();
    sleep(10 * TERM).await;
    assert!(!*leads.borrow_and_update(), "it waits for as long as the API server is away");
    server.is_there.send_replace(true);
    leads.wait_for(|leads| *leads).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_renews_leads_on() {
    let server = Server::new();
    let (_leadership, mut leads) = controller(&server).await;
    leads.wait_for(|leads| *leads).await.unwrap();
    tokio::time::timeout(20 * TERM, leads.wait_for(|leads| !*leads)).await.expect_err("it renews");
}

#[tokio::test(start_paused = true)]
async fn one_whose_lease_another_took_stops() {
    let server = Server::new();
    let (_leadership, mut leads) = controller(&server).await;
    leads.wait_for(|leads| *leads).await.unwrap();
    server.take_over();
    leads.wait_for(|leads| !*leads).await.unwrap();
    assert!(!server.is_free());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up_on() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Config::new(format!("http://{}", silent.local_addr().unwrap()).parse().unwrap());
    let client =
        |noted: NoteRenewals| Ok(ClientBuilder::try_from(Leadership::config(&config))?.with_layer(&noted).build());
    let answer = tokio::time::timeout(TERM, Leadership::new(client, "n", Some("this"))).await;
    assert!(answer.expect("a call ends before the term does").is_err());
}
