//! Which k3s machines run.

use super::artifact::Artifact;

/// The Kubernetes of all machines: one binary, and images where machines cannot pull them.
///
/// The default is the release that Clowder is tested for, fetched from where its makers publish it. Without access to the
/// Internet, give the same files from a mirror or from the image; the checksums stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct K3s {
    /// The binary, for x86-64.
    pub binary: Artifact,
    /// Archives of container images (`.tar`, `.tar.gz`, `.tar.zst`) that k3s loads when it starts: its own of the same
    /// release, Clowder's. Empty leaves it to pull them.
    pub images: Vec<Artifact>,
}

impl Default for K3s {
    /// v1.36.5+k3s1. The checksum is that of `k3s` in the release's `sha256sum-amd64.txt`.
    fn default() -> Self {
        let binary = Artifact::pinned(
            "https://github.com/k3s-io/k3s/releases/download/v1.36.5%2Bk3s1/k3s",
            "sha256:d73847bcd3c5fccef0115b372e2f9a91f3032dc84bbf71518a4617565294d313",
        );
        Self { binary, images: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_pinned() {
        let k3s = K3s::default();
        assert!(k3s.binary.source.is_fetched() && k3s.images.is_empty());
        assert_eq!(k3s.binary.source.file_name(), "k3s");
    }
}
