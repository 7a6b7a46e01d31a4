//! What ends the command early, and the exit code it ends with.

use clowder_core::BoxError;
use std::error::Error as _;
use std::process::ExitCode;

/// The exit codes, as `--help` prints them.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed: the message says why
  2    wrong usage: unknown option, value out of range, unreadable configuration
  3    no server answers
  4    the model, worker or file asked for does not exist
  5    the server refuses the token
  130  interrupted";

/// Causes printed below a message; the deeper ones repeat the same in the words of libraries.
const CAUSES: usize = 3;

/// Why a command did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// The command line or the configuration is not understood; clap words it.
    #[error("{0}")]
    CommandLine(#[from] clap::Error),
    /// A value that clap cannot judge.
    #[error("{message}")]
    Usage { message: String },
    /// Nothing listens, or what listens does not answer.
    #[error(
        "no server answers at {server}: start one with `clowder serve`, or name another with --server or CLOWDER_SERVER"
    )]
    Unreachable {
        server: String,
        #[source]
        source: BoxError,
    },
    /// The server, the cache or the disk has no such thing.
    #[error("{message}")]
    NotFound { message: String },
    /// The token is missing or wrong.
    #[error(
        "{server} refuses the admin token ({message}): name the right one with --token-file or CLOWDER_ADMIN_TOKEN; \
         `clowder serve` writes it to admin.token in its home folder"
    )]
    Denied { server: String, message: String },
    /// The server answered with an error of its own.
    #[error("{message}")]
    Refused { message: String },
    /// The connection broke while an answer came.
    #[error("the answer of {server} broke off")]
    BrokenOff {
        server: String,
        #[source]
        source: BoxError,
    },
    /// The server is something else than Clowder, or of another version.
    #[error("the answer of {server} is not understood: is it a Clowder server of this version?")]
    Foreign {
        server: String,
        #[source]
        source: BoxError,
    },
    /// A model does not come up.
    #[error("model {name} does not serve: {reason}")]
    ModelFailed { name: String, reason: String },
    /// A wait ended without the thing waited for.
    #[error("{what} for {waited}; it may still come: `clowder ps` shows how it fares")]
    TimedOut { what: String, waited: String },
    /// Reading or writing a file failed.
    #[error("{what} failed")]
    File {
        what: String,
        #[source]
        source: std::io::Error,
    },
    /// The model cache refused.
    #[error("the model cache refused")]
    Cache {
        #[source]
        source: BoxError,
    },
    /// The server of this machine did not start, or ended badly.
    #[error(transparent)]
    Serve(#[from] crate::serve::ServeError),
    /// All is said already; only the exit code is left.
    #[error("failed")]
    Reported,
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// Whoever read the output has gone (`clowder ps | head -1`).
    #[error("nobody reads the output")]
    OutputClosed,
}

impl Error {
    /// A wrong value.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into() }
    }

    /// Something that does not exist.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::NotFound { message: message.into() }
    }

    /// An operation on a file that failed: `what` names both.
    pub(crate) fn file(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::File { what, source }
    }

    fn code(&self) -> u8 {
        match self {
            Self::CommandLine(error) => error.exit_code().try_into().unwrap_or(2),
            Self::Usage { .. } => 2,
            Self::Unreachable { .. } => 3,
            Self::NotFound { .. } => 4,
            Self::Denied { .. } => 5,
            Self::Interrupted => 130,
            Self::OutputClosed => 0,
            _ => 1,
        }
    }

    /// Says what happened on standard error and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            // Help and version are "errors" of clap that go to standard output.
            Self::CommandLine(error) => drop(error.print()),
            Self::Reported | Self::Interrupted | Self::OutputClosed => {}
            _ => {
                eprintln!("error: {}", crate::output::printable(&self.to_string()));
                for cause in causes(self) {
                    eprintln!("  because: {}", crate::output::printable(&cause));
                }
            }
        }
        ExitCode::from(self.code())
    }
}

/// The causes of an error, those left out that only repeat what was said.
fn causes(error: &Error) -> Vec<String> {
    let mut said = error.to_string();
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next.filter(|_| causes.len() < CAUSES) {
        let text = cause.to_string();
        if !said.contains(&text) {
            said.push_str(&text);
            causes.push(text);
        }
        next = cause.source();
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Link(&'static str, #[source] Option<Box<Link>>);

    #[test]
    fn the_chain_is_short_and_repeats_nothing() {
        let chain = Link("a", Some(Box::new(Link("a", Some(Box::new(Link("b", None)))))));
        let error = Error::Cache { source: Box::new(Link("top", Some(Box::new(chain)))) };
        // "the model cache refused" contains "a" already.
        assert_eq!(causes(&error), ["top", "b"]);
    }
}
