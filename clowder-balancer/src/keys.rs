//! API keys, kept in a file.

use clowder_core::Secret;
use std::io;
use std::path::{Path, PathBuf};

/// The most API keys of a gateway.
const MOST_KEYS: usize = 10_000;
/// The longest file, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// Why there are no API keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiKeysError {
    /// There is no such file.
    #[error("there is no API key file {path}")]
    NotFound {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("the API keys in {path} cannot be read")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file holds none.
    #[error("{path} holds no API key: write one a line")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file holds too many.
    #[error("{path} holds more than {MOST_KEYS} keys")]
    TooMany {
        /// The file.
        path: PathBuf,
    },
}

/// The keys of a file: one a line, blank lines and lines beginning with `#` left out.
///
/// # Errors
/// [`ApiKeysError`]
pub fn read_api_keys(path: &Path) -> Result<Vec<Secret>, ApiKeysError> {
    let path = path.to_owned();
    let text = match read(&path) {
        Ok(text) => text,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Err(ApiKeysError::NotFound { path }),
        Err(source) => return Err(ApiKeysError::Io { path, source }),
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<Secret> = lines.take(MOST_KEYS + 1).map(Secret::new).collect();
    match keys.len() {
        0 => Err(ApiKeysError::Empty { path }),
        count if count > MOST_KEYS => Err(ApiKeysError::TooMany { path }),
        _ => Ok(keys),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut file = io::Read::take(std::fs::File::open(path)?, MAX_BYTES);
    io::Read::read_to_string(&mut file, &mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        assert!(matches!(read_api_keys(&path), Err(ApiKeysError::NotFound { .. })));
        std::fs::write(&path, "# ours\n\n  one \ntwo\n").unwrap();
        assert_eq!(read_api_keys(&path).unwrap(), [Secret::new("one"), Secret::new("two")]);
        std::fs::write(&path, "# none\n").unwrap();
        assert!(matches!(read_api_keys(&path), Err(ApiKeysError::Empty { .. })));
        std::fs::write(&path, "k\n".repeat(MOST_KEYS + 1)).unwrap();
        assert!(matches!(read_api_keys(&path), Err(ApiKeysError::TooMany { .. })));
    }
}
