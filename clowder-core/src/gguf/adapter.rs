//! The header of a LoRA adapter.

use super::reader::{self, Reader};
use super::{GgufError, Header, check_size};

/// What the header of a LoRA adapter tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdapterFacts {
    /// `general.architecture`: that of the model it was made for.
    pub architecture: String,
    /// Bytes of all its tensors.
    pub weight_bytes: u64,
    /// Bytes its file must have at least: header and tensors.
    pub file_bytes: u64,
}

impl AdapterFacts {
    /// Reads the first bytes of a file.
    ///
    /// # Errors
    /// [`GgufError`] as soon as the bytes given show that it is none.
    pub fn parse(bytes: &[u8]) -> Result<Header<Self>, GgufError> {
        reader::header(bytes, Reader::adapter)
    }

    /// Checks that a file of `actual` bytes holds all its header promises.
    ///
    /// # Errors
    /// [`GgufError::Truncated`].
    pub fn check_size(&self, actual: u64) -> Result<(), GgufError> {
        check_size(self.file_bytes, actual)
    }
}
