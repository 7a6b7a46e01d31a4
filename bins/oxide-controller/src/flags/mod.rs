//! The command line, as it is typed. Every flag of the original is here, and each is read from the environment, too.

mod bootstrap;
mod cluster;
mod controller;
mod machines;
mod rack;
mod switch;
mod value;

pub(crate) use bootstrap::BootstrapFlags;
pub(crate) use cluster::ClusterFlags;
pub(crate) use controller::{ControllerFlags, ControllerImage};
pub(crate) use machines::{ControlPlaneFlags, DEFAULT_IMAGE, DEFAULT_IMAGE_SOURCE, WorkerFlags};
pub(crate) use rack::RackFlags;
pub(crate) use switch::Switch;
pub(crate) use value::{Value, ValueError};

use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches, Parser};
use std::ffi::OsString;

/// From an empty project of an Oxide rack to a running Clowder cluster, and back down
///
/// Makes machines, turns them into a Kubernetes cluster, writes a kubeconfig for it, and keeps it as it should be. Run it
/// again at any time: it goes on from whatever is there. docs/oxide.md of the repository walks through it.
#[derive(Debug, Parser)]
#[command(name = "oxide-controller", version, max_term_width = 120)]
pub(crate) struct Flags {
    #[command(flatten)]
    pub(crate) rack: RackFlags,
    #[command(flatten)]
    pub(crate) cluster: ClusterFlags,
    #[command(flatten)]
    pub(crate) control_plane: ControlPlaneFlags,
    #[command(flatten)]
    pub(crate) worker: WorkerFlags,
    #[command(flatten)]
    pub(crate) bootstrap: BootstrapFlags,
    #[command(flatten)]
    pub(crate) controller: ControllerFlags,
}

/// What of a variable's name stands before the flag's.
const ENVIRONMENT: &str = "CLOWDER_OXIDE";

/// The parser, with the name of each flag's environment variable: `CLOWDER_OXIDE_WORKER_COUNT`; the `oxide-` with which
/// some flags begin is not said twice.
pub(crate) fn command() -> Command {
    Flags::command().mut_args(|arg: Arg| match arg.get_long() {
        Some("help" | "version") | None => arg,
        Some(long) => {
            let name = long.strip_prefix("oxide-").unwrap_or(long);
            let variable = format!("{ENVIRONMENT}_{name}").to_uppercase().replace('-', "_");
            arg.env(variable).hide_env_values(true)
        }
    })
}

/// What was typed, and how.
#[derive(Debug)]
pub(crate) struct Typed {
    pub(crate) flags: Flags,
    matches: ArgMatches,
}

impl Typed {
    /// Reads a command line; ends the program where it asks for help or is not understood.
    pub(crate) fn read(args: impl IntoIterator<Item = OsString>) -> Self {
        Self::try_read(args).unwrap_or_else(|error| error.exit())
    }

    fn try_read(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = command().try_get_matches_from(args)?;
        let flags = Flags::from_arg_matches(&matches)?;
        Ok(Self { flags, matches })
    }

    /// Whether somebody gave this flag a value, rather than leaving it at its default.
    pub(crate) fn is_given(&self, flag: &str) -> bool {
        use clap::parser::ValueSource::{CommandLine, EnvVariable};
        matches!(self.matches.value_source(&flag.replace('-', "_")), Some(CommandLine | EnvVariable))
    }

    /// All flags that were given and are not among `without`, as `--flag=value`, for another process that shall do the same.
    pub(crate) fn given(&self, without: &[&str]) -> Vec<String> {
        let command = command();
        let longs = command.get_arguments().filter_map(Arg::get_long);
        let mut given = Vec::new();
        for long in longs.filter(|long| !without.contains(long) && self.is_given(long)) {
            let values = self.matches.get_raw(&long.replace('-', "_")).into_iter().flatten();
            given.extend(values.map(|value| format!("--{long}={}", value.to_string_lossy())));
        }
        given
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A command line of these words, or clap's message.
    pub(crate) fn typed(words: &str) -> Result<Typed, String> {
        let words = std::iter::once("oxide-controller").chain(words.split_whitespace()).map(OsString::from);
        Typed::try_read(words).map_err(|error| error.to_string())
    }

    #[test]
    fn the_flags_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn help() {
        let page = command().term_width(120).render_long_help();
        insta::assert_snapshot!(page.to_string());
    }

    #[test]
    fn flags_are_spelled_as_the_original_takes_them() {
        let all = typed(
            "--cluster-project clowder --oxide-api-url https://mycoolexidehost.com --control-plane-root-disk-size 16 \
             --control-plane-external-ip=false --worker-count 1 --worker-external-ip --no-pivot -v1 \
             --tailscale-auth-key file:ts-auth.key",
        )
        .unwrap();
        assert_eq!(all.flags.cluster.cluster_project, "clowder");
        assert_eq!(all.flags.control_plane.root_disk_size, 16);
        assert!(!all.flags.control_plane.external_ip.is_on());
        assert!(all.flags.worker.external_ip.is_on());
        assert!(all.flags.controller.no_pivot.is_on());
        assert_eq!(all.flags.controller.verbose, 1);
        for verbosity in ["-v 2", "-v=2", "--verbose 2", "--verbose=2"] {
            assert_eq!(typed(verbosity).unwrap().flags.controller.verbose, 2, "{verbosity}");
        }
        for off in ["--no-pivot=false", "--no-pivot=0", "--no-pivot=F", ""] {
            assert!(!typed(off).unwrap().flags.controller.no_pivot.is_on(), "{off}");
        }
        assert!(typed("-v3").unwrap_err().contains("0..=2"));
        assert!(typed("--no-pivot=perhaps").unwrap_err().contains("true or false"));
    }

    #[test]
    fn another_process_is_told_what_was_given_and_nothing_else() {
        let all =
            typed("--worker-count 3 --worker-memory=8 --oxide-token t --control-plane-external-ip=false").unwrap();
        let given = all.given(&["oxide-token"]);
        assert_eq!(given, ["--control-plane-external-ip=false", "--worker-count=3", "--worker-memory=8"]);
        assert!(all.is_given("worker-count") && !all.is_given("worker-cpu"));
        let again = typed(&given.join(" ")).unwrap();
        assert_eq!(again.flags.worker.memory, 8);
    }
}
