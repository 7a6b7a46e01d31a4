//! `oxide-controller`: from an empty project of an Oxide rack to a running Clowder cluster, and back down.

mod api;
mod cluster;
mod credentials;
mod endpoint;
mod error;
mod files;
mod flags;
mod kubeconfig;
mod pivot;
mod pools;
mod progress;
mod run;
mod settings;
mod state;

use clowder_core::chain;
use error::Error;
use flags::Typed;
use std::process::ExitCode;

fn main() -> ExitCode {
    let typed = Typed::read(std::env::args_os());
    progress::init(typed.flags.controller.verbose);
    let runtime = tokio::runtime::Runtime::new().map_err(Error::starting("the runtime"));
    match runtime.and_then(|runtime| runtime.block_on(run::run(typed))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("oxide-controller: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}
