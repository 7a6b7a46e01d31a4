//! Files that machines are given, and trust by their checksum.

use clowder_core::source::Digest;
use std::fmt;
use std::str::FromStr;
use url::Url;

/// Where a machine finds a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source(Place);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// It is fetched.
    Url(Url),
    /// It is in the image from which the machine started.
    Image(String),
}

/// A string that is no [`Source`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no source of a file: write http(s)://HOST/FILE, or the absolute path of a file in the image")]
pub struct InvalidArtifact(pub String);

impl FromStr for Source {
    type Err = InvalidArtifact;

    fn from_str(text: &str) -> Result<Self, InvalidArtifact> {
        let invalid = || InvalidArtifact(without_password(text));
        if text.starts_with('/') {
            let plain = text.chars().all(|c| c.is_ascii_graphic()) && !text.ends_with('/');
            return plain.then(|| Self(Place::Image(text.to_owned()))).ok_or_else(invalid);
        }
        let url = Url::parse(text).map_err(|_| invalid())?;
        // A password in it would be printed wherever the URL is.
        let bare = url.username().is_empty() && url.password().is_none();
        let usable = matches!(url.scheme(), "http" | "https") && url.has_host() && bare;
        usable.then_some(Self(Place::Url(url))).ok_or_else(invalid)
    }
}

/// A text as it may be shown.
fn without_password(text: &str) -> String {
    let shown = match Url::parse(text) {
        Ok(mut url) if !url.username().is_empty() || url.password().is_some() => {
            // Only a URL that can have a name has one.
            let _ = (url.set_username(""), url.set_password(None));
            url.to_string()
        }
        _ => text.to_owned(),
    };
    shown.chars().take(80).collect()
}

impl Source {
    /// Whether the machine reaches out for it.
    pub fn is_fetched(&self) -> bool {
        matches!(self.0, Place::Url(_))
    }

    /// The file's own name: what is behind the last `/`.
    pub fn file_name(&self) -> &str {
        let path = match &self.0 {
            Place::Url(url) => url.path(),
            Place::Image(path) => path,
        };
        path.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Url(url) => f.pad(url.as_str()),
            Place::Image(path) => f.pad(path),
        }
    }
}

/// A file of which the bytes are known beforehand: a machine installs it only if it has this checksum, wherever it came
/// from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Where it is.
    pub source: Source,
    /// The SHA-256 of its bytes.
    pub sha256: Digest,
}

impl Artifact {
    /// An artifact of a release, pinned in this source by URL and digest.
    pub(super) fn pinned(source: &'static str, sha256: &'static str) -> Self {
        Self {
            source: source.parse().expect("a constant that is tested"),
            sha256: sha256.parse().expect("a constant that is tested"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_source_is_a_url_or_a_file_of_the_image() {
        let fetched: Source = "https://mirror.example/k3s/v1.36.5%2Bk3s1/k3s".parse().unwrap();
        assert_eq!((fetched.is_fetched(), fetched.file_name()), (true, "k3s"));
        let present: Source = "/opt/k3s/images.tar.zst".parse().unwrap();
        assert_eq!((present.is_fetched(), present.file_name()), (false, "images.tar.zst"));
        let no_file =
            ["", "k3s", "ftp://host/k3s", "file:///k3s", "/opt/", "/opt/a b", "/opt/a\nb", "https://u:p@host/k3s"];
        for text in no_file {
            let refused = text.parse::<Source>().unwrap_err().to_string();
            assert!(!refused.contains("u:p"), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_one_line(text in ".{0,60}") {
            if let Ok(source) = text.parse::<Source>() {
                prop_assert!(source.to_string().chars().all(|c| c.is_ascii_graphic()), "{source}");
            }
        }
    }
}
