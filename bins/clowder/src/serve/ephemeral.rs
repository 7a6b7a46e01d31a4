//! A server for one chat: on a free port, with a home of its own that goes with it, and the cache of the user's home.

use super::server::{CacheFolder, Options, Server};
use crate::client::{Client, Tokens};
use crate::context::Context;
use crate::exit::Error;
use crate::home::{Home, read_secret};
use clowder_core::ModelSpec;
use std::net::{Ipv4Addr, SocketAddr};
use tempfile::TempDir;

/// A server that ends with the command that started it.
pub(crate) struct Ephemeral {
    server: Server,
    client: Client,
    folder: TempDir,
}

impl Ephemeral {
    /// Starts it, with a model that is deployed from the start where one is given.
    pub(crate) async fn start(context: &Context, first_model: Option<ModelSpec>) -> Result<Self, Error> {
        let folder = tempfile::Builder::new()
            .prefix("clowder-")
            .tempdir()
            .map_err(Error::file("making a folder for the server of this chat"))?;
        let home = Home::new(Some(folder.path().to_owned()))?;
        let options = Options {
            first_model,
            cache: CacheFolder::Borrowed(context.home.cache()),
            ..Options::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        };
        context.home.create()?;
        let server = Server::start(&home, options).await?;
        let base = server.url().parse().map_err(|_| Error::usage(format!("{} is no URL", server.url())))?;
        let tokens = Tokens { admin: read_secret(&home.admin_token())?, api: None };
        Ok(Self { client: Client::new(base, tokens)?, server, folder })
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Ends it and its workers.
    pub(crate) async fn close(self) {
        self.server.stop().await;
        if let Err(error) = self.folder.close() {
            tracing::warn!(%error, "the folder of this chat's server was not removed");
        }
    }
}
