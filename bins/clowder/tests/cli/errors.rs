//! What goes wrong is said in one line, with what to do, and with an exit code of its own.

use crate::support::Home;
use std::net::TcpListener;

#[test]
fn a_second_server_on_a_home_is_refused() {
    let server = Home::new().serve(&["--no-model"]);
    let refused = server.home.run(&["serve", "--address", "127.0.0.1:0"]).fails(1);
    assert!(refused.contains(&server.pid().to_string()), "{refused}");
    assert!(refused.contains(server.home.path().to_str().unwrap()), "{refused}");
    assert_eq!(refused.lines().count(), 1, "{refused}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = Home::new().run(&["serve", "--address", &address]).fails(1);
    assert!(refused.contains(&address) && refused.contains("--address"), "{refused}");
    assert_eq!(refused.lines().count(), 1, "{refused}");
}

#[test]
fn nobody_is_exposed_without_keys() {
    let home = Home::new();
    let refused = home.run(&["serve", "--address", "0.0.0.0:0"]).fails(1);
    assert!(refused.contains("0.0.0.0:0") && refused.contains("--api-key-file"), "{refused}");
    let missing = home.run(&["serve", "--address", "0.0.0.0:0", "--api-key-file", "/nonexistent/keys"]).fails(4);
    assert!(missing.contains("/nonexistent/keys"), "{missing}");
}

#[test]
fn no_server() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = format!("http://{free}");
    let home = Home::new();
    for command in [&["ps"][..], &["status"], &["nodes"], &["scale", "m", "2"], &["rm", "m"], &["run", "kitten", "Hi"]]
    {
        let refused = home.run(&[command, &["--server", &server]].concat()).fails(3);
        assert!(refused.contains(&server) && refused.contains("clowder serve"), "{refused}");
    }
}

#[test]
fn the_token_is_asked_for() {
    let server = Home::new().serve(&["--no-model"]);
    let stranger = Home::new();
    let refused = stranger.run(&["ps", "--server", &server.url]).fails(5);
    assert!(refused.contains("--token-file"), "{refused}");
    let token = server.home.path().join("admin.token");
    let args = ["ps", "--server", &server.url, "--token-file", token.to_str().unwrap()];
    stranger.run(&args).ok();
}

#[test]
fn models_that_do_not_exist() {
    let server = Home::new().serve(&["--no-model"]);
    let home = &server.home;
    assert!(home.run(&["scale", "nothing", "2"]).fails(4).contains("nothing"));
    assert!(home.run(&["logs", "nothing"]).fails(4).contains("nothing"));
    assert!(home.run(&["ps", "nothing"]).fails(4).contains("nothing"));
    assert!(home.run(&["bench", "--model", "nothing"]).fails(4).contains("nothing"));
    assert!(home.run(&["deploy", "./nothing.gguf"]).fails(4).contains("nothing.gguf"));
    assert!(home.run(&["deploy", "nonsense"]).fails(2).contains("scheme"));
    let absent = home.run(&["deploy", "file:///nonexistent/m.gguf"]).fails(1);
    assert!(absent.contains("/nonexistent/m.gguf"), "{absent}");
    assert!(home.run(&["run", "nothing", "Hi"]).fails(4).contains("nothing"));
}

#[test]
fn the_file_of_options() {
    let home = Home::new();
    std::fs::write(home.path().join("config.toml"), "server = \"http://127.0.0.1:1\"\n[serve]\npolicy = \"fastest\"\n")
        .unwrap();
    assert!(home.run(&["ps"]).fails(3).contains("127.0.0.1:1"));
    assert!(home.run(&["serve"]).fails(2).contains("fastest"));
    // The environment goes first, the command line before it.
    let mut command = home.command(&["ps"]);
    let output = command.env("CLOWDER_SERVER", "http://127.0.0.1:2").output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("127.0.0.1:2"));
    std::fs::write(home.path().join("config.toml"), "nonsense = 1\n").unwrap();
    let refused = home.run(&["ps"]).fails(2);
    assert!(refused.contains("config.toml") && refused.contains("nonsense"), "{refused}");
}
