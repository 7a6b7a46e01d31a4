//! The kubeconfig that a person gets: written once, its owner's alone, and never over somebody else's.

use crate::files;
use clowder_core::Secret;
use kube::config::Kubeconfig;
use std::io;
use std::path::{Path, PathBuf};
use url::Url;

/// Where it is written, and whether over something else.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) overwrite: bool,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is there now.
    Written,
    /// It was there: the same server, trusted by the same certificate.
    Unchanged,
    /// One of this cluster is there that names another server, and nobody asked to overwrite it.
    Kept,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    #[error(
        "{path} is there already and is not this cluster's: name another file with --kubeconfig, or add --kubeconfig-overwrite"
    )]
    Foreign { path: PathBuf },
    #[error("the kubeconfig {path} cannot be read")]
    Reading { path: PathBuf, source: io::Error },
    #[error("the kubeconfig {path} cannot be written")]
    Writing { path: PathBuf, source: io::Error },
    #[error("the kubeconfig {path} cannot be removed")]
    Removing { path: PathBuf, source: io::Error },
}

/// Whose a kubeconfig is that is there.
enum Found {
    Nothing,
    Ours { server: Option<String> },
    Foreign,
}

impl Place {
    /// Whether one of this cluster could be written. Asked before any machine is made, so that nobody waits for a cluster
    /// and gets no kubeconfig in the end.
    pub(crate) fn check(&self, server_ca: &str) -> Result<(), PlaceError> {
        match self.found(server_ca)? {
            Found::Foreign if !self.overwrite => Err(PlaceError::Foreign { path: self.path.clone() }),
            _ => Ok(()),
        }
    }

    /// Writes it. Each that is made has a certificate of its own, so one that is as good stays.
    pub(crate) fn write(&self, server_ca: &str, server: &str, kubeconfig: &Secret) -> Result<Outcome, PlaceError> {
        match self.found(server_ca)? {
            Found::Ours { server: Some(named) } if named == server => return Ok(Outcome::Unchanged),
            Found::Ours { .. } if !self.overwrite => return Ok(Outcome::Kept),
            Found::Foreign if !self.overwrite => return Err(PlaceError::Foreign { path: self.path.clone() }),
            _ => {}
        }
        let writing = |source| PlaceError::Writing { path: self.path.clone(), source };
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            files::create_private_folder(folder).map_err(writing)?;
        }
        files::write_private(&self.path, kubeconfig.expose().as_bytes()).map_err(writing)?;
        Ok(Outcome::Written)
    }

    /// Where the cluster is by a kubeconfig of this cluster that is there.
    pub(crate) fn server(&self, server_ca: &str) -> Result<Option<Url>, PlaceError> {
        Ok(match self.found(server_ca)? {
            Found::Ours { server } => server.and_then(|server| server.parse().ok()),
            _ => None,
        })
    }

    /// Removes the file if it is of the cluster with this authority.
    pub(crate) fn remove_own(&self, server_ca: &str) -> Result<(), PlaceError> {
        match self.found(server_ca)? {
            Found::Ours { .. } => std::fs::remove_file(&self.path)
                .map_err(|source| PlaceError::Removing { path: self.path.clone(), source }),
            _ => Ok(()),
        }
    }

    /// The text of whatever is there.
    pub(crate) fn read(&self) -> Result<Option<Secret>, PlaceError> {
        let reading = |source| PlaceError::Reading { path: self.path.clone(), source };
        Ok(files::read_if_there(&self.path).map_err(reading)?.map(Secret::new))
    }

    fn found(&self, server_ca: &str) -> Result<Found, PlaceError> {
        let Some(text) = self.read()? else { return Ok(Found::Nothing) };
        let Ok(config) = Kubeconfig::from_yaml(text.expose()) else { return Ok(Found::Foreign) };
        let [cluster] = config.clusters.as_slice() else { return Ok(Found::Foreign) };
        let Some(cluster) = &cluster.cluster else { return Ok(Found::Foreign) };
        if authority(cluster).is_some_and(|found| found.trim() == server_ca.trim()) {
            Ok(Found::Ours { server: cluster.server.clone() })
        } else {
            Ok(Found::Foreign)
        }
    }
}

/// The certificate in PEM that a kubeconfig's cluster is trusted by, where it is in the kubeconfig itself.
fn authority(cluster: &kube::config::Cluster) -> Option<String> {
    use base64::Engine as _;
    let data = cluster.certificate_authority_data.as_ref()?;
    String::from_utf8(base64::prelude::BASE64_STANDARD.decode(data).ok()?).ok()
}

/// Where it is by default: `~/.kube/oxide-controller-config`.
pub(crate) fn default_path(home: &Path) -> PathBuf {
    home.join(".kube/oxide-controller-config")
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use std::os::unix::fs::PermissionsExt;

    fn kubeconfig(ca: &str, server: &str, certificate: &str) -> Secret {
        let ca = base64::prelude::BASE64_STANDARD.encode(ca);
        Secret::new(format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters:\n- name: c\n  cluster:\n    server: {server}\n    \
             certificate-authority-data: {ca}\nusers:\n- name: {certificate}\n"
        ))
    }

    #[test]
    fn one_that_is_as_good_stays_and_anothers_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut place = Place { path: folder.path().join(".kube/config"), overwrite: false };
        let (one, two) = ("https://192.0.2.1:6443", "https://192.0.2.2:6443");
        let first = kubeconfig("ours", one, "a");
        place.check("ours").unwrap();
        assert_eq!(place.write("ours", one, &first).unwrap(), Outcome::Written);
        assert_eq!(std::fs::metadata(&place.path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(place.write("ours", one, &kubeconfig("ours", one, "b")).unwrap(), Outcome::Unchanged);
        assert_eq!(place.server("ours").unwrap(), Some(one.parse().unwrap()));
        assert_eq!(place.server("other").unwrap(), None);
        assert_eq!(place.write("ours", two, &kubeconfig("ours", two, "b")).unwrap(), Outcome::Kept);
        assert_eq!(place.read().unwrap(), Some(first.clone()));
        assert!(matches!(place.check("other"), Err(PlaceError::Foreign { .. })));
        assert!(matches!(place.write("other", one, &first), Err(PlaceError::Foreign { .. })));

        place.overwrite = true;
        place.check("other").unwrap();
        let other = kubeconfig("other", two, "c");
        assert_eq!(place.write("other", two, &other).unwrap(), Outcome::Written);
        assert_eq!(place.read().unwrap(), Some(other));
    }

    #[test]
    fn what_is_no_kubeconfig_is_somebody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place { path: folder.path().join("config"), overwrite: false };
        for text in ["", "hello", "clusters: []", "kind: Config\nclusters:\n- name: c\n"] {
            std::fs::write(&place.path, text).unwrap();
            assert!(matches!(place.check("ours"), Err(PlaceError::Foreign { .. })), "{text:?}");
        }
    }
}
