//! How YAML is written here.

use clowder_core::BoxError;
use serde::Serialize;

/// The value, with each text on one line unless it has several itself: a folded one is hard to read, and to search for.
pub(super) fn written<T: Serialize>(value: &T) -> Result<String, BoxError> {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    Ok(serde_saphyr::to_string_with_options(value, options)?)
}
