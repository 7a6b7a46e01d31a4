//! `clowder-runtime`: one model behind an OpenAI-compatible server.

use clap::Parser;
use clowder_core::chain;
use clowder_runtime::args::WorkerArgs;
use clowder_runtime::worker;
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Serves one model with llama.cpp behind an OpenAI-compatible API
///
/// Every option may be given as an environment variable instead; a flag goes before it. RUST_LOG sets what is logged.
#[derive(Parser)]
#[command(name = "clowder-runtime", version)]
struct Cli {
    #[command(flatten)]
    worker: WorkerArgs,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,llama.cpp=error"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
    match serve(cli.worker) {
        Ok(()) => ExitCode::SUCCESS,
        Err((message, code)) => {
            eprintln!("clowder-runtime: {message}");
            ExitCode::from(code)
        }
    }
}

fn serve(args: WorkerArgs) -> Result<(), (String, u8)> {
    let options = args.options().map_err(|error| (chain(&error), 2))?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| (chain(&error), 1))?;
    let outcome = runtime.block_on(Box::pin(worker::run(options)));
    outcome.map_err(|error| (chain(&error), error.exit_code()))
}
