//! Why a model is not loaded, and what is checked before llama.cpp sees its file.

use crate::llama;
use clowder_core::gguf::{GgufError, GgufFacts, GgufKind, Header};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The first read of a header; most fit, the others double it.
const FIRST_READ: u64 = 1 << 20;

/// Why a model was not loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Its file or the settings forbid it, now and later.
    #[error("the model cannot be loaded: {reason}")]
    Unloadable {
        /// Why and what to do, for a person.
        reason: String,
    },
    /// Memory or the file was not to be had; another attempt may succeed.
    #[error("the model cannot be loaded now: {reason}")]
    Failed {
        /// Why, for a person.
        reason: String,
    },
}

impl LoadError {
    /// What llama.cpp said of a file.
    pub(super) fn of(path: &Path, error: llama::LoadError) -> Self {
        let shown = path.display();
        match error {
            llama::LoadError::Refused(reason) => {
                let known = !reason.contains("unknown model architecture");
                let advice = if known { "" } else { "; this version of llama.cpp does not know it" };
                unloadable(format!("{shown}: {reason}{advice}"))
            }
            llama::LoadError::Failed(reason) => failed(format!("{shown}: {reason}")),
        }
    }
}

/// Reads the header of a model or an adapter and holds the file against it.
///
/// # Errors
/// [`LoadError::Unloadable`] with what is wrong with the file; [`LoadError::Failed`] where it cannot be read.
pub(super) fn check(path: &Path, kind: GgufKind) -> Result<GgufFacts, LoadError> {
    let shown = path.display();
    let io_failed = |error: io::Error| failed(format!("{shown} cannot be read: {error}"));
    let mut file = File::open(path).map_err(io_failed)?;
    let metadata = file.metadata().map_err(io_failed)?;
    if !metadata.is_file() {
        return Err(unloadable(format!("{shown} is no file: give the path of a .gguf file")));
    }
    let size = metadata.len();
    let refused = |error: GgufError| unloadable(format!("{shown}: {error}"));
    let mut header = Vec::new();
    loop {
        let wanted = (header.len() as u64).max(FIRST_READ / 2) * 2;
        let missing = wanted - header.len() as u64;
        let read = file.by_ref().take(missing).read_to_end(&mut header).map_err(io_failed)?;
        match GgufFacts::parse(&header).map_err(refused)? {
            Header::Whole(facts) => {
                facts.check_size(size).and_then(|()| facts.check_kind(kind)).map_err(refused)?;
                return Ok(*facts);
            }
            Header::Short if read == 0 => {
                return Err(unloadable(format!("{shown} is cut off inside its header: fetch it again")));
            }
            Header::Short => {}
        }
    }
}

/// What no other attempt changes.
pub(super) fn unloadable(reason: String) -> LoadError {
    LoadError::Unloadable { reason }
}

/// What another attempt may change.
pub(super) fn failed(reason: String) -> LoadError {
    LoadError::Failed { reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clowder_core::testing::tiny_gguf;
    use std::io::Write;

    fn checked(bytes: &[u8]) -> Result<GgufFacts, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        check(file.path(), GgufKind::Model).map_err(|error| error.to_string())
    }

    #[test]
    fn a_whole_file_passes() {
        assert_eq!(checked(&tiny_gguf(1)).unwrap().architecture, "llama");
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let whole = tiny_gguf(1);
        for length in [0, 3, 40, 200, whole.len() - 1] {
            let error = checked(&whole[..length]).unwrap_err();
            assert!(error.contains("cut off"), "{length}: {error}");
        }
    }

    #[test]
    fn what_is_no_model_is_refused() {
        assert!(checked(b"<html>not found</html>").unwrap_err().contains("no GGUF"));
        assert!(check(&std::env::temp_dir(), GgufKind::Model).unwrap_err().to_string().contains("no file"));
    }

    #[test]
    fn a_file_that_is_not_there_may_come_back() {
        let error = check(Path::new("/nonexistent/model.gguf"), GgufKind::Model).unwrap_err();
        assert!(matches!(error, LoadError::Failed { .. }));
        assert!(error.to_string().contains("/nonexistent/model.gguf cannot be read"), "{error}");
    }
}
