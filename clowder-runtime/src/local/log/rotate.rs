//! A file that never grows beyond a limit: when it is full it becomes the previous one, and a new one begins.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Appends lines to a file and its successor.
pub(super) struct RotatingFile {
    path: PathBuf,
    limit: u64,
    current: Option<(File, u64)>,
}

impl RotatingFile {
    /// A file that is made with its first line.
    pub(super) fn new(path: PathBuf, limit: u64) -> Self {
        Self { path, limit, current: None }
    }

    /// Appends a line.
    pub(super) fn append(&mut self, line: &str) -> io::Result<()> {
        let bytes = format!("{line}\n");
        let (mut file, mut size) = match self.current.take() {
            Some(open) => open,
            None => self.open()?,
        };
        if size > 0 && size + bytes.len() as u64 > self.limit {
            drop(file);
            fs::rename(&self.path, previous(&self.path))?;
            (file, size) = self.open()?;
        }
        file.write_all(bytes.as_bytes())?;
        self.current = Some((file, size + bytes.len() as u64));
        Ok(())
    }

    /// What is in the files now; it can be read while more is appended.
    pub(super) fn snapshot(&self) -> io::Result<Snapshot> {
        Snapshot::of(&self.path)
    }

    fn open(&self) -> io::Result<(File, u64)> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }
}

/// Where the file before `path` is.
pub(super) fn previous(path: &Path) -> PathBuf {
    path.with_added_extension("1")
}

/// Opened files and how much of them counts.
pub(in crate::local) struct Snapshot(Vec<(File, u64)>);

impl Snapshot {
    /// The files of `path`, older first; empty where there are none.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        for path in [&previous(path), path] {
            match File::open(path) {
                Ok(file) => {
                    let size = file.metadata()?.len();
                    files.push((file, size));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self(files))
    }

    /// Whether there is no file.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The last `tail` lines, or all.
    pub(in crate::local) fn lines(self, tail: Option<usize>) -> io::Result<Vec<String>> {
        let mut bytes = Vec::new();
        for (file, size) in self.0 {
            file.take(size).read_to_end(&mut bytes)?;
        }
        let text = String::from_utf8_lossy(&bytes);
        let skipped = tail.map_or(0, |tail| text.lines().count().saturating_sub(tail));
        Ok(text.lines().skip(skipped).map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_files_of_bounded_size_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.log");
        let mut file = RotatingFile::new(path.clone(), 30);
        for n in 10..30 {
            file.append(&format!("line {n}")).unwrap();
        }
        for path in [&path, &previous(&path)] {
            assert!(fs::metadata(path).unwrap().len() <= 30);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        let lines = file.snapshot().unwrap().lines(None).unwrap();
        assert_eq!(lines.last().map(String::as_str), Some("line 29"));
        assert!((4..=6).contains(&lines.len()), "{lines:?}");
        assert_eq!(file.snapshot().unwrap().lines(Some(2)).unwrap(), ["line 28", "line 29"]);
        assert!(file.snapshot().unwrap().lines(Some(0)).unwrap().is_empty());
    }

    #[test]
    fn a_snapshot_is_of_one_moment() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = RotatingFile::new(folder.path().join("w.log"), 14);
        file.append("first").unwrap();
        let snapshot = file.snapshot().unwrap();
        for _ in 0..5 {
            file.append("later").unwrap();
        }
        assert_eq!(snapshot.lines(None).unwrap(), ["first"]);
    }

    #[test]
    fn a_log_goes_on_where_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.log");
        RotatingFile::new(path.clone(), 100).append("before").unwrap();
        RotatingFile::new(path.clone(), 100).append("after").unwrap();
        assert_eq!(Snapshot::of(&path).unwrap().lines(None).unwrap(), ["before", "after"]);
    }
}
