//! The command line: what can be typed.

use crate::commands::{bench, completions, deploy, list, logs, ps, pull, rm, run, scale, serve};
use crate::config;
use crate::exit::{EXIT_CODES, Error};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clowder_runtime::args::WorkerArgs;
use std::ffi::OsString;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Two commands to a chat:
  clowder run kitten                         the bundled model, no server needed
  clowder run hf://OWNER/REPO:Q4_K_M         any GGUF of the Hugging Face hub

A server:
  clowder serve                              OpenAI API at http://127.0.0.1:3090/v1
  clowder deploy hf://OWNER/REPO:Q4_K_M --name chat --replicas 2
  clowder ps";

const PRECEDENCE: &str = "\
Every option may be set in four places; the first that has it wins:
  1. the command line    clowder serve --address 127.0.0.1:4000
  2. the environment     CLOWDER_SERVE_ADDRESS=127.0.0.1:4000 clowder serve
                         CLOWDER_COMMAND_OPTION, or CLOWDER_OPTION for the global ones
  3. a TOML file         [serve]
                         address = \"127.0.0.1:4000\"
                         HOME/config.toml or --config FILE, a table for each command
  4. the default
Secrets never stand on the command line: options name files, or CLOWDER_ADMIN_TOKEN (operational API),
CLOWDER_API_KEY (chats, where the server asks for a key) and CLOWDER_CREDENTIALS (a model's source) hold them.";

/// A distributed engine for generative AI on your own machines: one OpenAI-compatible API in front of many workers.
#[derive(Debug, Parser)]
#[command(
    name = "clowder",
    version,
    arg_required_else_help = true,
    after_help = format!("{EXAMPLES}\n\n{PRECEDENCE}\n\n{EXIT_CODES}")
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of all commands.
#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// The server to talk to [default: the one that runs on HOME, or else http://127.0.0.1:3090]
    #[arg(long, global = true, value_name = "URL", help_heading = "Global options")]
    pub(crate) server: Option<String>,
    /// Print JSON, for programs
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// The folder of all that is kept [default: $XDG_DATA_HOME/clowder or ~/.local/share/clowder]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub(crate) home: Option<PathBuf>,
    /// A file whose first line is the admin token; CLOWDER_ADMIN_TOKEN holds the token itself [default: HOME/admin.token]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub(crate) token_file: Option<PathBuf>,
    /// The file of options [default: HOME/config.toml]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub(crate) config: Option<PathBuf>,
    /// What is logged to standard error: off, error, warn, info, debug, trace, or a filter such as clowder_balancer=debug
    #[arg(long, global = true, value_name = "FILTER", help_heading = "Global options")]
    pub(crate) log: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve models on this machine: the gateway here, each worker in a process of its own
    Serve(Box<serve::ServeArgs>),
    /// Chat with a model in the terminal, or answer one question
    Run(run::RunArgs),
    /// Fetch a model into this machine's cache
    Pull(pull::PullArgs),
    /// List the models in this machine's cache
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    /// Show models and their workers
    Ps(ps::PsArgs),
    /// Serve a model: record it, and wait until it answers
    Deploy(Box<deploy::DeployArgs>),
    /// Change how many workers serve a model
    Scale(scale::ScaleArgs),
    /// Stop serving a model, or remove one from the cache
    Rm(rm::RmArgs),
    /// Print what workers wrote
    Logs(logs::LogsArgs),
    /// Show how the server fares
    Status,
    /// Show the machines that workers run on
    Nodes,
    /// Measure a model under load
    Bench(bench::BenchArgs),
    /// Print the completion script of a shell
    Completions(completions::CompletionsArgs),
    /// Serve one model in this process; started by `serve`
    #[command(hide = true)]
    Worker(Box<WorkerArgs>),
}

impl Command {
    /// What is logged where nobody says otherwise.
    pub(crate) fn log_filter(&self) -> &'static str {
        match self {
            Self::Serve(_) => "info",
            _ => "error",
        }
    }
}

/// The command with the environment's names on its options.
pub(crate) fn command() -> clap::Command {
    config::with_environment(Cli::command())
}

/// Reads the command line, the environment and the configuration file.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, Error> {
    let args: Vec<OsString> = args.into_iter().collect();
    let command = config::with_file(command(), &args)?;
    let matches = command.try_get_matches_from(args)?;
    Ok(Cli::from_arg_matches(&matches)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn no_option_takes_a_secret_itself() {
        for sub in command().get_subcommands() {
            for long in sub.get_arguments().filter_map(|arg| arg.get_long()) {
                let secret = ["token", "key", "credentials", "password"].iter().any(|word| long.contains(word));
                let value = !long.ends_with("-file") && !long.ends_with("-type") && !long.contains("tokens");
                assert!(!(secret && value), "{} --{long}", sub.get_name());
            }
        }
    }

    /// What people read, whole: a change of it is a change of the contract.
    #[test]
    fn help() {
        let mut command = command().term_width(100);
        command.build();
        let mut text = command.render_long_help().to_string();
        for sub in command.get_subcommands_mut().filter(|sub| !sub.is_hide_set()) {
            text.push_str(&format!("\n=== {} ===\n{}", sub.get_name().to_owned(), sub.render_long_help()));
        }
        insta::assert_snapshot!(text);
    }
}
