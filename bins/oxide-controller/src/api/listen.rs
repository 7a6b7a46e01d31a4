//! Where the REST API listens.

use std::io;
use tokio::net::TcpListener;

/// Why it listens nowhere.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("--address {address} is not one: write it as HOST:PORT, or :PORT for all of this machine's addresses")]
    Spelling { address: String },
    #[error("cannot listen on {address}: choose another with --address")]
    Taken { address: String, source: io::Error },
}

/// Listens on `HOST:PORT`, or on all addresses of this machine at `:PORT`.
pub(crate) async fn listen(address: &str) -> Result<TcpListener, ListenError> {
    let Some((host, port)) = address.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()) else {
        return Err(ListenError::Spelling { address: address.to_owned() });
    };
    let taken = |source| ListenError::Taken { address: address.to_owned(), source };
    if !host.is_empty() {
        return TcpListener::bind(address).await.map_err(taken);
    }
    // A machine without IPv6 has its IPv4 addresses alone.
    match TcpListener::bind(format!("[::]:{port}")).await {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind(format!("0.0.0.0:{port}")).await.map_err(taken)
        }
        outcome => outcome.map_err(taken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_are_spelled_as_the_original_takes_them() {
        let here = listen("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert!(here.ip().is_loopback() && here.port() != 0);
        assert!(listen(":0").await.unwrap().local_addr().unwrap().ip().is_unspecified());
        for bad in ["", "8080", ":http", "localhost", ":70000"] {
            assert!(matches!(listen(bad).await, Err(ListenError::Spelling { .. })), "{bad}");
        }
        let held = listen("127.0.0.1:0").await.unwrap();
        let error = listen(&held.local_addr().unwrap().to_string()).await.unwrap_err();
        assert!(error.to_string().contains("--address"), "{error}");
    }
}
