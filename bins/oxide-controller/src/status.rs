//! How the cluster fares, as the API tells it.

use serde::Serialize;

/// Where the cluster stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// It does not serve yet.
    Starting,
    /// It serves, and is as it should be or on its way there.
    Up,
    /// The last look at it failed; the reason says why, and it is tried again.
    Failing,
}

/// How the cluster fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Told {
    /// What it is called.
    pub(crate) cluster: String,
    /// Where it stands.
    pub(crate) phase: Phase,
    /// URL of its Kubernetes API, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<String>,
    /// What is under way, for a person.
    pub(crate) steps: Vec<String>,
    /// What is wrong, and what to do.
    pub(crate) problems: Vec<String>,
    /// The program's version.
    pub(crate) version: &'static str,
}

impl Told {
    /// A cluster of which nothing is known yet.
    pub(crate) fn new(cluster: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
            phase: Phase::Starting,
            server: None,
            steps: Vec::new(),
            problems: Vec::new(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// Whether it has come up.
    pub(crate) fn is_up(&self) -> bool {
        self.phase != Phase::Starting
    }
}
