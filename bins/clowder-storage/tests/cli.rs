//! The program, as a person starts it wrongly.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::TcpListener;
use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clowder-storage"));
    for name in ["CLOWDER_STORAGE_TOKEN", "CLOWDER_STORAGE_TOKEN_FILE", "CLOWDER_STORAGE_ADDRESS", "NEKKO_ADDRESS"] {
        command.env_remove(name);
    }
    command.args(args).output().unwrap()
}

#[test]
fn what_is_wrong_is_one_line_and_an_exit_code() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    for (args, said) in [
        (["--address", taken.as_str()], "is in use"),
        (["--address", "0.0.0.0:0"], "set a token"),
        (["--address", "nowhere"], "is no address"),
        (["--token-file", "/no/such/file"], "cannot be read"),
    ] {
        let output = run(&args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
        assert!(stderr.contains(said) && stderr.lines().count() == 1, "{args:?}: {stderr}");
    }
}
