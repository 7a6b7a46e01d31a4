//! `clowder worker`: one model, served by this process. `serve` starts it; nobody types it.

use crate::context::start_log;
use crate::exit::Error;
use clowder_core::chain;
use clowder_runtime::args::WorkerArgs;
use clowder_runtime::worker::{self, WorkerError};
use std::process::ExitCode;

/// What a worker logs: its supervisor keeps it for `clowder logs`.
const LOG: &str = "info,llama.cpp=error";

/// Serves until standard input ends or `SIGTERM` comes. The exit code is the library's: its supervisor reads it.
pub(crate) fn run(args: WorkerArgs, log: Option<&str>) -> Result<ExitCode, Error> {
    start_log(log.unwrap_or(LOG))?;
    let options = args.options().map_err(|error| Error::usage(error.to_string()))?;
    let runtime = tokio::runtime::Runtime::new().map_err(Error::file("starting the threads"))?;
    match runtime.block_on(Box::pin(worker::run(options))) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Ok(failed(&error)),
    }
}

fn failed(error: &WorkerError) -> ExitCode {
    tracing::error!(error = %chain(error), "the worker has ended");
    ExitCode::from(error.exit_code())
}
