//! Drives the real program: each test has a home folder and a port of its own.

use clowder_core::Secret;
use futures::StreamExt;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long anything may take before a test says that it never came.
const PATIENCE: Duration = Duration::from_secs(120);

/// The bundled model's file.
pub(crate) const KITTEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/kitten/kitten.gguf");

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// The result of a command that must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }

    /// The message of a command that must have ended with this code: one line and its causes, never a dump.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(!self.stderr.contains("panicked") && !self.stderr.contains(" { "), "{self:#?}");
        self.stderr
    }
}

/// A folder that `clowder` calls its home.
pub(crate) struct Home(pub(crate) TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The program with these arguments, without the tester's own environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clowder"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("CLOWDER_") || name.starts_with("HF_") {
                command.env_remove(name);
            }
        }
        command.env("CLOWDER_HOME", self.path()).args(args).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Done {
        done(self.command(args).output().unwrap())
    }

    /// Runs a command that reads this.
    pub(crate) fn pipe(&self, input: &str, args: &[&str]) -> Done {
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        done(child.wait_with_output().unwrap())
    }

    /// Runs a command and reads its JSON.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let text = self.run(&[args, &["--json"]].concat()).ok();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    /// Starts a server on a free port of this machine.
    pub(crate) fn serve(self, args: &[&str]) -> Server {
        let all = [&["serve", "--address", "127.0.0.1:0", "--log", "error"], args].concat();
        let mut child = self.command(&all).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let first = read_line(&mut lines);
        let url = first.trim().strip_prefix("Clowder serves at ").unwrap_or_else(|| panic!("{first:?}")).to_owned();
        Server { home: self, child, lines, url }
    }
}

fn done(output: std::process::Output) -> Done {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn read_line(lines: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    line
}

/// A running server.
pub(crate) struct Server {
    pub(crate) home: Home,
    pub(crate) url: String,
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Server {
    /// Reads on until a line contains this, and gives it.
    pub(crate) fn says(&mut self, what: &str) -> String {
        loop {
            let line = read_line(&mut self.lines);
            assert!(!line.is_empty(), "the server ended before it said {what:?}");
            if line.contains(what) {
                return line;
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the server's models are as wanted, by its events.
    pub(crate) fn until(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let token = std::fs::read_to_string(self.home.path().join("admin.token")).unwrap();
        let token = Secret::new(token.trim());
        let search = async {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let request = client.get(format!("{}/api/v1/events", self.url)).bearer_auth(token.expose());
            let mut body = request.send().await.unwrap().error_for_status().unwrap().bytes_stream();
            let mut text = String::new();
            while let Some(bytes) = body.next().await {
                text.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
                while let Some((event, rest)) = text.split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())) {
                    text = rest;
                    let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                    if let Some(models) = data.map(|data| serde_json::from_str::<Value>(data).unwrap())
                        && fits(&models)
                    {
                        return models;
                    }
                }
            }
            panic!("the events ended before {what}");
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime
            .block_on(async { tokio::time::timeout(PATIENCE, search).await })
            .unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
    }

    /// Asks the server to end, and waits until it has.
    pub(crate) fn end(mut self) -> (Option<i32>, Home) {
        kill(self.pid(), Signal::TERM);
        let code = self.child.wait().unwrap().code();
        let home = std::mem::replace(&mut self.home, Home::new());
        (code, home)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already where a test went well.
        if matches!(self.child.try_wait(), Ok(None)) {
            kill(self.pid(), Signal::TERM);
            self.child.wait().ok();
        }
    }
}

pub(crate) fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

/// A file of a web server on loopback; it serves until the guard is dropped.
pub(crate) struct Web {
    pub(crate) url: String,
    _runtime: tokio::runtime::Runtime,
}

impl Web {
    pub(crate) fn serve(file: PathBuf) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let handler = axum::routing::get(move || {
            let file = file.clone();
            async move { tokio::fs::read(file).await.unwrap() }
        });
        let app = axum::Router::new().route("/models/web-kitten.gguf", handler);
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { url: format!("http://{address}/models/web-kitten.gguf"), _runtime: runtime }
    }
}
