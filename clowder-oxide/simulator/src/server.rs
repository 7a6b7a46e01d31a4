//! Connections: HTTP/1.1, plain or in TLS, that can be cut in the middle of a call.

use crate::description::MAX_BODY;
use crate::desk::{Desk, Outcome};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// The most connections at a time; more wait.
const MAX_CONNECTIONS: usize = 256;

/// The connection is cut here.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut")]
struct Cut;

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, desk: Arc<Desk>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                // Who is not let in at all sees a connection that ends at once.
                if let Ok((stream, _)) = accepted && !desk.is_stopped() {
                    connections.spawn(connection(stream, tls.clone(), desk.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, desk: Arc<Desk>) {
    // Answers are small, and tests wait for them.
    let _ = stream.set_nodelay(true);
    match tls {
        None => talk(stream, desk).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => talk(stream, desk).await,
            Err(error) => tracing::debug!(%error, "a client does not take the certificate"),
        },
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, desk: Arc<Desk>) {
    let service = service_fn(|request| answer(request, desk.clone()));
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn answer(request: Request<Incoming>, desk: Arc<Desk>) -> Result<Response<Full<Bytes>>, Cut> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return Ok(response);
    };
    match desk.call(&parts, &body.to_bytes()) {
        Outcome::Cut => Err(Cut),
        Outcome::Answered { answer, request_id, delay } => {
            if delay > Duration::ZERO {
                tokio::time::sleep(delay).await;
            }
            let mut response = Response::new(Full::default());
            *response.status_mut() = answer.status;
            let headers = response.headers_mut();
            if let Ok(id) = HeaderValue::from_str(&request_id.to_string()) {
                headers.insert("x-request-id", id);
            }
            if let Some(retry_after) = answer.retry_after {
                headers.insert(header::RETRY_AFTER, retry_after.as_secs().into());
            }
            if let Some(body) = answer.body {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                *response.body_mut() = Full::from(body.to_string());
            }
            Ok(response)
        }
    }
}
