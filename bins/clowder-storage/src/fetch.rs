//! `clowder-storage fetch`: has the node's storage manager fetch a model, before a worker of it starts.

use crate::token::token;
use clap::Args;
use clowder_core::chain;
use clowder_core::secret::{Credentials, CredentialsKind, Secret};
use clowder_core::source::{Digest, InvalidDigest};
use clowder_core::store::FetchRequest;
use clowder_core::url::{InvalidModelUrl, ModelUrl};
use clowder_storage::client::{Fetched, Manager, ManagerError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a manager that does not answer is waited for: on a new node it starts beside its first workers.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(2);
/// Between two lines about the progress.
const PROGRESS: Duration = Duration::from_secs(5);
/// Where Kubernetes reads why a container ended.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// The exit code of a failure that the same call meets again.
const PERMANENT: u8 = 3;

/// Has a storage manager fetch a model and makes a link to its file
///
/// CLOWDER_CREDENTIALS is what the model's source asks for, CLOWDER_CREDENTIALS_TYPE its kind: bearer (default) or basic.
/// Ends with 1 where another try may help, with 3 where none does.
#[derive(Debug, Args)]
pub(crate) struct Fetch {
    /// The model's URL
    #[arg(value_name = "URL")]
    url: String,
    /// What the model's file must hash to, as sha256:HEX
    #[arg(long, value_name = "DIGEST")]
    digest: Option<String>,
    /// The storage manager
    #[arg(long, value_name = "URL", default_value = "http://localhost:8050")]
    manager: String,
    /// File with the storage manager's token [also CLOWDER_STORAGE_TOKEN]
    #[arg(long, value_name = "FILE", env = "CLOWDER_STORAGE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// The link to make; one that is there is replaced. So is PATH.hold beside it: what to lock shared (flock) while the model
    /// is used, so that the manager does not remove it
    #[arg(long, value_name = "PATH")]
    link: PathBuf,
    /// A further file to fetch, and the link to make to it, with what it must hash to where that is known. It gets the
    /// credentials where it comes from the model's own server; may be given again
    #[arg(long, value_name = "LINK[,DIGEST]=URL")]
    companion: Vec<String>,
}

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Url(#[from] InvalidModelUrl),
    #[error("--digest: {0}")]
    Digest(#[from] InvalidDigest),
    #[error("--companion: {0:?} is not LINK=URL or LINK,sha256:HEX=URL")]
    Companion(String),
    #[error("CLOWDER_CREDENTIALS_TYPE is {0:?}: write bearer or basic")]
    CredentialsKind(String),
    #[error("{0}")]
    Token(String),
    #[error(transparent)]
    Manager(#[from] ManagerError),
    #[error("the link {path} cannot be made")]
    Link { path: PathBuf, source: io::Error },
}

impl FetchError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Manager(error) if error.is_transient() => 1,
            Self::Manager(_) | Self::Url(_) | Self::Digest(_) | Self::Companion(_) | Self::CredentialsKind(_) => {
                PERMANENT
            }
            Self::Token(_) | Self::Link { .. } => 1,
        }
    }
}

impl Fetch {
    /// Fetches; what is wrong is told on standard error and to Kubernetes.
    pub(crate) async fn run(self) -> ExitCode {
        match self.fetch().await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let message = chain(&error);
                eprintln!("clowder-storage: {message}");
                if Path::new(TERMINATION_LOG).exists() {
                    // Without it the reason is in the log alone.
                    std::fs::write(TERMINATION_LOG, &message).ok();
                }
                ExitCode::from(error.exit_code())
            }
        }
    }

    async fn fetch(self) -> Result<(), FetchError> {
        let url: ModelUrl = self.url.parse()?;
        let digest: Option<Digest> = self.digest.as_deref().map(str::parse).transpose()?;
        let request = FetchRequest { url, digest, credentials: credentials()? };
        let token = token(self.token_file).map_err(FetchError::Token)?;
        let manager = Manager::new(&self.manager, token.as_ref())?;
        let companions = self.companion.iter().map(|given| companion(given, &request));
        let companions: Vec<_> = companions.collect::<Result<_, _>>()?;
        for (link, request) in std::iter::once((self.link, request)).chain(companions) {
            fetch_one(&manager, &request, &link).await?;
        }
        Ok(())
    }
}

async fn fetch_one(manager: &Manager, request: &FetchRequest, at: &Path) -> Result<(), FetchError> {
    let fetched = patiently(manager, request).await?;
    let hold = fetched.hold.as_ref().unwrap_or(&fetched.path);
    for (target, path) in [(hold, beside(at)), (&fetched.path, at.to_owned())] {
        link(target, &path).map_err(|source| FetchError::Link { path, source })?;
    }
    tracing::info!(url = %request.url, bytes = fetched.bytes, digest = %fetched.digest, "fetched");
    Ok(())
}

/// `LINK[,DIGEST]=URL`
fn companion(given: &str, model: &FetchRequest) -> Result<(PathBuf, FetchRequest), FetchError> {
    let unreadable = || FetchError::Companion(given.chars().take(80).collect());
    let (place, url) = given.split_once('=').ok_or_else(unreadable)?;
    let (link, digest) = place.split_once(',').map_or((place, None), |(link, digest)| (link, Some(digest)));
    if link.is_empty() {
        return Err(unreadable());
    }
    let digest = digest.map(str::parse).transpose()?;
    Ok((link.into(), model.companion(&url.parse()?, digest)))
}

/// Fetches, and tells how far it is. A manager that is not there yet, or goes for a while, is waited for.
async fn patiently(manager: &Manager, request: &FetchRequest) -> Result<Fetched, ManagerError> {
    let mut deadline = Instant::now() + PATIENCE;
    loop {
        let told = async {
            loop {
                sleep(PROGRESS).await;
                if let Ok(Some(progress)) = manager.progress(&request.url).await {
                    let (bytes, total, rate) = (progress.bytes, progress.total, progress.rate);
                    tracing::info!(bytes, total, rate, eta_seconds = progress.eta_seconds(), "fetching");
                }
            }
        };
        let began = Instant::now();
        let outcome = tokio::select! {
            outcome = manager.fetch(request) => outcome,
            never = told => never,
        };
        match outcome {
            Err(error @ ManagerError::Unreachable { .. }) => {
                // One that fetched for a while was there.
                if began.elapsed() > PATIENCE {
                    deadline = Instant::now() + PATIENCE;
                }
                if Instant::now() > deadline {
                    return Err(error);
                }
                tracing::info!(error = chain(&error), "waiting for the storage manager");
                sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

fn credentials() -> Result<Option<Credentials>, FetchError> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let Some(value) = set("CLOWDER_CREDENTIALS") else { return Ok(None) };
    let kind = match set("CLOWDER_CREDENTIALS_TYPE").as_deref() {
        None | Some("bearer") => CredentialsKind::Bearer,
        Some("basic") => CredentialsKind::Basic,
        Some(other) => return Err(FetchError::CredentialsKind(other.to_owned())),
    };
    Ok(Some(Credentials { kind, value: Secret::new(value) }))
}

/// Where the link to what is to be held is.
fn beside(link: &Path) -> PathBuf {
    let mut hold = link.as_os_str().to_owned();
    hold.push(".hold");
    hold.into()
}

/// Makes `link` point to `target`, at once for those who look.
fn link(target: &Path, link: &Path) -> io::Result<()> {
    let draft = link.with_extension("part");
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(target, &draft)?;
    std::fs::rename(&draft, link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_made_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        for target in ["/a", "/b"] {
            link(Path::new(target), &path).unwrap();
            assert_eq!(std::fs::read_link(&path).unwrap(), Path::new(target));
        }
    }

    #[test]
    fn a_companion_is_read() {
        let model = FetchRequest { credentials: Some(Credentials::bearer("t")), ..url("https://h/m.gguf").into() };
        let read = |given: &str| companion(given, &model);
        let (link, request) = read("/model/a.gguf=https://h/a.gguf?x=1").unwrap();
        assert_eq!((link.to_str(), request.digest), (Some("/model/a.gguf"), None));
        assert_eq!((request.url, request.credentials), (url("https://h/a.gguf?x=1"), model.credentials.clone()));
        let digest = format!("sha256:{}", "ab".repeat(32));
        let (_, request) = read(&format!("/d,{digest}=hf://o/r:Q4_0")).unwrap();
        assert_eq!((request.digest, request.credentials), (Some(digest.parse().unwrap()), None));
        for wrong in ["", "/a", "=https://h/a", "/a,md5:0=https://h/a", "/a=nowhere"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    fn url(text: &str) -> ModelUrl {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_held_is_beside_the_link() {
        assert_eq!(beside(Path::new("/model/model.gguf")), Path::new("/model/model.gguf.hold"));
    }
}
