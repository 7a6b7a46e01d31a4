//! The token that callers bear.

use clowder_core::Secret;
use std::path::PathBuf;

/// The token of a file, or of CLOWDER_STORAGE_TOKEN.
pub(crate) fn token(file: Option<PathBuf>) -> Result<Option<Secret>, String> {
    let text = match file {
        Some(path) => {
            let read = std::fs::read_to_string(&path);
            Some(read.map_err(|error| format!("the token file {} cannot be read: {error}", path.display()))?)
        }
        None => std::env::var("CLOWDER_STORAGE_TOKEN").ok(),
    };
    match text.as_deref().map(str::trim) {
        Some("") => Err("the token is empty: write one into the file, or unset CLOWDER_STORAGE_TOKEN".to_owned()),
        Some(token) => Ok(Some(Secret::new(token))),
        None => Ok(None),
    }
}
