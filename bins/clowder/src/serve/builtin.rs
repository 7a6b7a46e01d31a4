//! The model that the program carries.

/// The names of `builtin:NAME`.
pub(crate) const NAMES: [&str; 1] = ["kitten"];

/// A tiny model that can talk about Clowder: it makes the first chat a matter of one command, and needs no network.
static KITTEN: &[u8] = include_bytes!("../../../../models/kitten/kitten.gguf");

/// The models by name.
pub(crate) fn models() -> [(&'static str, &'static [u8]); 1] {
    [(NAMES[0], KITTEN)]
}
