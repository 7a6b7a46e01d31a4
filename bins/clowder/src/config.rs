//! Options from the environment and from a TOML file, laid under the command line.
//!
//! Both are defaults of the options themselves, so that one parser reads all of them, with the same checks and messages:
//! clap takes the command line first, the environment next, and a default last. The file becomes the default.

use crate::exit::Error;
use crate::home::Home;
use clap::parser::ValueSource;
use clap::{Arg, Command};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The largest configuration file read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Gives every option the name of its environment variable: `CLOWDER_OPTION`, or `CLOWDER_COMMAND_OPTION` for those of a
/// command.
pub(crate) fn with_environment(command: Command) -> Command {
    let name = |prefix: &str, arg: Arg| match arg.get_long() {
        Some(long) => {
            let variable = format!("{prefix}_{long}").to_uppercase().replace('-', "_");
            arg.env(variable).hide_env_values(true)
        }
        None => arg,
    };
    command.mut_args(|arg| name("CLOWDER", arg)).mut_subcommands(|sub| {
        // Workers get all they need from their parent; the environment they inherit is not meant for them.
        if sub.is_hide_set() {
            return sub;
        }
        let prefix = format!("CLOWDER_{}", sub.get_name());
        sub.mut_args(|arg| name(&prefix, arg))
    })
}

/// Lays the configuration file, if there is one, under the options.
pub(crate) fn with_file(command: Command, args: &[OsString]) -> Result<Command, Error> {
    let Some((path, text)) = read(&command, args)? else { return Ok(command) };
    let unusable = |why: String| Error::usage(format!("{}: {why}", path.display()));
    let table: toml::Table =
        text.parse().map_err(|e: toml::de::Error| unusable(e.message().to_owned() + &at_line(&text, e.span())))?;
    apply(command, table).map_err(unusable)
}

fn at_line(text: &str, span: Option<std::ops::Range<usize>>) -> String {
    match span.and_then(|span| text.get(..span.start)) {
        Some(before) => format!(" in line {}", before.lines().count().max(1)),
        None => String::new(),
    }
}

/// The file's place and text. The place depends on options that are not read yet, so they are read ahead, everything else
/// ignored.
fn read(command: &Command, args: &[OsString]) -> Result<Option<(PathBuf, String)>, Error> {
    let Ok(matches) = command.clone().ignore_errors(true).try_get_matches_from(args) else { return Ok(None) };
    let mut innermost = &matches;
    while let Some((_, sub)) = innermost.subcommand() {
        innermost = sub;
    }
    let given = |id: &str| match innermost.value_source(id) {
        Some(ValueSource::DefaultValue) | None => None,
        Some(_) => innermost.get_one::<PathBuf>(id).cloned(),
    };
    let named = given("config");
    let path = match &named {
        Some(path) => path.clone(),
        None => Home::new(given("home"))?.config(),
    };
    match bounded(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(e) if named.is_none() && e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::usage(format!("configuration file {}: {e}", path.display()))),
    }
}

fn bounded(path: &Path) -> std::io::Result<String> {
    if std::fs::metadata(path)?.len() > MAX_BYTES {
        return Err(std::io::Error::other(format!("more than {MAX_BYTES} bytes")));
    }
    std::fs::read_to_string(path)
}

/// Makes the values of the table defaults of the command's options.
fn apply(mut command: Command, table: toml::Table) -> Result<Command, String> {
    for (key, value) in table {
        match value {
            toml::Value::Table(options) => {
                let known = command.find_subcommand(&key).is_some_and(|sub| !sub.is_hide_set());
                if !known {
                    return Err(format!("there is no command {key:?} for the table [{key}]"));
                }
                for (option, value) in options {
                    let place = format!("[{key}] {option}");
                    let sub = command.find_subcommand(&key).ok_or_else(|| place.clone())?;
                    let id = option_id(sub, &option).ok_or_else(|| unknown(&place))?;
                    let values = texts(&place, value)?;
                    command = command.mut_subcommand(&key, |sub| sub.mut_arg(id, |arg| arg.default_values(values)));
                }
            }
            value => {
                let id = option_id(&command, &key).ok_or_else(|| unknown(&key))?;
                let values = texts(&key, value)?;
                command = command.mut_arg(id, |arg| arg.default_values(values));
            }
        }
    }
    Ok(command)
}

fn unknown(place: &str) -> String {
    format!("{place} is no option: `clowder COMMAND --help` lists them (written without the leading --)")
}

/// The option of that name; `_` may stand for `-`.
fn option_id(command: &Command, name: &str) -> Option<String> {
    let long = name.replace('_', "-");
    let arg = command.get_arguments().find(|arg| arg.get_long() == Some(&long))?;
    // Where the file is cannot stand in the file.
    (!matches!(long.as_str(), "config" | "home" | "help" | "version")).then(|| arg.get_id().to_string())
}

fn texts(place: &str, value: toml::Value) -> Result<Vec<String>, String> {
    match value {
        toml::Value::String(text) => Ok(vec![text]),
        toml::Value::Integer(number) => Ok(vec![number.to_string()]),
        toml::Value::Float(number) => Ok(vec![number.to_string()]),
        toml::Value::Boolean(yes) => Ok(vec![yes.to_string()]),
        toml::Value::Array(values) => {
            values.into_iter().map(|value| texts(place, value)).collect::<Result<Vec<_>, _>>().map(|v| v.concat())
        }
        _ => Err(format!("{place} should be a text, a number, true or false, or a list of those")),
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::{Cli, Command, command};
    use clap::FromArgMatches;

    fn parse(toml: &str, args: &[&str]) -> Result<Cli, String> {
        let command = super::apply(command(), toml.parse().map_err(|e| format!("{e}"))?)?;
        let matches = command.try_get_matches_from(args).map_err(|e| e.to_string())?;
        Cli::from_arg_matches(&matches).map_err(|e| e.to_string())
    }

    #[test]
    fn the_file_lies_under_the_command_line() {
        let toml = "server = \"http://10.0.0.1:3090\"\njson = true\n[bench]\nconcurrency = 7\nmax_tokens = 9";
        let cli = parse(toml, &["clowder", "bench", "--max-tokens", "3"]).unwrap();
        assert_eq!(cli.global.server.as_deref(), Some("http://10.0.0.1:3090"));
        assert!(cli.global.json);
        let Command::Bench(bench) = cli.command else { panic!() };
        assert_eq!((bench.concurrency, bench.max_tokens), (7, 3));
    }

    #[test]
    fn what_is_no_option_is_refused_by_name() {
        assert!(parse("[bench]\nconcurency = 7", &["clowder", "status"]).unwrap_err().contains("[bench] concurency"));
        assert!(parse("[brench]\nx = 7", &["clowder", "status"]).unwrap_err().contains("[brench]"));
        assert!(parse("home = \"/x\"", &["clowder", "status"]).unwrap_err().contains("home is no option"));
        assert!(parse("[bench]\nconcurrency = 0", &["clowder", "bench"]).unwrap_err().contains("concurrency"));
    }
}
