//! The end of a container in words.

use k8s_openapi::api::core::v1::ContainerStateTerminated;

/// The longest text of a container that is quoted, in characters.
const LONGEST_QUOTE: usize = 300;

/// What ended a container, with what it said about it: `exit code 1: no such file`, `killed by signal 9 (SIGKILL)`.
pub(super) fn describe(end: &ContainerStateTerminated) -> String {
    let said = end.message.as_deref().and_then(last_line);
    let with_quote = |what: String| match &said {
        Some(said) => format!("{what}: {said}"),
        None => what,
    };
    if end.reason.as_deref() == Some("OOMKilled") {
        return "killed because it took more memory than its container may: ask for fewer slots or a shorter context"
            .to_owned();
    }
    // A shell, a container runtime and Kubernetes alike tell a signal as 128 and its number.
    let signal = end.signal.filter(|signal| *signal > 0).or_else(|| match end.exit_code {
        code @ 129..=192 => Some(code - 128),
        _ => None,
    });
    match (signal, end.exit_code) {
        (Some(signal), _) => with_quote(match signal_name(signal) {
            Some(name) => format!("killed by signal {signal} ({name})"),
            None => format!("killed by signal {signal}"),
        }),
        (None, 0) => "it ended by itself (exit code 0)".to_owned(),
        (None, code) => with_quote(format!("exit code {code}")),
    }
}

/// What a container said last, which is what it ended of.
fn last_line(text: &str) -> Option<String> {
    text.lines().rev().map(quoted).find(|line| !line.is_empty())
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
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        31 => "SIGSYS",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(exit_code: i32, reason: &str, message: &str) -> String {
        describe(&ContainerStateTerminated {
            exit_code,
            reason: Some(reason.to_owned()),
            message: (!message.is_empty()).then(|| message.to_owned()),
            ..ContainerStateTerminated::default()
        })
    }

    #[test]
    fn ends_have_words() {
        assert_eq!(told(1, "Error", "loading\nno such file\n\n"), "exit code 1: no such file");
        assert_eq!(told(137, "Error", ""), "killed by signal 9 (SIGKILL)");
        assert_eq!(told(134, "Error", "assertion failed"), "killed by signal 6 (SIGABRT): assertion failed");
        assert_eq!(told(0, "Completed", "bye"), "it ended by itself (exit code 0)");
        assert_eq!(told(255, "Error", ""), "exit code 255");
        assert!(told(137, "OOMKilled", "").starts_with("killed because it took more memory"));
    }

    #[test]
    fn quotes_are_short_and_safe() {
        assert_eq!(quoted(&"ä".repeat(400)).chars().count(), LONGEST_QUOTE + 1);
        assert_eq!(quoted("  x\ny\u{1b}[1m "), "x y\u{fffd}[1m");
    }
}
