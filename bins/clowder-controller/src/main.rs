//! `clowder-controller`: the controller of a cluster.

mod crds;
mod demand;
mod error;
mod health;
mod leadership;
mod machines;
mod metrics;
mod run;
mod tokens;

use clap::{Parser, Subcommand};
use clowder_core::chain;
use error::Error;
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Places, runs, scales and repairs the models of a Kubernetes cluster
///
/// Finds the cluster as kubectl does, or through its service account. RUST_LOG sets what is logged.
#[derive(Debug, Parser)]
#[command(name = "clowder-controller", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::Run>),
    CreateTokens(tokens::CreateTokens),
    Crds(crds::Crds),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
    let runtime = tokio::runtime::Runtime::new().map_err(Error::starting("the runtime"));
    let outcome = runtime.and_then(|runtime| match cli.command {
        Command::Run(run) => runtime.block_on(run.run()),
        Command::CreateTokens(create) => runtime.block_on(create.run()),
        Command::Crds(crds) => crds.run(),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("clowder-controller: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }
}
