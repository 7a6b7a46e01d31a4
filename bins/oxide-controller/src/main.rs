//! `oxide-controller`: from an empty project of an Oxide rack to a running Clowder cluster, and back down.

mod api;
mod credentials;
mod files;
mod flags;
mod kubeconfig;
mod status;

use std::process::ExitCode;

fn main() -> ExitCode {
    let typed = flags::Typed::read(std::env::args_os());
    drop(typed);
    ExitCode::SUCCESS
}
