//! `clowder-controller crds`: the definitions that a cluster needs first.

use crate::error::Error;
use clowder_k8s::Model;
use kube::CustomResourceExt;
use std::io::Write;

/// Prints the custom resource definitions, for `kubectl apply --server-side -f -`
#[derive(Debug, clap::Args)]
pub(crate) struct Crds {}

impl Crds {
    /// Prints them.
    pub(crate) fn run(self) -> Result<(), Error> {
        let yaml = serde_saphyr::to_string(&Model::crd()).map_err(Error::cluster("writing the definitions"))?;
        std::io::stdout().write_all(yaml.as_bytes()).map_err(Error::starting("writing to standard output"))
    }
}
