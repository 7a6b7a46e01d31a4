//! A proxy by which a host name leads to a port of this machine, as `HTTPS_PROXY` names one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// It listens until it is dropped.
pub(crate) struct Proxy {
    pub(crate) url: String,
    serving: JoinHandle<()>,
}

impl Proxy {
    /// `CONNECT host:443` leads to the host's port; other hosts are refused.
    pub(crate) async fn start(hosts: BTreeMap<&'static str, SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let hosts = Arc::new(hosts);
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A client that goes away in the middle is its own affair.
                tokio::spawn(tunnel(client, hosts.clone()));
            }
        });
        Self { url, serving }
    }
}

async fn tunnel(client: TcpStream, hosts: Arc<BTreeMap<&'static str, SocketAddr>>) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if client.read_line(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let host = head.strip_prefix("CONNECT ").and_then(|rest| rest.split_once(":443 ")).map(|(host, _)| host);
    let Some(address) = host.and_then(|host| hosts.get(host)) else {
        return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await;
    };
    let mut server = TcpStream::connect(address).await?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
