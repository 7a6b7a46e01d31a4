//! The real program, each in a home folder of its own.

use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

/// How long anything may take before a test says that it never came.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// A home folder, and what the environment of the program is.
pub(crate) struct Home {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

/// What a run did that ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// The one line that says why it did not do it.
    #[track_caller]
    pub(crate) fn fails(self) -> String {
        assert_eq!(self.code, Some(1), "{self:#?}");
        let last = self.stderr.trim_end().lines().last().unwrap_or_default().to_owned();
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        last.strip_prefix("oxide-controller: ").unwrap_or_else(|| panic!("{:#?}", self.stderr)).to_owned()
    }

    /// What it said, where it did it.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stderr + &self.stdout
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Sets a variable for all runs.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.push((name.to_owned(), value.into()));
    }

    /// Writes a file below the home folder.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[cfg(feature = "cluster-tests")]
    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.path().join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The program with these words, in this home and with nothing of the tester's own environment.
    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oxide-controller"));
        command.env_clear().env("HOME", self.path()).env("NO_PROXY", "").current_dir(self.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(words.split_whitespace()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, words: &str) -> Done {
        let output = tokio::time::timeout(PATIENCE, self.command(words).output()).await;
        let output = output.unwrap_or_else(|_| panic!("{words} does not end")).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Starts it.
    pub(crate) fn start(&self, words: &str) -> Running {
        let mut child = self.command(words).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Running { child, lines, said: Vec::new() }
    }
}

/// A run that goes on.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    pub(crate) said: Vec<String>,
}

impl Running {
    /// Reads on until a line has this in it, and gives that line.
    pub(crate) async fn says(&mut self, what: &str) -> String {
        self.says_all(&[what]).await
    }

    /// Reads on until there was a line for each of these, in whatever order, and gives the last.
    pub(crate) async fn says_all(&mut self, what: &[&str]) -> String {
        let mut left = what.to_vec();
        let search = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.said.push(line.clone());
                left.retain(|what| !line.contains(what));
                if left.is_empty() {
                    return Some(line);
                }
            }
            None
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(Some(line)) => line,
            Ok(None) => panic!("it ended before it said {left:?}: {:#?}", self.said),
            Err(_) => panic!("it did not say {left:?}: {:#?}", self.said),
        }
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn end(self) -> Vec<String> {
        let pid = i32::try_from(self.child.id().expect("it runs")).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
        self.ended().await
    }

    /// Waits until it has ended well.
    pub(crate) async fn ended(mut self) -> Vec<String> {
        while let Ok(Some(line)) = self.lines.next_line().await {
            self.said.push(line);
        }
        let status = self.child.wait().await.unwrap();
        assert_eq!(status.code(), Some(0), "{:#?}", self.said);
        self.said
    }
}
