//! `clowder completions`: the completion script of a shell.

use crate::cli;
use crate::exit::Error;
use crate::output::Output;
use clap_complete::Shell;

/// Options of `completions`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &CompletionsArgs) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::command(), "clowder", &mut script);
    Output::new(false).write(&String::from_utf8_lossy(&script))
}
