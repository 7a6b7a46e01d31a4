//! What the controller itself does.

use super::Switch;
use std::path::PathBuf;
use std::str::FromStr;

/// What the controller itself does.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The controller")]
pub(crate) struct ControllerFlags {
    /// Where the kubeconfig of the cluster is written [default: ~/.kube/oxide-controller-config]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Whether a kubeconfig of something else that is there is overwritten
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) kubeconfig_overwrite: Switch,
    /// Folder of what must not be lost, the cluster's secrets first of all [default: oxide-controller in the state folder
    /// of the user: XDG_STATE_HOME, or ~/.local/state]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Secret of the cluster that holds the same once the cluster is up
    #[arg(long, value_name = "NAME", default_value = "oxide-controller-secret")]
    pub(crate) control_plane_secret: String,
    /// The namespace of that Secret and of the controller in the cluster
    #[arg(long, value_name = "NAME", default_value = "oxide-controller-system")]
    pub(crate) control_plane_namespace: String,
    /// How much is told on standard error: 0 is what happens, 1 is why, 2 is every call
    #[arg(short, long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) verbose: u8,
    /// Where the REST API listens, as HOST:PORT or :PORT; all calls but /health bear a token (docs/oxide.md)
    #[arg(long, value_name = "ADDRESS", default_value = ":8080")]
    pub(crate) address: String,
    /// Whether to go on here rather than in the cluster
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) no_pivot: Switch,
    /// Whether it runs in the cluster that it keeps; the chart says so
    #[arg(
        long,
        value_name = "BOOL",
        default_value = "false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub(crate) in_cluster: Switch,
    /// Image of the controller for its move into the cluster; without one it goes on here
    #[arg(long, value_name = "IMAGE")]
    pub(crate) controller_oci_image: Option<ControllerImage>,
    /// How often all is looked at anew, in minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1440))]
    pub(crate) control_loop_mins: u64,
    /// Print what would be done, do nothing, and end
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", conflicts_with = "destroy")]
    pub(crate) dry_run: Switch,
    /// Delete the cluster of this name and all that belongs to it, and end; it must be that of --cluster-name
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) destroy: Option<String>,
}

/// An image that the cluster can pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ControllerImage(String);

/// What is no image for a cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidImage {
    #[error(
        "dev: images are not taken: the machines of the cluster pull from a registry, so push the program's image to one \
         and name that, or go on here with --no-pivot"
    )]
    Development,
    #[error("an image is written as REPOSITORY:TAG or REPOSITORY@DIGEST")]
    Spelling,
}

impl ControllerImage {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ControllerImage {
    type Err = InvalidImage;

    fn from_str(text: &str) -> Result<Self, InvalidImage> {
        if text.starts_with("dev:") {
            return Err(InvalidImage::Development);
        }
        let name = text.rsplit('/').next().unwrap_or_default();
        let is_pinned =
            [':', '@'].iter().any(|mark| name.split_once(*mark).is_some_and(|(a, b)| !a.is_empty() && !b.is_empty()));
        let is_spelled = text.len() <= 512 && text.chars().all(|c| c.is_ascii_alphanumeric() || "/:@._-".contains(c));
        if is_pinned && is_spelled { Ok(Self(text.to_owned())) } else { Err(InvalidImage::Spelling) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_pinned_and_come_from_a_registry() {
        for good in ["clowder:1", "example.com:5000/a/clowder:1.2", "a/clowder@sha256:00"] {
            assert_eq!(good.parse::<ControllerImage>().unwrap().as_str(), good);
        }
        for bad in ["", "clowder", "example.com:5000/clowder", "clowder:", "a b:1", "clowder:1;x"] {
            assert!(matches!(bad.parse::<ControllerImage>(), Err(InvalidImage::Spelling)), "{bad}");
        }
        let error = "dev:/x:linux/amd64".parse::<ControllerImage>().unwrap_err();
        assert!(error.to_string().contains("--no-pivot"), "{error}");
    }
}
