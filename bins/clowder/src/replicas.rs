//! How many workers shall serve a model, as people write it: `2`, or `0..3` to follow the demand.

use serde_json::{Map, Value, json};
use std::fmt;
use std::str::FromStr;

/// A number of workers, or bounds for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replicas {
    /// So many.
    Fixed(u32),
    /// As many as the demand is worth, within these bounds.
    Between {
        /// The fewest; 0 lets the model sleep while nobody asks for it.
        min: u32,
        /// The most.
        max: u32,
    },
}

impl Replicas {
    /// Writes them into the body of a call.
    pub(crate) fn write(self, body: &mut Map<String, Value>) {
        match self {
            Self::Fixed(replicas) => body.insert("replicas".into(), replicas.into()),
            Self::Between { min, max } => body.insert("autoscaling".into(), json!({ "min": min, "max": max })),
        };
    }
}

impl FromStr for Replicas {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.parse::<u32>().map_err(|_| format!("{text:?} is no number: write 2, or 0..3 to follow the demand"))
        };
        match text.split_once("..") {
            None => number(text).map(Self::Fixed),
            Some((min, max)) => {
                let (min, max) = (number(min)?, number(max)?);
                if max == 0 || min > max {
                    return Err(format!(
                        "{text} leaves no number of workers: the second number is the most, 1 or more"
                    ));
                }
                Ok(Self::Between { min, max })
            }
        }
    }
}

impl fmt::Display for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(1) => f.write_str("1 worker"),
            Self::Fixed(replicas) => write!(f, "{replicas} workers"),
            Self::Between { min, max } => write!(f, "{min} to {max} workers"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_bounds() {
        assert_eq!("2".parse(), Ok(Replicas::Fixed(2)));
        assert_eq!("0..3".parse(), Ok(Replicas::Between { min: 0, max: 3 }));
        for bad in ["", "-1", "x", "1..", "..3", "3..2", "0..0", "1..2..3"] {
            assert!(bad.parse::<Replicas>().is_err(), "{bad}");
        }
    }
}
