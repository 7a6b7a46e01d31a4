//! What ends the program.

use crate::api::ListenError;
use crate::cluster::AccessError;
use crate::kubeconfig::PlaceError;
use crate::pivot::PivotError;
use crate::settings::SettingsError;
use crate::state::StateError;
use clowder_core::BoxError;
use clowder_k8s::call::CallError;
use clowder_oxide::bootstrap::SecretsError;
use clowder_oxide::{ClusterId, OxideError, TailnetError, TearDownError};
use std::io;
use std::path::PathBuf;

/// Why the program ends without having done it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Rack(#[from] OxideError),
    #[error(transparent)]
    TearDown(#[from] TearDownError),
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    #[error(transparent)]
    Kubeconfig(#[from] PlaceError),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Tailnet(#[from] TailnetError),
    #[error(transparent)]
    Pivot(#[from] PivotError),
    #[error("where the kubeconfig goes is not said: give --kubeconfig (HOME is not set)")]
    NoKubeconfig,
    #[error(
        "cluster {cluster} has machines, and its secrets are not in {folder}: run this where it was made, restore that folder, \
         or put a kubeconfig of the cluster where --kubeconfig says and run this again; docs/oxide.md has more"
    )]
    Lost { cluster: ClusterId, folder: PathBuf },
    #[error(
        "the Secret in {folder} has no secrets of cluster {cluster}: run oxide-controller outside of the cluster once"
    )]
    NotMounted { cluster: ClusterId, folder: PathBuf },
    #[error("the secrets of the cluster cannot be kept in it")]
    Keeping(#[source] CallError),
    #[error("the number of workers cannot be recorded")]
    Workers(#[source] BoxError),
    #[error("--destroy {named} is not this cluster: it is called {cluster} (--cluster-name)")]
    OtherCluster { named: String, cluster: ClusterId },
    #[error("what would be done cannot be said")]
    DryRun(#[source] clowder_oxide::RoundError),
    #[error("{what} failed")]
    Starting { what: &'static str, source: io::Error },
}

impl Error {
    pub(crate) fn starting(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Starting { what, source }
    }
}
