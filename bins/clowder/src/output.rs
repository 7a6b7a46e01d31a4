//! What commands print: tables and units for people, JSON for programs.

use crate::exit::Error;
use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Table};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// Where results go, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    terminal: bool,
    colour: bool,
}

impl Output {
    /// Standard output, as JSON where asked for.
    pub(crate) fn new(json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { json, terminal, colour: terminal && wanted }
    }

    /// Whether a program reads.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Whether a person watches standard output.
    pub(crate) fn is_terminal(self) -> bool {
        self.terminal
    }

    /// Whether progress may be drawn on standard error.
    pub(crate) fn draws_progress(self) -> bool {
        io::stderr().is_terminal()
    }

    /// One JSON document.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|e| Error::File { what: "writing JSON".into(), source: e.into() })?;
        self.line(&text)
    }

    /// One line, flushed: whoever reads along sees it now.
    pub(crate) fn line(self, text: &str) -> Result<(), Error> {
        self.write(&format!("{text}\n"))
    }

    /// Text as it is, flushed.
    pub(crate) fn write(self, text: &str) -> Result<(), Error> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|e| match e.kind() {
            io::ErrorKind::BrokenPipe => Error::OutputClosed,
            _ => Error::File { what: "writing to standard output".into(), source: e },
        })
    }

    /// A table without lines, columns two blanks apart; the columns in `right` hold numbers.
    pub(crate) fn table(self, header: &[&str], right: &[usize], rows: Vec<Vec<String>>) -> Result<(), Error> {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        // A pipe wants every value whole on its line; a terminal wants to be filled.
        let arrangement = if self.terminal { ContentArrangement::Dynamic } else { ContentArrangement::Disabled };
        table.set_content_arrangement(arrangement);
        if !self.colour {
            table.force_no_tty();
        }
        if self.terminal
            && let Some(width) = terminal_width()
        {
            table.set_width(width);
        }
        let bold = |text: &&str| {
            let cell = Cell::new(*text);
            if self.colour { cell.add_attribute(comfy_table::Attribute::Bold) } else { cell }
        };
        table.set_header(header.iter().map(bold).collect::<Vec<_>>());
        for row in rows {
            table.add_row(row.iter().map(|cell| Cell::new(printable(cell))).collect::<Vec<_>>());
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if right.contains(&index) {
                column.set_cell_alignment(comfy_table::CellAlignment::Right);
            }
            if index == 0 {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        self.line(&table.trim_fmt())
    }
}

fn terminal_width() -> Option<u16> {
    Table::new().width()
}

/// Text from elsewhere, without what could steer a terminal: control characters but line end and tab become `�`.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.contains(steers) {
        Cow::Owned(text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Bytes in the largest binary unit that leaves at least 1: `138.2 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A duration with three significant places: `812 µs`, `41.3 ms`, `2.31 s`, `4m 10s`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s >= 60.0 => humantime::format_duration(Duration::from_secs(time.as_secs())).to_string(),
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 0.001 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.0} µs", s * 1e6),
    }
}

/// How long ago a moment was, in its two largest units.
pub(crate) fn ago(at_ms: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let passed = now.saturating_sub(Duration::from_millis(at_ms)).as_secs();
    let coarse = match passed {
        s if s >= 86_400 => s - s % 3_600,
        s if s >= 3_600 => s - s % 60,
        s => s,
    };
    format!("{} ago", humantime::format_duration(Duration::from_secs(coarse)))
}

/// A dash where there is nothing.
pub(crate) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(144_810_000), "138.1 MiB");
        assert_eq!(bytes(u64::MAX), "16384.0 PiB");
        assert_eq!(duration(Duration::from_micros(812)), "812 µs");
        assert_eq!(duration(Duration::from_micros(41_300)), "41.3 ms");
        assert_eq!(duration(Duration::from_millis(2310)), "2.31 s");
        assert_eq!(duration(Duration::from_secs(250)), "4m 10s");
    }

    #[test]
    fn text_from_elsewhere_does_not_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\tc\nd"), "a\u{fffd}[2Jb\tc\nd");
        assert!(matches!(printable("plain"), Cow::Borrowed(_)));
    }
}
