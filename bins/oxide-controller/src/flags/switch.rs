//! Flags that are on or off, as Go programs spell them.

use std::str::FromStr;

/// On or off: `--flag` and `--flag=true`, or `--flag=false`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switch(bool);

impl Switch {
    pub(crate) fn is_on(self) -> bool {
        self.0
    }
}

/// A word that is neither on nor off.
#[derive(Debug, thiserror::Error)]
#[error("take true or false")]
pub(crate) struct NotASwitch;

impl FromStr for Switch {
    type Err = NotASwitch;

    /// The spellings of Go's `strconv.ParseBool`.
    fn from_str(text: &str) -> Result<Self, NotASwitch> {
        match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Self(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Self(false)),
            _ => Err(NotASwitch),
        }
    }
}
