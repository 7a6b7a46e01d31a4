//! Chats and single answers.

use crate::support::Home;
use std::process::Stdio;

#[test]
fn one_command_to_an_answer() {
    let home = Home::new();
    let answer = home.run(&["run", "kitten", "What", "is", "Clowder?", "--temperature", "0", "--max-tokens", "16"]);
    // The answer and nothing else.
    assert!(!answer.stdout.trim().is_empty(), "{answer:#?}");
    assert!(answer.stdout.ends_with('\n') && !answer.stdout.contains("Clowder serves"), "{answer:#?}");
    answer.ok();
    assert!(!home.path().join("models.json").exists(), "a chat changes nothing of what shall be served");
}

#[test]
fn a_question_from_a_pipe_is_answered_by_the_server_that_runs() {
    let mut server = Home::new().serve(&[]);
    server.says("curl ");
    let home = &server.home;
    let args = ["run", "kitten", "--temperature", "0", "--max-tokens", "16", "--seed", "1"];
    let piped = home.pipe("What is Clowder?\n", &args).ok();
    let typed = home.run(&[&args[..], &["What is Clowder?"]].concat()).ok();
    assert_eq!(piped, typed);
    let json = home.json(&[&args[..], &["What is Clowder?"]].concat());
    assert_eq!(json["content"].as_str().unwrap().trim_end(), typed.trim_end());
    assert!(json["usage"]["completion_tokens"].as_u64().unwrap() > 0, "{json}");

    assert!(home.pipe("", &args).fails(2).contains("standard input is empty"));
    let unknown = home.run(&["run", "kitty", "Hello!"]).fails(4);
    assert!(unknown.contains("kitty") && unknown.contains("kitten"), "{unknown}");
}

#[test]
fn a_reader_that_goes_is_no_error() {
    let home = Home::new();
    let mut child = home.command(&["--help"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(!String::from_utf8(output.stderr).unwrap().contains("panicked"));
}
