//! What a user may type for a model's source.

use crate::exit::Error;
use crate::serve::builtin;
use clowder_core::{ModelName, ModelUrl};
use std::path::Path;

/// A model's URL from what was typed: a URL, the path of a file, or the name of a bundled model.
pub(crate) fn source(typed: &str) -> Result<ModelUrl, Error> {
    let invalid = |e: clowder_core::url::InvalidModelUrl| Error::usage(e.to_string());
    if builtin::NAMES.contains(&typed) {
        return Ok(ModelUrl::Builtin(typed.to_owned()));
    }
    let path = Path::new(typed);
    let looks_like_path = typed.ends_with(".gguf") && !typed.contains("://") && !typed.starts_with("file:");
    if looks_like_path {
        let absolute = path.canonicalize().map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::not_found(format!("there is no file {typed}")),
            _ => Error::File { what: format!("reading {typed}"), source: e },
        })?;
        let text = absolute.to_str().ok_or_else(|| Error::usage(format!("the path of {typed} is not UTF-8")))?;
        return format!("file://{text}").parse().map_err(invalid);
    }
    typed.parse().map_err(invalid)
}

/// The name of a model from this source, where nobody gives it one.
pub(crate) fn default_name(source: &ModelUrl) -> Result<ModelName, Error> {
    ModelName::of_source(source)
        .map_err(|_| Error::usage(format!("no name can be made from {source}: serve it with `clowder deploy --name`")))
}

/// Whether what was typed can only be a source, not the name of a deployed model. Names may hold `:` and `/` too, so a
/// scheme alone does not tell.
pub(crate) fn is_source(typed: &str) -> bool {
    typed.contains("://") || typed.starts_with("builtin:") || typed.starts_with("file:") || Path::new(typed).is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_sources() {
        let name = |url: &str| default_name(&url.parse().unwrap()).map(String::from);
        assert_eq!(name("builtin:kitten").unwrap(), "kitten");
        assert_eq!(name("file:///m/My%20Model.Q4_K_M.gguf").unwrap(), "My-20Model.Q4_K_M");
        assert_eq!(name("hf://o/Repo-GGUF:Q8_0").unwrap(), "Repo-GGUF-Q8_0");
        assert!(name("file:///m/--.gguf").is_err());
    }

    #[test]
    fn urls_paths_and_bundled_names() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().canonicalize().unwrap().join("m.gguf");
        std::fs::write(&file, "").unwrap();
        let path = file.to_str().unwrap();
        assert_eq!(source(path).unwrap(), ModelUrl::File(path.to_owned()));
        assert_eq!(source("kitten").unwrap().to_string(), "builtin:kitten");
        assert_eq!(source("hf://o/r:q8_0").unwrap().to_string(), "hf:///o/r:Q8_0");
        assert!(matches!(source("./missing.gguf"), Err(Error::NotFound { .. })));
        assert!(matches!(source("nonsense"), Err(Error::Usage { .. })));
        assert!(is_source(path) && is_source("hf://o/r:Q8_0") && !is_source("smol:q4"));
    }
}
