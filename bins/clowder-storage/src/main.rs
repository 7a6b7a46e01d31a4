//! The storage manager of a node: a cache of models and its REST API.

mod fetch;
mod serve;
mod token;

use clap::{Parser, Subcommand};
use clowder_core::chain;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// An error of any kind, on its way to the terminal.
type BoxError = Box<dyn std::error::Error>;

/// Keeps the models of a node: fetches them once, verifies them, and tells where they are.
///
/// HF_TOKEN and HF_ENDPOINT are heeded for hf:// URLs. A token for callers comes from CLOWDER_STORAGE_TOKEN or a file; it is
/// needed where other machines reach the address.
#[derive(Debug, Parser)]
#[command(name = "clowder-storage", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Serve,
    /// How much to tell: 0, 1 or 2 [default: 0; also VERBOSE]
    #[arg(short, long, value_name = "LEVEL", env = "CLOWDER_VERBOSE", num_args = 0..=1, default_missing_value = "1",
          value_parser = clap::value_parser!(u8).range(0..=2), global = true)]
    verbose: Option<u8>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Fetch(fetch::Fetch),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let original = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let verbosity = cli.verbose.or_else(|| original("VERBOSE")?.to_str()?.parse().ok()).unwrap_or(0);
    let filter = match verbosity {
        0 => "info",
        1 => "info,clowder_storage=debug,clowder_core=debug",
        _ => "debug,clowder_storage=trace,clowder_core=trace",
    };
    let ansi = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_writer(std::io::stderr);
    log.with_ansi(ansi).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match cli.command {
        Some(Command::Fetch(fetch)) => runtime.block_on(fetch.run()),
        None => match runtime.block_on(cli.serve.run()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(error.as_ref()),
        },
    }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    eprintln!("clowder-storage: {}", chain(error));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
        assert_eq!(Cli::parse_from(["clowder-storage", "-v"]).verbose, Some(1));
        assert_eq!(Cli::parse_from(["clowder-storage", "-v2"]).verbose, Some(2));
    }
}
