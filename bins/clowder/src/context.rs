//! What every command starts from: where things are, and how to talk to the server.

use crate::cli::Global;
use crate::client::{Client, Tokens};
use crate::exit::Error;
use crate::home::{Home, read_secret};
use crate::output::Output;
use crate::serve::HomeLock;
use clowder_core::Secret;
use std::io;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;
use url::{Host, Url};

/// Where a server is looked for when none is named and none runs on the home folder.
const DEFAULT_SERVER: &str = "http://127.0.0.1:3090";

/// The resolved global options.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// All that is kept on this machine.
    pub(crate) home: Home,
    /// Where results go.
    pub(crate) output: Output,
    server: Option<String>,
    token_file: Option<PathBuf>,
}

impl Context {
    /// Resolves the options and starts the log.
    pub(crate) fn new(global: Global, log_filter: &str) -> Result<Self, Error> {
        start_log(global.log.as_deref().unwrap_or(log_filter))?;
        Ok(Self {
            home: Home::new(global.home)?,
            output: Output::new(global.json),
            server: global.server,
            token_file: global.token_file,
        })
    }

    /// Whether the user named a server: then no other will do.
    pub(crate) fn names_server(&self) -> bool {
        self.server.is_some()
    }

    /// A client of the server named, or else of the one that runs on the home folder, or else of the default address.
    pub(crate) fn client(&self) -> Result<Client, Error> {
        let base = parse_server(&self.server())?;
        let tokens = Tokens { admin: self.admin_token(&base)?, api: api_key() };
        Client::new(base, tokens)
    }

    fn server(&self) -> String {
        // A killed server leaves its address behind, and who listens there now shall not get the token.
        let running = || self.home.server().filter(|_| HomeLock::is_held(&self.home));
        self.server.clone().or_else(running).unwrap_or_else(|| DEFAULT_SERVER.to_owned())
    }

    fn admin_token(&self, base: &Url) -> Result<Option<Secret>, Error> {
        if let Some(path) = &self.token_file {
            let missing = || Error::not_found(format!("there is no token file {}", path.display()));
            return read_secret(path)?.ok_or_else(missing).map(Some);
        }
        if let Some(token) = std::env::var("CLOWDER_ADMIN_TOKEN").ok().filter(|token| !token.is_empty()) {
            return Ok(Some(Secret::new(token)));
        }
        // The home's token is for the home's server: a server elsewhere shall not learn it.
        if self.server.is_some() && !is_loopback(base) {
            return Ok(None);
        }
        read_secret(&self.home.admin_token())
    }
}

fn api_key() -> Option<Secret> {
    std::env::var("CLOWDER_API_KEY").ok().filter(|key| !key.is_empty()).map(Secret::new)
}

/// A server's base URL; `HOST:PORT` alone means `http://`.
fn parse_server(text: &str) -> Result<Url, Error> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let refuse = |why: &str| Error::usage(format!("server {text:?} {why}: write http://HOST:PORT"));
    let url = Url::parse(&whole).map_err(|_| refuse("is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(refuse("is no web address"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::usage("the server's URL carries a user name or password: take them out".to_owned()));
    }
    Ok(url)
}

/// Whether the URL's host is this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Starts the log on standard error.
pub(crate) fn start_log(filter: &str) -> Result<(), Error> {
    let filter = EnvFilter::try_new(filter).map_err(|e| Error::usage(format!("log filter {filter:?}: {e}")))?;
    let ansi = io::IsTerminal::is_terminal(&io::stderr()) && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(ansi).init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn servers() {
        assert_eq!(parse_server("localhost:4000").unwrap().as_str(), "http://localhost:4000/");
        assert!(is_loopback(&parse_server("http://[::1]:1").unwrap()));
        assert!(!is_loopback(&parse_server("https://clowder.example.com").unwrap()));
        for bad in ["ftp://x", "http://", "http://u:p@h", ""] {
            assert!(matches!(parse_server(bad), Err(Error::Usage { .. })), "{bad}");
        }
    }

    fn context(home: &Path, server: Option<&str>) -> Context {
        Context {
            home: Home::new(Some(home.to_owned())).unwrap(),
            output: Output::new(false),
            server: server.map(str::to_owned),
            token_file: None,
        }
    }

    #[test]
    fn an_address_counts_while_its_server_lives() {
        let folder = tempfile::tempdir().unwrap();
        let context = context(folder.path(), None);
        std::fs::write(context.home.address(), "http://127.0.0.1:1\n").unwrap();
        assert_eq!(context.server(), DEFAULT_SERVER, "no server ever ran");
        let lock = HomeLock::take(&context.home).unwrap();
        assert_eq!(context.server(), "http://127.0.0.1:1");
        drop(lock);
        assert_eq!(context.server(), DEFAULT_SERVER, "the server was killed");
    }

    #[test]
    fn the_home_token_stays_at_home() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("admin.token"), "t\n").unwrap();
        let token =
            |server: &str| context(folder.path(), Some(server)).admin_token(&parse_server(server).unwrap()).unwrap();
        assert!(token("http://127.0.0.1:1").is_some());
        assert!(token("http://gateway.example.com").is_none());
    }
}
