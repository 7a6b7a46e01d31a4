//! Listening: on a TCP address or a Unix socket.

use axum::{Extension, Router};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

/// How long calls under way may take after the end was asked for; a fetch that is cut off goes on at the next start.
const GRACE: Duration = Duration::from_secs(10);

/// Tells calls that go on for as long as they are listened to that the server stops.
#[derive(Clone)]
pub(super) struct Stopping(pub(super) CancellationToken);

/// Where to listen: `HOST:PORT`, `:PORT` for all interfaces, or `unix:/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// `HOST:PORT`
    Tcp(String),
    /// A socket in the file system, open to those whom its mode lets in.
    Unix(PathBuf),
}

/// Why there is no listening.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A string that is no [`Address`].
    #[error("{0:?} is no address: write HOST:PORT, :PORT or unix:/PATH")]
    InvalidAddress(String),
    /// Somebody listens there.
    #[error("{0} is in use: stop the process that listens there, or take another address")]
    InUse(Address),
    /// It cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// Where.
        address: Address,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Other machines reach it, and no token keeps them out.
    #[error("other machines reach {0}: set a token, or listen on localhost or a unix: socket")]
    TokenNeeded(Address),
    /// Serving ended by itself.
    #[error("serving {address} failed")]
    Serve {
        /// Where.
        address: Address,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl FromStr for Address {
    type Err = ServeError;

    fn from_str(text: &str) -> Result<Self, ServeError> {
        let invalid = || ServeError::InvalidAddress(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:").or(text.starts_with('/').then_some(text)) {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(invalid()) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        port.parse::<u16>().map_err(|_| invalid())?;
        Ok(Self::Tcp(if host.is_empty() { format!("0.0.0.0:{port}") } else { text.to_owned() }))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An address that is listened on.
#[derive(Debug)]
pub struct Listener {
    address: Address,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Listens. `guarded` says that a token keeps others out; without, only this machine may reach the address.
    ///
    /// # Errors
    /// [`ServeError`]
    pub async fn bind(address: Address, guarded: bool) -> Result<Self, ServeError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ServeError::InUse(address.clone()),
            _ => ServeError::Bind { address: address.clone(), source },
        };
        let socket = match &address {
            Address::Tcp(host) => {
                let addresses: Vec<_> = tokio::net::lookup_host(host).await.map_err(failed)?.collect();
                // Asked before anybody can connect.
                if !guarded && !addresses.iter().all(|address| address.ip().is_loopback()) {
                    return Err(ServeError::TokenNeeded(address));
                }
                Socket::Tcp(TcpListener::bind(addresses.as_slice()).await.map_err(failed)?)
            }
            Address::Unix(path) => {
                if is_stale(path).await {
                    fs::remove_file(path).map_err(failed)?;
                }
                let listener = UnixListener::bind(path).map_err(failed)?;
                fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
                Socket::Unix(listener)
            }
        };
        Ok(Self { address, socket })
    }

    /// Where it listens, the port filled in where 0 was asked for.
    pub fn address(&self) -> Address {
        match &self.socket {
            Socket::Tcp(listener) => match listener.local_addr() {
                Ok(bound) => Address::Tcp(bound.to_string()),
                Err(_) => self.address.clone(),
            },
            Socket::Unix(_) => self.address.clone(),
        }
    }

    /// Serves until `stop` ends, then lets calls under way end, for ten seconds at most.
    ///
    /// # Errors
    /// [`ServeError::Serve`]
    pub async fn serve(
        self,
        router: Router,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let stopping = CancellationToken::new();
        let stopped = stopping.clone();
        let router = router.layer(Extension(Stopping(stopping.clone())));
        let graceful = async move {
            stop.await;
            stopped.cancel();
        };
        let serving = async {
            match self.socket {
                Socket::Tcp(listener) => axum::serve(listener, router).with_graceful_shutdown(graceful).await,
                Socket::Unix(listener) => axum::serve(listener, router).with_graceful_shutdown(graceful).await,
            }
        };
        let expired = async {
            stopping.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        let served = tokio::select! {
            served = serving => served,
            () = expired => Ok(()),
        };
        if let Address::Unix(path) = &self.address {
            fs::remove_file(path).ok();
        }
        served.map_err(|source| ServeError::Serve { address: self.address, source })
    }
}

/// A socket that its process left behind.
async fn is_stale(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
        && UnixStream::connect(path).await.is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let parse = |text: &str| text.parse::<Address>().map(|address| address.to_string()).ok();
        assert_eq!(parse("localhost:8050").as_deref(), Some("localhost:8050"));
        assert_eq!(parse(":8050").as_deref(), Some("0.0.0.0:8050"));
        assert_eq!(parse("[::1]:1").as_deref(), Some("[::1]:1"));
        assert_eq!(parse("unix:/run/s.sock").as_deref(), Some("unix:/run/s.sock"));
        assert_eq!(parse("unix:///run/s.sock").as_deref(), Some("unix:/run/s.sock"));
        assert_eq!(parse("/run/s.sock").as_deref(), Some("unix:/run/s.sock"));
        for bad in ["", "localhost", "localhost:x", "unix:relative", "h:70000"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn other_machines_need_a_token_and_a_port_is_had_once() {
        let open = Listener::bind("0.0.0.0:0".parse().unwrap(), false).await;
        assert!(matches!(open, Err(ServeError::TokenNeeded(_))), "{open:?}");
        let first = Listener::bind("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
        let second = Listener::bind(first.address(), false).await;
        assert!(matches!(second, Err(ServeError::InUse(_))), "{second:?}");
    }

    #[tokio::test]
    async fn a_socket_is_its_owners_and_is_taken_over_from_the_dead() {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::Unix(folder.path().join("s"));
        let dead = Listener::bind(address.clone(), false).await.unwrap();
        let second = Listener::bind(address.clone(), false).await;
        assert!(matches!(second, Err(ServeError::InUse(_))), "{second:?}");
        drop(dead);
        Listener::bind(address, false).await.unwrap();
        let mode = fs::metadata(folder.path().join("s")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
