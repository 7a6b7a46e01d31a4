//! The end of a process in words.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// The longest line of a log that is quoted in a reason, in characters.
const LONGEST_QUOTE: usize = 300;

/// Words of log lines that say why a process ended, the most telling first.
const TELLING: [&[&str]; 2] = [
    &["out of memory", "failed to allocate", "cannot allocate", "bad_alloc", "unable to allocate"],
    &["panicked", "assert", "error", "fatal", "failed", "exception", "abort", "unable to", "cannot "],
];

/// What ended a process, with what its last lines say about it: `killed by signal 9 (SIGKILL)`, `exit code 1: no such file`.
pub(super) fn describe(status: ExitStatus, last_lines: &[String]) -> String {
    let quote = telling_line(last_lines);
    let said = |what: String| match &quote {
        Some(quote) => format!("{what}: {quote}"),
        None => what,
    };
    match (status.signal(), status.code()) {
        (Some(signal), _) => {
            let named = match signal_name(signal) {
                Some(name) => format!("killed by signal {signal} ({name})"),
                None => format!("killed by signal {signal}"),
            };
            match (&quote, signal_hint(signal)) {
                (None, Some(hint)) => format!("{named}; {hint}"),
                _ => said(named),
            }
        }
        (None, Some(0)) => "it ended by itself (exit code 0)".to_owned(),
        (None, Some(code)) => said(format!("exit code {code}")),
        (None, None) => said("it ended".to_owned()),
    }
}

/// The last of the lines that tells most about why a process ended.
pub(super) fn telling_line(lines: &[String]) -> Option<String> {
    let tells = |line: &str, words: &[&str]| {
        let line = line.to_ascii_lowercase();
        words.iter().any(|word| line.contains(word))
    };
    let line = TELLING.iter().find_map(|words| lines.iter().rev().find(|line| tells(line, words)))?;
    Some(quoted(line))
}

/// A text as part of a reason: one line, safe to show, and not too long.
pub(super) fn quoted(text: &str) -> String {
    let showable = |c: char| match c {
        c if c.is_whitespace() => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    let mut chars = text.trim().chars().map(showable);
    let mut quote: String = chars.by_ref().take(LONGEST_QUOTE).collect();
    if chars.next().is_some() {
        quote.push('…');
    }
    quote
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        #[cfg(target_os = "linux")]
        7 => "SIGBUS",
        #[cfg(target_os = "linux")]
        31 => "SIGSYS",
        _ => return None,
    })
}

fn signal_hint(signal: i32) -> Option<&'static str> {
    match signal {
        4 => Some("the program was built for another kind of processor"),
        9 => Some("if nobody did that, the system ran out of memory"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    fn exited(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    #[test]
    fn signals_have_names() {
        let killed = |signal| describe(ExitStatus::from_raw(signal), &[]);
        assert!(killed(9).starts_with("killed by signal 9 (SIGKILL); if nobody"));
        assert_eq!(killed(11), "killed by signal 11 (SIGSEGV)");
        assert_eq!(killed(40), "killed by signal 40");
    }

    #[test]
    fn the_log_says_why() {
        let log = lines(&["loading", "ggml: failed to allocate buffer of 9 GiB", "error: no context", "bye"]);
        assert_eq!(describe(exited(1), &log), "exit code 1: ggml: failed to allocate buffer of 9 GiB");
        assert_eq!(describe(exited(1), &log[2..]), "exit code 1: error: no context");
        assert_eq!(describe(exited(2), &lines(&["loading"])), "exit code 2");
        let aborted = describe(ExitStatus::from_raw(6), &lines(&["GGML_ASSERT(n > 0) failed"]));
        assert_eq!(aborted, "killed by signal 6 (SIGABRT): GGML_ASSERT(n > 0) failed");
    }

    #[test]
    fn an_end_without_a_failure_is_one_too() {
        assert_eq!(describe(exited(0), &lines(&["error: none"])), "it ended by itself (exit code 0)");
    }

    #[test]
    fn quotes_are_short_and_safe() {
        assert_eq!(quoted(&"ä".repeat(400)).chars().count(), LONGEST_QUOTE + 1);
        assert_eq!(quoted("  x\ny\u{1b}[1m "), "x y\u{fffd}[1m");
    }
}
