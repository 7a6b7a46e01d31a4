//! A worker's command line and environment.

use super::config::WorkerCommand;
use clowder_core::plan::StartWorker;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

/// Parts of the names of environment variables that hold secrets.
const SECRET_WORDS: [&str; 8] =
    ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "API_KEY", "ACCESS_KEY", "PRIVATE_KEY"];

/// The command of a worker: its pipes are ours, it is killed when its handle is dropped, and it is the leader of its own
/// process group, so that a terminal's Ctrl-C leaves it alone. `files` are the model's own and those of its companions.
pub(super) fn command(worker: &WorkerCommand, start: &StartWorker, files: &[&Path]) -> Command {
    let mut command = Command::new(&worker.program);
    command
        .args(&worker.args)
        .args(arguments(start, files))
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_withheld(name)) {
        command.env_remove(name);
    }
    command
}

fn arguments(start: &StartWorker, files: &[&Path]) -> Vec<OsString> {
    let settings = &start.spec.engine;
    let mut files = files.iter();
    let mut arguments: Vec<OsString> = Vec::new();
    if let Some(model) = files.next() {
        arguments.extend(["--model-path".into(), model.into()]);
    }
    arguments.extend([
        "--alias".into(),
        start.spec.name.as_str().into(),
        "--host".into(),
        "127.0.0.1".into(),
        "--port".into(),
        "0".into(),
        "--slots".into(),
        settings.slots().to_string().into(),
        "--kv-type".into(),
        settings.kv_type.to_string().into(),
    ]);
    let optional =
        [("--context", settings.context), ("--threads", settings.threads), ("--gpu-layers", settings.gpu_layers)];
    for (flag, value) in optional {
        if let Some(value) = value {
            arguments.extend([flag.into(), value.to_string().into()]);
        }
    }
    for (adapter, file) in start.spec.adapters.iter().zip(files.by_ref()) {
        let mut named = OsString::from(format!("{}=", adapter.name));
        named.push(file);
        arguments.extend(["--adapter".into(), named]);
    }
    if let Some((draft, file)) = settings.draft.as_ref().zip(files.next()) {
        arguments.extend(["--draft".into(), file.into(), "--draft-tokens".into(), draft.tokens().to_string().into()]);
    }
    for (name, value) in &settings.extra {
        arguments.extend(["--set".into(), format!("{name}={value}").into()]);
    }
    arguments.push("--supervised".into());
    arguments
}

/// Whether a worker does not get this environment variable: Clowder's own settings, which its command line replaces, and
/// whatever is named like a secret.
fn is_withheld(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_uppercase();
    name.starts_with("CLOWDER_") || SECRET_WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clowder_core::ModelSpec;
    use clowder_core::model::{Adapter, Draft, KvType};
    use std::sync::Arc;

    fn start(change: impl FnOnce(&mut ModelSpec)) -> StartWorker {
        let mut spec = ModelSpec::new("org/kitten".parse().unwrap(), "builtin:kitten".parse().unwrap());
        change(&mut spec);
        StartWorker { worker: "kitten-0-0".parse().unwrap(), spec: Arc::new(spec), node: "here".into(), memory: 1 }
    }

    fn line(start: &StartWorker) -> String {
        let words = arguments(start, &["/m.gguf", "/a.gguf", "/d.gguf"].map(Path::new));
        words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_command_line_says_only_what_was_asked_for() {
        assert_eq!(
            line(&start(|_| ())),
            "--model-path /m.gguf --alias org/kitten --host 127.0.0.1 --port 0 --slots 4 --kv-type f16 --supervised"
        );
        let all = start(|spec| {
            spec.engine.slots = Some(2);
            spec.engine.kv_type = KvType::Q8_0;
            spec.engine.context = Some(512);
            spec.engine.threads = Some(3);
            spec.engine.gpu_layers = Some(0);
            spec.engine.draft = Some(Draft::new("builtin:kitten".parse().unwrap()));
            spec.engine.extra.insert("flash_attn".to_owned(), "on".to_owned());
            let (name, source) = ("pirate".parse().unwrap(), "file:///pirate.gguf".parse().unwrap());
            spec.adapters.push(Adapter { name, source, digest: None });
        });
        assert_eq!(
            line(&all),
            "--model-path /m.gguf --alias org/kitten --host 127.0.0.1 --port 0 --slots 2 --kv-type q8_0 \
             --context 512 --threads 3 --gpu-layers 0 --adapter pirate=/a.gguf --draft /d.gguf --draft-tokens 8 \
             --set flash_attn=on --supervised"
        );
    }

    #[test]
    fn credentials_are_not_on_the_command_line() {
        let start = start(|spec| spec.credentials = Some(clowder_core::secret::Credentials::bearer("hf_abc")));
        assert!(!line(&start).contains("hf_abc"));
    }

    #[test]
    fn secrets_are_withheld_and_the_rest_is_not() {
        for name in ["CLOWDER_ADMIN_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "db_password", "OPENAI_API_KEY"] {
            assert!(is_withheld(OsStr::new(name)), "{name}");
        }
        for name in ["PATH", "RUST_LOG", "HOME", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"] {
            assert!(!is_withheld(OsStr::new(name)), "{name}");
        }
    }
}
