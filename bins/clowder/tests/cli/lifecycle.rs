//! A server from its first start to its end, and what happens to its models in between.

use crate::support::{Home, KITTEN, Web, kill};
use rustix::process::Signal;
use serde_json::Value;

#[test]
fn a_server_from_start_to_end() {
    let mut server = Home::new().serve(&[]);
    let ready = server.says("curl ");
    assert!(ready.contains("What is Clowder?") && ready.contains(&server.url), "{ready}");

    let home = &server.home;
    let table = home.run(&["ps"]).ok();
    assert!(table.contains("kitten") && table.contains("1/1") && table.contains("http://127.0.0.1:"), "{table}");
    assert!(!table.contains('\u{1b}'), "no colour in a pipe: {table}");
    let ps = home.json(&["ps"]);
    assert_eq!(ps["models"][0]["phase"], "ready");
    assert_eq!(ps["workers"][0]["state"]["phase"], "ready");
    assert_eq!(home.json(&["nodes"])["data"][0]["workers"].as_array().unwrap().len(), 1);
    assert!(home.run(&["nodes"]).ok().contains("TAKES WORKERS"));
    assert_eq!(home.json(&["status"])["models"], 1);
    assert!(home.run(&["status"]).ok().contains(&server.url));
    assert!(home.run(&["list"]).ok().contains("builtin:kitten"));

    home.run(&["scale", "kitten", "2"]).ok();
    assert_eq!(home.json(&["ps", "kitten"])["workers"].as_array().unwrap().len(), 2);
    let logs = home.run(&["logs", "kitten", "--tail", "5"]);
    assert!(logs.code == Some(0), "{logs:#?}");

    let bench = home.json(&["bench", "-n", "4", "-c", "2", "--max-tokens", "8", "--prompt-tokens", "8"]);
    assert_eq!((&bench["requests"]["ok"], &bench["requests"]["failed"]), (&4.into(), &0.into()));
    assert!(bench["ttft_ms"]["p50"].as_f64().unwrap() > 0.0 && bench["tokens"]["out"].as_u64().unwrap() > 0);

    home.run(&["rm", "kitten"]).ok();
    assert_eq!(home.json(&["ps"])["models"], Value::Array(vec![]));
    assert!(home.run(&["rm", "kitten"]).fails(4).contains("kitten"));

    let (code, home) = server.end();
    assert_eq!(code, Some(0));
    assert!(!home.path().join("address").exists());
    // What was removed stays removed: only the very first start brings the bundled model.
    let again = home.serve(&[]);
    assert_eq!(again.home.json(&["ps"])["models"], Value::Array(vec![]));
}

#[test]
fn a_worker_that_is_killed_comes_back_and_says_why() {
    let server = Home::new().serve(&[]);
    let worker = |models: &Value| models[0]["workers"][0].clone();
    let ready = |models: &Value| models[0]["phase"] == "ready";
    let before = worker(&server.until("kitten serves", ready));
    kill(before["pid"].as_u64().unwrap().try_into().unwrap(), Signal::KILL);
    let back = |models: &Value| ready(models) && worker(models)["restarts"].as_u64() > before["restarts"].as_u64();
    let after = worker(&server.until("kitten serves again", back));
    assert!(after["last_exit"]["reason"].as_str().unwrap().contains("SIGKILL"), "{after}");
    assert_ne!(after["pid"], before["pid"]);
    let table = server.home.run(&["ps"]).ok();
    assert!(table.contains("SIGKILL"), "{table}");
    server.home.run(&["run", "kitten", "Hello!", "--max-tokens", "16"]).ok();
}

#[test]
fn models_of_files_and_of_the_web() {
    let server = Home::new().serve(&["--no-model"]);
    let home = &server.home;
    let deploy = ["deploy", KITTEN, "--name", "from-file", "--also-as", "Org/Cat", "--slots", "1", "--context", "256"];
    let said = home.run(&deploy).ok();
    assert!(said.contains("from-file is served by 1 worker"), "{said}");
    home.run(&["run", "Org/Cat", "Hello!", "--max-tokens", "16"]).ok();
    let bench = home.json(&["bench", "--model", "Org/Cat", "-n", "1", "--max-tokens", "8", "--prompt-tokens", "8"]);
    assert_eq!(bench["requests"]["ok"], 1, "the worker answers to the further name: {bench}");
    let taken = home.run(&["deploy", "kitten", "--also-as", "Org/Cat"]).fails(1);
    assert!(taken.contains("the name \"Org/Cat\" is taken by the model from-file"), "{taken}");

    let web = Web::serve(KITTEN.into());
    let said = home.run(&["deploy", &web.url]).ok();
    assert!(said.contains("web-kitten is served"), "{said}");
    let listed = home.run(&["list"]).ok();
    assert!(listed.contains(&web.url), "{listed}");
    assert!(home.run(&["rm", "--cached", &web.url]).fails(1).contains("in use"));
    home.run(&["run", "web-kitten", "Hello!", "--max-tokens", "16"]).ok();
}

#[test]
fn a_damaged_file_is_told_apart_from_a_model() {
    let server = Home::new().serve(&["--no-model"]);
    let whole = std::fs::read(KITTEN).unwrap();
    let cut = server.home.path().join("cut.gguf");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let refused = server.home.run(&["deploy", cut.to_str().unwrap()]).fails(1);
    assert!(refused.contains("model cut does not serve") && refused.contains("cut.gguf"), "{refused}");
    let shown = server.home.run(&["ps"]).ok();
    assert!(shown.contains("failed"), "{shown}");
}

#[test]
fn pulling_needs_no_server() {
    let (home, web) = (Home::new(), Web::serve(KITTEN.into()));
    let said = home.run(&["pull", &web.url]).ok();
    assert!(said.contains("is in the cache") && said.contains("sha256:"), "{said}");
    let list = home.json(&["list"]);
    assert_eq!((&list[0]["url"], &list[0]["complete"]), (&web.url.clone().into(), &true.into()));
    home.run(&["rm", "--cached", &web.url]).ok();
    assert_eq!(home.json(&["list"]), Value::Array(vec![]));
    home.run(&["rm", "--cached", &web.url]).fails(4);
}

#[test]
fn files_of_a_pinned_model_stay_until_it_is_removed() {
    let server = Home::new().serve(&["--no-model"]);
    server.home.run(&["deploy", "kitten", "--pin"]).ok();
    pinned(&server.home, true);
    assert_eq!(server.home.json(&["nodes"])["data"][0]["cache"][0]["pinned"], true);
    let (_, home) = server.end();
    assert!(home.run(&["list"]).ok().contains("pinned"));
    let refused = home.run(&["rm", "kitten", "--cached"]).fails(1);
    assert!(refused.contains("builtin:kitten is pinned"), "{refused}");
    // A server of another home may use the cache, and does not say what is pinned in it.
    home.run(&["run", "kitten", "Hello!", "--max-tokens", "4"]).ok();
    pinned(&home, true);
    let server = home.serve(&[]);
    server.home.run(&["rm", "kitten"]).ok();
    pinned(&server.home, false);
    server.until("its workers are gone", |models| models.as_array().unwrap().is_empty());
    let (_, home) = server.end();
    home.run(&["rm", "kitten", "--cached"]).ok();
}

/// Until the cache's one model is pinned, or is not. The server tells nobody when it has written that.
fn pinned(home: &Home, wanted: bool) {
    let is_so = (0..100).any(|_| home.json(&["list"])[0]["pinned"] == wanted);
    assert!(is_so, "{}", home.json(&["list"]));
}
