//! The part of kubelet's own API that gives the logs of containers.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, LazyLock};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

/// What the names of Pods begin with whose worker has not been started yet.
pub(crate) const WAITS_TO_START: &str = "waits";

/// What all containers have written.
static LINES: LazyLock<watch::Sender<Vec<String>>> =
    LazyLock::new(|| watch::Sender::new(["one", "two", "three"].map(str::to_owned).into()));

/// Has all containers write a line.
pub(crate) fn write_line(line: &str) {
    LINES.send_modify(|lines| lines.push(line.to_owned()));
}

/// Serves for as long as the process runs, under a certificate of the cluster whose keys are in `pki`; returns the port.
pub(super) fn serve(pki: &Path) -> u16 {
    let tls = Arc::new(certificate(pki));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a listener for tokio");
    let port = listener.local_addr().expect("an address").port();
    // Each test has a runtime of its own; this outlasts them.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(accept(listener, TlsAcceptor::from(tls)));
    });
    port
}

fn certificate(pki: &Path) -> ServerConfig {
    let folder = std::env::temp_dir().join(format!("clowder-test-kubelet-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for a certificate");
    let script = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=kubelet \
                  -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
                  -CA \"$1/ca.crt\" -CAkey \"$1/ca.key\" -keyout kubelet.key -out kubelet.crt";
    let made = Command::new("bash").args(["-c", script, "bash"]).arg(pki).current_dir(&folder).output();
    let made = made.expect("openssl is there");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let certificate = CertificateDer::from_pem_file(folder.join("kubelet.crt")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(folder.join("kubelet.key")).expect("a key");
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
    ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).expect("a TLS server")
}

async fn accept(listener: std::net::TcpListener, tls: TlsAcceptor) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    while let Ok((connection, _)) = listener.accept().await {
        let tls = tls.clone();
        tokio::spawn(async move {
            if let Ok(connection) = tls.accept(connection).await {
                let _ = answer(connection).await;
            }
        });
    }
}

/// Answers `GET /containerLogs/NAMESPACE/POD/CONTAINER?tailLines=N&follow=true`.
async fn answer(connection: TlsStream<TcpStream>) -> std::io::Result<()> {
    let mut connection = BufReader::new(connection);
    let mut request = String::new();
    connection.read_line(&mut request).await?;
    let mut header = String::new();
    while connection.read_line(&mut header).await? > 2 {
        header.clear();
    }
    let target = request.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parts: Vec<&str> = path.split('/').collect();
    let asked = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let ["", "containerLogs", _, pod, container] = parts[..] else {
        return connection.write_all(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n").await;
    };
    if pod.starts_with(WAITS_TO_START) && container == "worker" {
        let said = format!("container \"worker\" in pod \"{pod}\" is waiting to start: PodInitializing");
        let head = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", said.len());
        return connection.write_all([head, said].concat().as_bytes()).await;
    }
    connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n").await?;
    let mut lines = LINES.subscribe();
    let tail = asked("tailLines").and_then(|lines| lines.parse().ok()).unwrap_or(usize::MAX);
    let mut written = lines.borrow().len().saturating_sub(tail);
    loop {
        let new: String = lines.borrow_and_update()[written..].iter().map(|line| format!("{line}\n")).collect();
        written += new.lines().count();
        connection.write_all(new.as_bytes()).await?;
        connection.flush().await?;
        if asked("follow") != Some("true") || lines.changed().await.is_err() {
            return connection.shutdown().await;
        }
    }
}
