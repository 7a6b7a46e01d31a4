//! The file with which an administrator reaches a cluster.

use super::certificates::Signed;
use super::yaml::written;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clowder_core::{BoxError, Secret};
use serde::Serialize;
use std::fmt;
use url::Url;

/// What the file calls the administrator.
pub(super) const USER: &str = "clowder-admin";

/// A kubeconfig: a credential as text. Write it for its owner alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Kubeconfig(Secret);

impl Kubeconfig {
    pub(super) fn new(cluster: &str, server: &Url, server_ca: &str, user: &Signed) -> Result<Self, BoxError> {
        let authority = STANDARD.encode(server_ca);
        let certificate = STANDARD.encode(&user.certificate);
        let key = STANDARD.encode(user.key.expose());
        let server = server.as_str().trim_end_matches('/');
        let file = written(&File {
            api_version: "v1",
            kind: "Config",
            clusters: [Named { name: cluster, entry: Entry::Cluster { server, authority: &authority } }],
            contexts: [Named { name: cluster, entry: Entry::Context { cluster, user: USER } }],
            current_context: cluster,
            users: [Named { name: USER, entry: Entry::User { certificate: &certificate, key: &key } }],
        })?;
        Ok(Self(Secret::new(file)))
    }

    /// The file's content.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kubeconfig(…)")
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct File<'a> {
    #[serde(rename = "apiVersion")]
    api_version: &'a str,
    kind: &'a str,
    clusters: [Named<'a>; 1],
    contexts: [Named<'a>; 1],
    current_context: &'a str,
    users: [Named<'a>; 1],
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    #[serde(flatten)]
    entry: Entry<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Entry<'a> {
    Cluster {
        server: &'a str,
        #[serde(rename = "certificate-authority-data")]
        authority: &'a str,
    },
    Context {
        cluster: &'a str,
        user: &'a str,
    },
    User {
        #[serde(rename = "client-certificate-data")]
        certificate: &'a str,
        #[serde(rename = "client-key-data")]
        key: &'a str,
    },
}
