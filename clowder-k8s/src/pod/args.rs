//! The command lines of a Pod's containers.

use super::WorkerTemplate;
use super::build::PORT;
use clowder_core::ModelSpec;
use clowder_core::plan::StartWorker;

pub(super) const TOKENS: &str = "/etc/clowder/tokens";
const MODEL_FILE: &str = "/model/model.gguf";
/// `fetch` makes it beside the model's file: what the worker locks, so that the storage manager does not remove the model.
const MODEL_HOLD: &str = "/model/model.gguf.hold";
/// Between being taken out of all routes and being told to end: routes lag behind a little.
pub(super) const PRE_STOP_SECONDS: u64 = 2;
/// What is left of the grace once a worker has given up on what it had, for it to say so and end.
const LAST_WORDS_SECONDS: u64 = 8;

/// Where the files of a model's companions are, in their order.
fn companion_files(spec: &ModelSpec) -> impl Iterator<Item = String> {
    let adapters = (0..spec.adapters.len()).map(|index| format!("/model/adapter-{index}.gguf"));
    adapters.chain(spec.engine.draft.iter().map(|_| "/model/draft.gguf".to_owned()))
}

/// Has the storage manager of the node fetch all that the worker opens.
pub(super) fn fetch_args(start: &StartWorker, template: &WorkerTemplate) -> Vec<String> {
    let mut args = vec!["fetch".to_owned(), start.spec.source.to_string()];
    let mut option = |name: &str, value: String| args.extend([format!("--{name}"), value]);
    if let Some(digest) = &start.spec.digest {
        option("digest", digest.to_string());
    }
    option("manager", template.storage_manager.clone());
    option("token-file", format!("{TOKENS}/storage"));
    option("link", MODEL_FILE.to_owned());
    for ((url, digest), file) in start.spec.companions().zip(companion_files(&start.spec)) {
        let digest = digest.map(|digest| format!(",{digest}")).unwrap_or_default();
        option("companion", format!("{file}{digest}={url}"));
    }
    args
}

/// Runs the worker.
pub(super) fn runtime_args(start: &StartWorker, template: &WorkerTemplate) -> Vec<String> {
    let engine = &start.spec.engine;
    let drain = template.grace.as_secs().saturating_sub(PRE_STOP_SECONDS + LAST_WORDS_SECONDS);
    let given = |number: Option<u32>| number.map(|number| number.to_string());
    let files: Vec<String> = companion_files(&start.spec).collect();
    let holds = files.iter().map(|file| ("hold", Some(format!("{file}.hold"))));
    let adapters = start.spec.adapters.iter().zip(&files);
    let adapters = adapters.map(|(adapter, file)| ("adapter", Some(format!("{}={file}", adapter.name))));
    let draft = engine.draft.as_ref().zip(files.last());
    let draft = draft
        .into_iter()
        .flat_map(|(draft, file)| [("draft", Some(file.clone())), ("draft-tokens", Some(draft.tokens().to_string()))]);
    let extra = engine.extra.iter().map(|(name, value)| ("set", Some(format!("{name}={value}"))));
    [
        ("model-path", Some(MODEL_FILE.to_owned())),
        ("hold", Some(MODEL_HOLD.to_owned())),
        ("alias", Some(start.spec.name.to_string())),
        ("host", Some("0.0.0.0".to_owned())),
        ("port", Some(PORT.to_string())),
        ("slots", Some(engine.slots().to_string())),
        ("context", given(engine.context)),
        ("kv-type", Some(engine.kv_type.to_string())),
        ("threads", given(engine.threads)),
        ("gpu-layers", given(engine.gpu_layers)),
        ("api-key-file", Some(format!("{TOKENS}/worker"))),
        ("drain-seconds", Some(drain.to_string())),
    ]
    .into_iter()
    .chain(holds)
    .chain(adapters)
    .chain(draft)
    .chain(extra)
    .filter_map(|(name, value)| Some([format!("--{name}"), value?]))
    .flatten()
    .collect()
}
