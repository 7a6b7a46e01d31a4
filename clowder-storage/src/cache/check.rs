//! Is this a model? Asked of every file before it gets its name: a cut-off download and a sign-in page look like files.

use clowder_core::gguf::{GgufError, GgufFacts, Header};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

const FIRST_READ: u64 = 1 << 20;

/// Why a file was not let in.
pub(super) enum Refusal {
    Unreadable(io::Error),
    Gguf(GgufError),
}

/// A file named `.gguf`, or that begins as one, must be a whole one; others must not be a web page.
pub(super) fn is_model(path: &Path, name: &str) -> Result<(), Refusal> {
    let mut file = File::open(path).map_err(Refusal::Unreadable)?;
    let size = file.metadata().map_err(Refusal::Unreadable)?.len();
    let mut bytes = Vec::new();
    let mut wanted = FIRST_READ;
    loop {
        file.by_ref().take(wanted - bytes.len() as u64).read_to_end(&mut bytes).map_err(Refusal::Unreadable)?;
        let claims_to_be = name.to_ascii_lowercase().ends_with(".gguf") || bytes.starts_with(b"GGUF");
        if !claims_to_be && !is_web_page(&bytes) {
            return Ok(());
        }
        match GgufFacts::parse(&bytes) {
            Ok(Header::Whole(facts)) => return facts.check_size(size).map_err(Refusal::Gguf),
            // Adapters, projectors and later parts of a split model lack what a model has.
            Err(GgufError::Missing { .. } | GgufError::OtherKind { .. }) => return Ok(()),
            Err(error) => return Err(Refusal::Gguf(error)),
            Ok(Header::Short) if (bytes.len() as u64) < wanted => {
                return Err(Refusal::Gguf(GgufError::Truncated { needed: size + 1, actual: size }));
            }
            Ok(Header::Short) => wanted *= 2,
        }
    }
}

fn is_web_page(bytes: &[u8]) -> bool {
    let start: Vec<u8> = bytes.iter().skip_while(|byte| byte.is_ascii_whitespace()).take(14).copied().collect();
    let start = start.to_ascii_lowercase();
    start.starts_with(b"<!doctype html") || start.starts_with(b"<html")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clowder_core::testing::tiny_gguf;

    fn check(name: &str, bytes: &[u8]) -> Result<(), Option<GgufError>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, bytes).unwrap();
        is_model(&path, name).map_err(|refusal| match refusal {
            Refusal::Gguf(error) => Some(error),
            Refusal::Unreadable(_) => None,
        })
    }

    #[test]
    fn whole_models_pass_and_others_are_named() {
        let model = tiny_gguf(1);
        assert_eq!(check("m.gguf", &model), Ok(()));
        assert_eq!(check("download", &model), Ok(()));
        assert_eq!(check("adapter.bin", b"anything"), Ok(()));
        let page = b"\n<!DOCTYPE html><title>Sign in</title>";
        assert!(matches!(check("m.gguf", page), Err(Some(GgufError::NotGguf { .. }))));
        assert!(matches!(check("download", page), Err(Some(GgufError::NotGguf { .. }))));
        assert!(matches!(check("m.gguf", &model[..model.len() - 1]), Err(Some(GgufError::Truncated { .. }))));
        assert!(matches!(check("download", &model[..40]), Err(Some(GgufError::Truncated { .. }))));
        assert!(matches!(check("m.gguf", b""), Err(Some(_))));
    }
}
