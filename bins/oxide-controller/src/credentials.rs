//! Which rack, and the token for it: as the Oxide command line keeps them, or as told.

use crate::flags::{RackFlags, ValueError};
use clowder_core::Secret;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use url::{Host, Url};

/// A rack's API, and the token that opens it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) url: Url,
    pub(crate) token: Secret,
}

/// Why nobody can log in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialsError {
    #[error(transparent)]
    Value(#[from] ValueError),
    #[error("{named} is not a rack's URL: write it as https://HOST (http:// is for this machine alone)")]
    Url { named: String },
    #[error("a token is given but no rack: add --oxide-api-url or OXIDE_HOST")]
    NoHost,
    #[error("OXIDE_HOST and a profile are both set: each names a rack, so unset one of them")]
    HostAndProfile,
    #[error("{path} cannot be read")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} is not understood: {reason}")]
    Malformed { path: PathBuf, reason: String },
    #[error(
        "nobody is logged in, as {path} is not there: `oxide auth login` writes it, or give --oxide-api-url and --oxide-token"
    )]
    NotLoggedIn { path: PathBuf },
    #[error("there is no profile {profile} in {path}: {}", among(.known))]
    NoProfile { profile: String, path: PathBuf, known: Vec<String> },
    #[error("no profile in {path} is for {url}: log in by `oxide auth login --host {url}`, or give --oxide-token")]
    NoProfileFor { url: String, path: PathBuf },
    #[error("several profiles are for {url}: choose one with --oxide-profile ({})", .profiles.join(", "))]
    SeveralProfiles { url: String, profiles: Vec<String> },
    #[error("profile {profile} is for {host}, and --oxide-api-url is {url}: leave one of them out")]
    OtherRack { profile: String, host: String, url: String },
    #[error("which rack is not said: give --oxide-api-url or --oxide-profile, or set a default-profile in {path}")]
    NoDefault { path: PathBuf },
    #[error("HOME is not set, so there are no credentials: give --oxide-api-url and --oxide-token")]
    NoHome,
}

fn among(profiles: &[String]) -> String {
    match profiles {
        [] => "there is none".to_owned(),
        some => format!("there are {}", some.join(", ")),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CredentialsFile {
    profile: BTreeMap<String, Profile>,
}

#[derive(Deserialize)]
struct Profile {
    host: String,
    token: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct ConfigFile {
    default_profile: Option<String>,
}

/// Whose environment is asked; tests have their own.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl Credentials {
    /// Those that the flags, the environment and the files of the Oxide command line come to, in this order.
    pub(crate) fn find(flags: &RackFlags, environment: Environment<'_>) -> Result<Self, CredentialsError> {
        let text =
            |name| environment(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty());
        let (host, profile, env_token) = (text("OXIDE_HOST"), text("OXIDE_PROFILE"), text("OXIDE_TOKEN"));
        if host.is_some() && (flags.oxide_profile.is_some() || profile.is_some()) {
            return Err(CredentialsError::HostAndProfile);
        }
        let url = flags.oxide_api_url.as_deref().filter(|url| !url.is_empty()).map(rack_url).transpose()?;
        let token = flags.oxide_token.as_ref().map(|token| token.read("oxide-token")).transpose()?.flatten();
        let host = host.as_deref().map(rack_url).transpose()?;
        if let Some(token) = token {
            let url = url.or(host).ok_or(CredentialsError::NoHost)?;
            return Ok(Self { url, token });
        }
        let files = || Files::new(environment);
        if let Some(name) = flags.oxide_profile.as_deref().filter(|name| !name.is_empty()) {
            return files()?.of_profile(name, url.as_ref());
        }
        match (url, env_token) {
            (Some(url), Some(token)) if host.as_ref().is_none_or(|host| *host == url) => {
                Ok(Self { url, token: Secret::new(token) })
            }
            (Some(url), _) => files()?.of_rack(&url),
            (None, Some(token)) => Ok(Self { url: host.ok_or(CredentialsError::NoHost)?, token: Secret::new(token) }),
            (None, None) => match (host, profile) {
                (Some(host), _) => files()?.of_rack(&host),
                (None, Some(name)) => files()?.of_profile(&name, None),
                (None, None) => files()?.of_default(),
            },
        }
    }
}

/// The files of the Oxide command line.
struct Files(PathBuf);

impl Files {
    fn new(environment: Environment<'_>) -> Result<Self, CredentialsError> {
        let home = environment("HOME").filter(|home| !home.is_empty()).ok_or(CredentialsError::NoHome)?;
        Ok(Self(Path::new(&home).join(".config/oxide")))
    }

    fn profiles(&self) -> Result<(PathBuf, BTreeMap<String, Profile>), CredentialsError> {
        let path = self.0.join("credentials.toml");
        match read::<CredentialsFile>(&path)? {
            Some(file) => Ok((path, file.profile)),
            None => Err(CredentialsError::NotLoggedIn { path }),
        }
    }

    fn default(&self) -> Result<Option<String>, CredentialsError> {
        Ok(read::<ConfigFile>(&self.0.join("config.toml"))?.unwrap_or_default().default_profile)
    }

    fn of_profile(&self, name: &str, url: Option<&Url>) -> Result<Credentials, CredentialsError> {
        let (path, mut profiles) = self.profiles()?;
        let Some(profile) = profiles.remove(name) else {
            let known = profiles.into_keys().collect();
            return Err(CredentialsError::NoProfile { profile: name.to_owned(), path, known });
        };
        let host = rack_url(&profile.host)?;
        match url.filter(|url| **url != host) {
            Some(url) => {
                let (host, url) = (shown(&host), shown(url));
                Err(CredentialsError::OtherRack { profile: name.to_owned(), host, url })
            }
            None => Ok(Credentials { url: host, token: Secret::new(profile.token) }),
        }
    }

    fn of_rack(&self, url: &Url) -> Result<Credentials, CredentialsError> {
        let (path, profiles) = self.profiles()?;
        let is_for = |profile: &Profile| rack_url(&profile.host).is_ok_and(|host| host == *url);
        let mut names: Vec<String> =
            profiles.into_iter().filter(|(_, profile)| is_for(profile)).map(|(name, _)| name).collect();
        if names.len() > 1 {
            let default = self.default()?;
            names = match default.filter(|default| names.contains(default)) {
                Some(default) => vec![default],
                None => return Err(CredentialsError::SeveralProfiles { url: shown(url), profiles: names }),
            };
        }
        match names.first() {
            Some(name) => self.of_profile(name, Some(url)),
            None => Err(CredentialsError::NoProfileFor { url: shown(url), path }),
        }
    }

    fn of_default(&self) -> Result<Credentials, CredentialsError> {
        match self.default()? {
            Some(name) => self.of_profile(&name, None),
            None => {
                self.profiles()?;
                Err(CredentialsError::NoDefault { path: self.0.join("config.toml") })
            }
        }
    }
}

/// A file's contents; `None` where there is no such file.
fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, CredentialsError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CredentialsError::Unreadable { path: path.to_owned(), source }),
    };
    // The message alone: the parser's full text quotes the line, and that may hold the token.
    toml::from_str(&text)
        .map(Some)
        .map_err(|error| CredentialsError::Malformed { path: path.to_owned(), reason: error.message().to_owned() })
}

/// A rack's URL as two of them are compared: scheme, host and port alone.
fn rack_url(named: &str) -> Result<Url, CredentialsError> {
    let refused = |named: &str| CredentialsError::Url { named: named.chars().take(200).collect() };
    let url: Url = named.trim().parse().map_err(|_| refused(named))?;
    let is_local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let is_anonymous = url.username().is_empty() && url.password().is_none();
    // In plain text the token would go to whoever listens on the way.
    let is_private = url.scheme() == "https" || url.scheme() == "http" && is_local;
    if is_private && is_bare && is_anonymous && url.host().is_some() {
        return Ok(url);
    }
    let mut bare = url;
    // Only a URL that can have a name has one; it is not shown, as a password is not.
    let _ = (bare.set_username(""), bare.set_password(None));
    Err(refused(bare.as_str()))
}

/// A URL without the slash at its end, as the files have it.
fn shown(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests;
