//! What is secret in a cluster.

use super::certificates::{Authority, Purpose};
use super::kubeconfig::{Kubeconfig, USER};
use clowder_core::{BoxError, Secret};
use rand::TryRng as _;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use url::Url;

/// Bytes of a token.
const TOKEN: usize = 32;

/// All that is secret in a cluster, made once before its first machine.
///
/// It is the cluster's administrator, whoever holds it. It can be kept (`Serialize`, `Deserialize`), where nobody else
/// reads: a file for its owner alone, a Kubernetes Secret. `Debug` prints nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Kept", into = "Kept")]
pub struct ClusterSecrets {
    server_token: Secret,
    agent_token: Secret,
    server_ca: Authority,
    client_ca: Authority,
}

/// Why there are no secrets, or none of theirs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretsError {
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes")]
    Randomness(#[source] BoxError),
    /// A certificate or a key cannot be made.
    #[error("{what} cannot be made")]
    Certificate {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// What was kept is not what was made.
    #[error("{what} of the cluster's secrets is not what was made: restore it from a copy")]
    Kept {
        /// Which part.
        what: &'static str,
    },
    /// A kubeconfig cannot be written as YAML.
    #[error("the kubeconfig cannot be written")]
    Yaml(#[source] BoxError),
}

impl SecretsError {
    fn certificate(what: &'static str) -> impl FnOnce(rcgen::Error) -> Self {
        move |source| Self::Certificate { what, source: source.into() }
    }
}

impl ClusterSecrets {
    /// Makes new ones, by which nothing that is there already can be reached.
    ///
    /// # Errors
    /// [`SecretsError::Randomness`], [`SecretsError::Certificate`].
    pub fn generate() -> Result<Self, SecretsError> {
        let authority = |purpose, what| Authority::generate(purpose).map_err(SecretsError::certificate(what));
        Ok(Self {
            server_token: token()?,
            agent_token: token()?,
            server_ca: authority(Purpose::Servers, "the authority for servers")?,
            client_ca: authority(Purpose::Clients, "the authority for clients")?,
        })
    }

    /// The certificate, as PEM, by which the cluster's servers are known.
    pub fn server_ca(&self) -> &str {
        self.server_ca.certificate()
    }

    /// The kubeconfig of an administrator (group `system:masters`) of `cluster`, whose API is at `server`.
    ///
    /// The certificate in it is new, signed here, and valid for a year. Nothing is asked of any machine, and none can
    /// take it back: a kubeconfig that got into wrong hands is as bad as these secrets that did.
    ///
    /// # Errors
    /// [`SecretsError::Certificate`], [`SecretsError::Yaml`].
    pub fn kubeconfig(&self, cluster: &str, server: &Url) -> Result<Kubeconfig, SecretsError> {
        let signed = self
            .client_ca
            .sign_client(USER, "system:masters")
            .map_err(SecretsError::certificate("the administrator's certificate"))?;
        Kubeconfig::new(cluster, server, self.server_ca(), &signed).map_err(SecretsError::Yaml)
    }

    /// Its password for agents.
    pub(super) fn agent_token(&self) -> &Secret {
        &self.agent_token
    }

    /// Its password for servers.
    pub(super) fn server_token(&self) -> &Secret {
        &self.server_token
    }

    /// With what a machine joins as a server.
    pub(super) fn joining_server(&self) -> Secret {
        self.joining("server", &self.server_token)
    }

    /// With what a machine joins as an agent.
    pub(super) fn joining_agent(&self) -> Secret {
        self.joining("node", &self.agent_token)
    }

    /// k3s' secure format: the machine hands out its password only to a server whose authority's certificate has this
    /// checksum, which is that of the PEM text where the authority signed itself
    /// (<https://docs.k3s.io/cli/token#token-format>).
    fn joining(&self, user: &str, password: &Secret) -> Secret {
        let pin: String = Sha256::digest(self.server_ca()).iter().map(|byte| format!("{byte:02x}")).collect();
        Secret::new(format!("K10{pin}::{user}:{}", password.expose()))
    }

    /// What the first server finds where it would make authorities of its own: name, content
    /// (<https://docs.k3s.io/cli/certificate#using-custom-ca-certificates>). k3s makes those that are missing; only these
    /// two are of use outside of it.
    pub(super) fn authorities(&self) -> [(&'static str, &str); 4] {
        [
            ("server-ca.crt", self.server_ca.certificate()),
            ("server-ca.key", self.server_ca.key().expose()),
            ("client-ca.crt", self.client_ca.certificate()),
            ("client-ca.key", self.client_ca.key().expose()),
        ]
    }
}

/// Random bytes in hexadecimal digits, which need no quotes anywhere.
fn token() -> Result<Secret, SecretsError> {
    let mut bytes = [0; TOKEN];
    SysRng.try_fill_bytes(&mut bytes).map_err(|error| SecretsError::Randomness(error.into()))?;
    Ok(Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

/// The secrets as they are kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    server_token: String,
    agent_token: String,
    server_ca: KeptAuthority,
    client_ca: KeptAuthority,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptAuthority {
    certificate: String,
    key: String,
}

impl From<ClusterSecrets> for Kept {
    fn from(secrets: ClusterSecrets) -> Self {
        let authority = |authority: &Authority| KeptAuthority {
            certificate: authority.certificate().to_owned(),
            key: authority.key().expose().to_owned(),
        };
        Self {
            server_token: secrets.server_token.expose().to_owned(),
            agent_token: secrets.agent_token.expose().to_owned(),
            server_ca: authority(&secrets.server_ca),
            client_ca: authority(&secrets.client_ca),
        }
    }
}

impl TryFrom<Kept> for ClusterSecrets {
    type Error = SecretsError;

    fn try_from(kept: Kept) -> Result<Self, SecretsError> {
        let token = |text: String, what| {
            let whole =
                text.len() == 2 * TOKEN && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            if whole { Ok(Secret::new(text)) } else { Err(SecretsError::Kept { what }) }
        };
        let authority = |purpose, kept: KeptAuthority, what| {
            Authority::restore(purpose, kept.certificate, Secret::new(kept.key)).ok_or(SecretsError::Kept { what })
        };
        Ok(Self {
            server_token: token(kept.server_token, "the server token")?,
            agent_token: token(kept.agent_token, "the agent token")?,
            server_ca: authority(Purpose::Servers, kept.server_ca, "the authority for servers")?,
            client_ca: authority(Purpose::Clients, kept.client_ca, "the authority for clients")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> serde_json::Value {
        serde_json::to_value(ClusterSecrets::generate().unwrap()).unwrap()
    }

    fn restored(kept: serde_json::Value) -> Result<ClusterSecrets, serde_json::Error> {
        serde_json::from_value(kept)
    }

    #[test]
    fn no_two_clusters_share_a_secret() {
        let (one, other) = (kept(), kept());
        for part in ["server_token", "agent_token", "server_ca", "client_ca"] {
            assert_ne!(one[part], other[part]);
        }
        assert_ne!(one["server_token"], one["agent_token"]);
    }

    #[test]
    fn what_is_kept_comes_back() {
        let secrets = ClusterSecrets::generate().unwrap();
        let text = serde_json::to_string(&secrets).unwrap();
        assert_eq!(serde_json::from_str::<ClusterSecrets>(&text).unwrap(), secrets);
    }

    #[test]
    fn what_was_not_made_here_is_refused_by_name() {
        let other = kept();
        let refused = |part: &str, value: serde_json::Value| {
            let mut changed = kept();
            changed[part] = value;
            restored(changed).unwrap_err().to_string()
        };
        let mixed =
            serde_json::json!({"certificate": other["server_ca"]["certificate"], "key": other["client_ca"]["key"]});
        for (part, value, says) in [
            ("server_token", "short".into(), "the server token"),
            ("agent_token", "K10::node:x".into(), "the agent token"),
            ("agent_token", "Z".repeat(64).into(), "the agent token"),
            ("server_ca", mixed, "the authority for servers"),
            ("client_ca", serde_json::json!({"certificate": "", "key": ""}), "the authority for clients"),
        ] {
            let refusal = refused(part, value);
            assert!(refusal.contains(says) && refusal.contains("restore it"), "{refusal}");
        }
    }

    #[test]
    fn debug_prints_nothing_secret() {
        let secrets = ClusterSecrets::generate().unwrap();
        let kept = serde_json::to_value(&secrets).unwrap();
        let kubeconfig = secrets.kubeconfig("c", &"https://10.0.0.1:6443".parse().unwrap()).unwrap();
        let printed = format!("{secrets:?} {kubeconfig:?}");
        let tokens = ["server_token", "agent_token"].map(|part| kept[part].as_str().unwrap().to_owned());
        assert!(!printed.contains("PRIVATE") && tokens.iter().all(|token| !printed.contains(token)), "{printed}");
    }

    #[test]
    fn who_joins_knows_the_authority_and_one_password() {
        let secrets = ClusterSecrets::generate().unwrap();
        let (server, agent) = (secrets.joining_server(), secrets.joining_agent());
        let pin: String = Sha256::digest(secrets.server_ca()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(server.expose(), format!("K10{pin}::server:{}", secrets.server_token().expose()));
        assert_eq!(agent.expose(), format!("K10{pin}::node:{}", secrets.agent_token().expose()));
    }
}
