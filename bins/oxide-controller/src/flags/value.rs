//! Values that may stand in a file: `file:PATH`.

use clowder_core::Secret;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

/// The longest file that a value is read from, in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// A value as it is given: itself, or `file:` and the path of a file that holds it. A secret is better kept in a file, since
/// other users of a machine see its command lines.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Literal(Secret),
    File(PathBuf),
}

/// Why a value is not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ValueError {
    #[error("--{flag} names the file {path}, which cannot be read")]
    Unreadable { flag: &'static str, path: PathBuf, source: io::Error },
    #[error("--{flag} names the file {path}, which is empty: write the value into it")]
    Empty { flag: &'static str, path: PathBuf },
    #[error("--{flag} names the file {path}, which has more than {MAX_BYTES} bytes: is it the right one?")]
    TooLong { flag: &'static str, path: PathBuf },
}

impl Value {
    /// The value itself, without the blanks around it; `None` where it is given as nothing. `flag` is whose value it is.
    pub(crate) fn read(&self, flag: &'static str) -> Result<Option<Secret>, ValueError> {
        let path = match self {
            Self::Literal(value) if value.expose().trim().is_empty() => return Ok(None),
            Self::Literal(value) => return Ok(Some(Secret::new(value.expose().trim()))),
            Self::File(path) => path.clone(),
        };
        let unreadable = |source| ValueError::Unreadable { flag, path: path.clone(), source };
        if std::fs::metadata(&path).map_err(unreadable)?.len() > MAX_BYTES {
            return Err(ValueError::TooLong { flag, path });
        }
        let text = std::fs::read_to_string(&path).map_err(unreadable)?;
        match text.trim() {
            "" => Err(ValueError::Empty { flag, path }),
            value => Ok(Some(Secret::new(value))),
        }
    }
}

impl FromStr for Value {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_prefix("file:") {
            Some(path) => Self::File(path.into()),
            None => Self::Literal(Secret::new(text)),
        })
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("Literal(…)"),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn value(text: &str) -> Value {
        match text.parse() {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    #[test]
    fn a_value_stands_for_itself_or_in_a_file() {
        let read = |text: &str| value(text).read("oxide-token");
        assert_eq!(read(" t \n").unwrap(), Some(Secret::new("t")));
        assert_eq!(read("").unwrap(), None);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let named = format!("file:{}", file.path().display());
        assert!(matches!(read(&named), Err(ValueError::Empty { .. })));
        file.write_all(b"secret-1\n").unwrap();
        assert_eq!(read(&named).unwrap(), Some(Secret::new("secret-1")));
        file.write_all(&[b'x'; 65 << 10]).unwrap();
        assert!(matches!(read(&named), Err(ValueError::TooLong { .. })));
        let error = read("file:no-such-file").unwrap_err();
        assert_eq!(error.to_string(), "--oxide-token names the file no-such-file, which cannot be read");
    }

    #[test]
    fn debug_prints_nothing_of_it() {
        assert!(!format!("{:?}", value("oxide-token-1")).contains("oxide-token-1"));
    }
}
