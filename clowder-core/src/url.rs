//! Where a model comes from, as one URL.
//!
//! | form | meaning |
//! |---|---|
//! | `builtin:NAME` | a model that the program carries |
//! | `file:///PATH` | a file of the node that runs it |
//! | `http://…`, `https://…` | any web server |
//! | `hf://[HOST]/OWNER/REPO/PATH[@REVISION]` | a file of a Hugging Face hub; an empty host is the public hub |
//! | `hf://OWNER/REPO:QUANT[@REVISION]` | the file of that repository with that quantisation |
//!
//! `huggingface://` is `hf://`. Other schemes are kept as they are ([`ModelUrl::Other`]) for sources of an integrator.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The longest URL taken, in bytes.
pub const MAX_LENGTH: usize = 2048;

/// A model's URL, parsed and in canonical spelling: equal models have equal URLs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum ModelUrl {
    /// `builtin:NAME`
    Builtin(String),
    /// `file:///PATH`, the absolute path without decoration.
    File(String),
    /// `http://` or `https://`, whole.
    Http(String),
    /// `hf://`
    HuggingFace(HuggingFaceUrl),
    /// A scheme that core does not read.
    Other {
        /// The scheme, lower case.
        scheme: String,
        /// All after `scheme:`.
        rest: String,
    },
}

/// The parts of an `hf://` URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HuggingFaceUrl {
    /// The hub, `host[:port]`; `None` is the public one.
    pub host: Option<String>,
    /// `OWNER/REPO`.
    pub repo: String,
    /// Which file of it.
    pub selector: HuggingFaceFile,
    /// Branch, tag or commit; `None` is `main`.
    pub revision: Option<String>,
}

/// How an `hf://` URL names its file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HuggingFaceFile {
    /// By path.
    Path(String),
    /// By quantisation, such as `Q4_K_M`, upper case.
    Quantisation(String),
}

/// A string that is no [`ModelUrl`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidModelUrl {
    /// No `scheme:` at its beginning.
    #[error("{0:?} has no scheme: write builtin:NAME, file:///PATH, http(s)://… or hf://OWNER/REPO/FILE")]
    NoScheme(String),
    /// A path that is not absolute, or climbs.
    #[error("{0:?} does not name a file by an absolute path without '..': write file:///PATH")]
    NotAbsolute(String),
    /// An `hf:` URL without owner, repository or file.
    #[error("{0:?} does not name a file of a repository: write hf://OWNER/REPO/FILE.gguf or hf://OWNER/REPO:QUANT")]
    NotARepositoryFile(String),
    /// A web address without a host.
    #[error("{0:?} names no host")]
    NoHost(String),
    /// `user:password@` in a web address.
    #[error("the URL carries a user name or password: give them as credentials instead")]
    Credentials,
    /// Empty name, control characters or blanks, or too long.
    #[error("a model URL is 1 to {MAX_LENGTH} characters without blanks and control characters")]
    Unreadable,
}

impl ModelUrl {
    /// The scheme, as written in the canonical form.
    pub fn scheme(&self) -> &str {
        match self {
            Self::Builtin(_) => "builtin",
            Self::File(_) => "file",
            Self::Http(url) => url.split(':').next().unwrap_or("http"),
            Self::HuggingFace(_) => "hf",
            Self::Other { scheme, .. } => scheme,
        }
    }

    /// Whether both come from the same server, so that what opens one may be told to the other.
    pub fn is_beside(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::HuggingFace(one), Self::HuggingFace(other)) => one.host == other.host,
            (Self::Http(one), Self::Http(other)) => server(one) == server(other),
            (Self::Other { scheme: one, rest }, Self::Other { scheme, rest: others }) => {
                one == scheme && rest.starts_with("//") && server(rest) == server(others)
            }
            _ => false,
        }
    }

    /// The last part of the path, what a person would call the model: `SmolLM2-135M-Instruct-Q4_K_M.gguf`.
    pub fn file_name(&self) -> String {
        match self {
            Self::Builtin(name) => name.clone(),
            Self::HuggingFace(HuggingFaceUrl { selector: HuggingFaceFile::Quantisation(quant), repo, .. }) => {
                format!("{}-{quant}.gguf", last_segment(repo))
            }
            Self::HuggingFace(HuggingFaceUrl { selector: HuggingFaceFile::Path(path), .. }) => last_segment(path),
            Self::File(path) | Self::Other { rest: path, .. } => last_segment(path),
            Self::Http(url) => last_segment(url.split(['?', '#']).next().unwrap_or(url)),
        }
    }
}

/// `SCHEME://HOST:PORT`, or `//HOST:PORT` where there is no scheme.
fn server(url: &str) -> &str {
    let authority = url.find("//").map_or(0, |at| at + 2);
    let end = url[authority..].find(['/', '?', '#']).map_or(url.len(), |end| authority + end);
    &url[..end]
}

fn last_segment(path: &str) -> String {
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("model").to_owned()
}

impl FromStr for ModelUrl {
    type Err = InvalidModelUrl;

    fn from_str(text: &str) -> Result<Self, InvalidModelUrl> {
        let text = text.trim();
        if text.is_empty() || text.len() > MAX_LENGTH || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(InvalidModelUrl::Unreadable);
        }
        let quoted = || text.chars().take(120).collect::<String>();
        let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
            return Err(InvalidModelUrl::NoScheme(quoted()));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "builtin" => {
                let name = rest.trim_start_matches('/');
                if name.is_empty() || name.contains('/') {
                    return Err(InvalidModelUrl::Unreadable);
                }
                Ok(Self::Builtin(name.to_owned()))
            }
            "file" => parse_file(rest).ok_or_else(|| InvalidModelUrl::NotAbsolute(quoted())),
            web @ ("http" | "https") => {
                let authority_and_path = rest.strip_prefix("//").unwrap_or_default();
                let (authority, path) = split_authority(authority_and_path);
                if authority.contains('@') {
                    return Err(InvalidModelUrl::Credentials);
                }
                if authority.is_empty() || authority.starts_with(':') {
                    return Err(InvalidModelUrl::NoHost(quoted()));
                }
                Ok(Self::Http(format!("{web}://{}{path}", authority.to_ascii_lowercase())))
            }
            "hf" | "huggingface" => {
                parse_hugging_face(rest).ok_or_else(|| InvalidModelUrl::NotARepositoryFile(quoted()))
            }
            other => Ok(Self::Other { scheme: other.to_owned(), rest: rest.to_owned() }),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn split_authority(text: &str) -> (&str, &str) {
    text.split_at(text.find(['/', '?', '#']).unwrap_or(text.len()))
}

fn climbs(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}

fn parse_file(rest: &str) -> Option<ModelUrl> {
    let path = match rest.strip_prefix("//") {
        Some(with_host) => with_host.strip_prefix("localhost").unwrap_or(with_host),
        None => rest,
    };
    let wanted = path.starts_with('/') && path.len() > 1 && !path.ends_with('/') && !climbs(path);
    wanted.then(|| ModelUrl::File(path.to_owned()))
}

/// A first segment is a host where it could be no owner: it carries a dot or a port, or is `localhost`.
fn is_host(segment: &str) -> bool {
    segment.contains('.') || segment.contains(':') || segment == "localhost"
}

fn parse_hugging_face(rest: &str) -> Option<ModelUrl> {
    let rest = rest.strip_prefix("//")?;
    if climbs(rest) {
        return None;
    }
    let (rest, revision) = match rest.rsplit_once('@') {
        Some((rest, revision)) if !revision.is_empty() => (rest, Some(revision.to_owned())),
        Some(_) => return None,
        None => (rest, None),
    };
    let empty_host = rest.starts_with('/');
    let mut segments: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    let host =
        (!empty_host && segments.len() > 2 && is_host(segments[0])).then(|| segments.remove(0).to_ascii_lowercase());
    let (repo, selector) = match segments.as_slice() {
        [owner, repo_and_quant] => {
            let (repo, quant) = repo_and_quant.split_once(':')?;
            let named = !repo.is_empty() && !quant.is_empty();
            let selector = named.then(|| HuggingFaceFile::Quantisation(quant.to_ascii_uppercase()))?;
            (format!("{owner}/{repo}"), selector)
        }
        [owner, repo, path @ ..] if !path.is_empty() => {
            (format!("{owner}/{repo}"), HuggingFaceFile::Path(path.join("/")))
        }
        _ => return None,
    };
    Some(ModelUrl::HuggingFace(HuggingFaceUrl { host, repo, selector, revision }))
}

impl TryFrom<String> for ModelUrl {
    type Error = InvalidModelUrl;

    fn try_from(text: String) -> Result<Self, InvalidModelUrl> {
        text.parse()
    }
}

impl From<ModelUrl> for String {
    fn from(url: ModelUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for ModelUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(name) => write!(f, "builtin:{name}"),
            Self::File(path) => write!(f, "file://{path}"),
            Self::Http(url) => f.write_str(url),
            Self::HuggingFace(url) => url.fmt(f),
            Self::Other { scheme, rest } => write!(f, "{scheme}:{rest}"),
        }
    }
}

impl fmt::Display for HuggingFaceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hf://{}/{}", self.host.as_deref().unwrap_or_default(), self.repo)?;
        match &self.selector {
            HuggingFaceFile::Path(path) => write!(f, "/{path}")?,
            HuggingFaceFile::Quantisation(quant) => write!(f, ":{quant}")?,
        }
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> String {
        text.parse::<ModelUrl>().unwrap_or_else(|e| panic!("{text}: {e}")).to_string()
    }

    #[test]
    fn spellings_of_one_model_are_one_url() {
        let seed = "hf:///unsloth//SmolLM2-135M-Instruct-GGUF/SmolLM2-135M-Instruct-Q4_K_M.gguf";
        let expected = "hf:///unsloth/SmolLM2-135M-Instruct-GGUF/SmolLM2-135M-Instruct-Q4_K_M.gguf";
        assert_eq!(canonical(seed), expected);
        assert_eq!(canonical(&seed.replace("hf:", "huggingface:")), expected);
        assert_eq!(canonical(&seed.replace("hf:///", "hf://")), expected);
        assert_eq!(canonical("HTTP://Example.com/M.gguf?x=1"), "http://example.com/M.gguf?x=1");
        assert_eq!(canonical("file:/m.gguf"), "file:///m.gguf");
        assert_eq!(canonical("builtin://kitten"), "builtin:kitten");
    }

    #[test]
    fn hugging_face_parts() {
        let parse = |text: &str| match text.parse() {
            Ok(ModelUrl::HuggingFace(url)) => url,
            other => panic!("{text}: {other:?}"),
        };
        let url = parse("hf://127.0.0.1:8080/o/r/dir/f.gguf@v1");
        assert_eq!(url.host.as_deref(), Some("127.0.0.1:8080"));
        assert_eq!((url.repo.as_str(), url.revision.as_deref()), ("o/r", Some("v1")));
        assert_eq!(url.selector, HuggingFaceFile::Path("dir/f.gguf".into()));
        let url = parse("hf://o/r:q4_k_m");
        assert_eq!((url.host, url.selector), (None, HuggingFaceFile::Quantisation("Q4_K_M".into())));
    }

    #[test]
    fn what_is_no_model_is_refused_with_the_reason() {
        let refused = |text: &str| text.parse::<ModelUrl>().unwrap_err();
        assert!(matches!(refused("kitten"), InvalidModelUrl::NoScheme(_)));
        assert!(matches!(refused("file://relative/x"), InvalidModelUrl::NotAbsolute(_)));
        assert!(matches!(refused("file:///a/../etc/passwd"), InvalidModelUrl::NotAbsolute(_)));
        assert!(matches!(refused("hf://o/r"), InvalidModelUrl::NotARepositoryFile(_)));
        assert!(matches!(refused("hf:///o/r/../../x"), InvalidModelUrl::NotARepositoryFile(_)));
        assert!(matches!(refused("http:///x"), InvalidModelUrl::NoHost(_)));
        assert!(matches!(refused("http://u:p@h/x"), InvalidModelUrl::Credentials));
        assert!(matches!(refused("http://h/a b"), InvalidModelUrl::Unreadable));
        assert!(matches!(refused(""), InvalidModelUrl::Unreadable));
    }

    #[test]
    fn what_is_of_one_server_is_beside() {
        let beside = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|url| url.parse::<ModelUrl>().unwrap());
            assert_eq!(one.is_beside(&other), other.is_beside(&one));
            one.is_beside(&other)
        };
        for (one, other) in [
            ("https://h/a.gguf", "https://h/b/c.gguf?x"),
            ("hf://o/r:Q4_0", "hf:///p/q/m.gguf"),
            ("hf://hub.local/o/r/m.gguf", "hf://hub.local/p/q/m.gguf"),
            ("s3://bucket/a", "s3://bucket/b"),
        ] {
            assert!(beside(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("https://h/a.gguf", "http://h/a.gguf"),
            ("https://h/a.gguf", "https://h.evil/a.gguf"),
            ("https://h/a.gguf", "https://h:8443/a.gguf"),
            ("hf://o/r:Q4_0", "hf://hub.local/o/r/m.gguf"),
            ("s3://bucket/a", "s3://other/a"),
            ("s3://bucket/a", "gs://bucket/a"),
            ("odd:a", "odd:a"),
            ("file:///a", "file:///a"),
        ] {
            assert!(!beside(one, other), "{one} {other}");
        }
    }

    #[test]
    fn file_names() {
        for (url, name) in [
            ("builtin:kitten", "kitten"),
            ("https://h/a/b.gguf?download=1", "b.gguf"),
            ("hf://o/Repo-GGUF:Q8_0", "Repo-GGUF-Q8_0.gguf"),
            ("file:///x/y.gguf", "y.gguf"),
        ] {
            assert_eq!(url.parse::<ModelUrl>().unwrap().file_name(), name);
        }
    }

    proptest! {
        #[test]
        fn canonical_form_is_a_fixed_point(text in "(hf|huggingface|file|http|builtin|s3):/{0,3}[a-zA-Z0-9@:._/-]{0,40}") {
            if let Ok(url) = text.parse::<ModelUrl>() {
                prop_assert_eq!(url.to_string().parse::<ModelUrl>(), Ok(url));
            }
        }
    }
}
