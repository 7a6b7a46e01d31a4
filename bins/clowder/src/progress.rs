//! Progress on standard error: a bar where a person watches, a line for each change where not.

use crate::output::{self, Output};
use clowder_core::store::FetchProgress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// Shows how far something is.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    drawn: bool,
    quiet: bool,
    said: String,
}

impl Progress {
    /// Nothing is shown before the first call; a program that reads JSON gets no lines.
    pub(crate) fn new(output: Output) -> Self {
        let drawn = output.draws_progress();
        let target = if drawn { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bar: ProgressBar::with_draw_target(None, target), drawn, quiet: output.is_json(), said: String::new() }
    }

    /// Something without a measure is going on.
    pub(crate) fn say(&mut self, text: &str) {
        let text = output::printable(text);
        if self.said == text {
            return;
        }
        self.said = text.into_owned();
        if self.drawn {
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                self.bar.set_style(style);
            }
            self.bar.set_message(self.said.clone());
            self.bar.enable_steady_tick(Duration::from_millis(120));
        } else if !self.quiet {
            eprintln!("{}", self.said);
        }
    }

    /// Bytes are coming.
    pub(crate) fn fetch(&mut self, what: &str, progress: FetchProgress) {
        if !self.drawn {
            return self.say(&format!("{what}: fetching"));
        }
        let measure = match progress.total {
            Some(_) => "{msg} [{bar:28}] {bytes}/{total_bytes} {prefix}",
            None => "{spinner} {msg} {bytes} {prefix}",
        };
        if let Ok(style) = ProgressStyle::with_template(measure) {
            self.bar.set_style(style.progress_chars("=> "));
        }
        self.said.clear();
        match progress.total {
            Some(total) => self.bar.set_length(total),
            None => self.bar.unset_length(),
        }
        self.bar.set_message(output::printable(what).into_owned());
        self.bar.set_prefix(speed(progress));
        self.bar.set_position(progress.bytes);
    }

    /// Takes the bar off the screen.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

fn speed(progress: FetchProgress) -> String {
    let rate = format!("{}/s", output::bytes(progress.rate));
    match progress.eta_seconds() {
        Some(seconds) => format!("{rate} {} left", humantime::format_duration(Duration::from_secs(seconds))),
        None => rate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_and_time_left() {
        let progress = FetchProgress { bytes: 0, total: Some(200 << 20), rate: 2 << 20 };
        assert_eq!(speed(progress), "2.0 MiB/s 1m 40s left");
        assert_eq!(speed(FetchProgress::default()), "0 B/s");
    }
}
