//! The `clowder` command: a whole engine on one machine, and the client of one anywhere.

mod cli;
mod client;
mod commands;
mod config;
mod context;
mod exit;
mod home;
mod names;
mod output;
mod progress;
mod replicas;
mod serve;
mod sizes;
mod sse;

use crate::cli::{Cli, Command};
use crate::context::Context;
use crate::exit::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()).and_then(start) {
        Ok(code) => code,
        Err(error) => error.report(),
    }
}

fn start(cli: Cli) -> Result<ExitCode, Error> {
    match cli.command {
        Command::Worker(args) => commands::worker::run(*args, cli.global.log.as_deref()),
        Command::Completions(args) => commands::completions::run(&args).map(|()| ExitCode::SUCCESS),
        command => {
            let context = Context::new(cli.global, command.log_filter())?;
            let runtime = tokio::runtime::Runtime::new().map_err(Error::file("starting the threads"))?;
            let result = runtime.block_on(dispatch(command, context));
            // A read of standard input may still wait for a key; nobody waits for it.
            runtime.shutdown_background();
            result.map(|()| ExitCode::SUCCESS)
        }
    }
}

async fn dispatch(command: Command, context: Context) -> Result<(), Error> {
    match command {
        Command::Serve(args) => commands::serve::run(*args, context).await,
        Command::Run(args) => commands::run::run(args, context).await,
        Command::Pull(args) => commands::pull::run(args, context).await,
        Command::List(args) => commands::list::run(args, context).await,
        Command::Ps(args) => commands::ps::run(args, context).await,
        Command::Deploy(args) => commands::deploy::run(*args, context).await,
        Command::Scale(args) => commands::scale::run(args, context).await,
        Command::Rm(args) => commands::rm::run(args, context).await,
        Command::Logs(args) => commands::logs::run(args, context).await,
        Command::Status => commands::status::run(context).await,
        Command::Nodes => commands::nodes::run(context).await,
        Command::Bench(args) => commands::bench::run(args, context).await,
        Command::Worker(_) | Command::Completions(_) => Ok(()),
    }
}
