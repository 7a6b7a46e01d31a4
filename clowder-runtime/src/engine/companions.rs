//! What is loaded beside a model: its adapters, and a draft model that guesses for it.

use super::draft::{DraftLimits, Drafter};
use super::evaluator::LlamaEvaluator;
use super::load::{self, LoadError, unloadable};
use super::options::{AdapterFile, DraftFile};
use super::threads_for;
use crate::llama::{Context, ContextOptions, Model};
use clowder_core::engine::Token;
use clowder_core::gguf::{GgufFacts, GgufKind};
use clowder_core::model::{EngineSettings, KvType, Setting};
use std::path::Path;
use std::sync::Arc;

/// Tokens by which vocabularies may differ in size: models of one family fill theirs up to different round numbers.
const PADDING: u32 = 256;

/// Loads the adapters of a model, in their order.
///
/// # Errors
/// [`LoadError`] with the file that does not fit.
pub(super) fn load_adapters(model: &mut Model, facts: &GgufFacts, adapters: &[AdapterFile]) -> Result<(), LoadError> {
    for AdapterFile { name, path } in adapters {
        let made_for = load::check(path, GgufKind::Adapter)?.architecture;
        if made_for != facts.architecture {
            let (shown, is) = (path.display(), &facts.architecture);
            return Err(unloadable(format!(
                "{shown}: the adapter was made for a {made_for} model, this is a {is} one"
            )));
        }
        model.add_adapter(path).map_err(|error| LoadError::of(path, error))?;
        tracing::info!(adapter = %name, path = %path.display(), "adapter loaded");
    }
    Ok(())
}

/// Loads the draft model of a model whose requests have `context` tokens.
///
/// # Errors
/// [`LoadError`] with why it cannot guess for this model.
pub(super) fn load_draft(
    draft: &DraftFile,
    model: &Model,
    settings: &EngineSettings,
    extra: &[Setting],
    context: u32,
) -> Result<Drafter<LlamaEvaluator>, LoadError> {
    let path = draft.path.as_path();
    let refused = |why: &str| unloadable(format!("{}: {why}", path.display()));
    if !model.rolls_back() {
        return Err(refused("a draft model is of no use: the model that it guesses for cannot take a guess back"));
    }
    load::check(path, GgufKind::Model)?;
    let extra: Vec<Setting> = extra.iter().filter(|setting| is_of_any_model(setting)).cloned().collect();
    let loaded = Model::load(path, settings.gpu_layers, &extra).map_err(|error| LoadError::of(path, error))?;
    if !loaded.generates() || !loaded.rolls_back() {
        return Err(refused("such a model cannot guess for another"));
    }
    let vocabulary = shared_vocabulary(path, model, &loaded)?;
    // Beyond the context that it was trained for its guesses are of no use, and some models end the process.
    let (slots, context) = (settings.slots(), context.min(loaded.trained_context()));
    if context < EngineSettings::LEAST_CONTEXT {
        return Err(refused("it says that it was trained for no context"));
    }
    let cells = slots.saturating_mul(context);
    let batch = super::batch_of(cells);
    let options = ContextOptions {
        cells,
        batch,
        sequences: slots,
        outputs: 1,
        threads: settings.threads.unwrap_or_else(|| threads_for(loaded.weight_bytes())),
        kv_type: KvType::default(),
        settings: extra,
    };
    let loaded = Arc::new(loaded);
    let mut evaluated = Context::new(Arc::clone(&loaded), options).map_err(|error| LoadError::of(path, error))?;
    super::evaluate_one(path, &loaded, &mut evaluated)?;
    tracing::info!(draft = %path.display(), tokens = draft.tokens, "draft model loaded");
    let limits = DraftLimits {
        tokens: draft.tokens as usize,
        context: context as usize,
        slots: slots as usize,
        batch: batch as usize,
        vocabulary,
    };
    Ok(Drafter::new(LlamaEvaluator { model: loaded, context: evaluated }, limits))
}

/// Whether a setting says how this machine runs models, and not what is special about one of them.
fn is_of_any_model(setting: &Setting) -> bool {
    !matches!(
        setting,
        Setting::TensorSplit(_)
            | Setting::RopeScaling(_)
            | Setting::RopeFreqBase(_)
            | Setting::RopeFreqScale(_)
            | Setting::YarnOrigCtx(_)
            | Setting::YarnExtFactor(_)
            | Setting::YarnAttnFactor(_)
            | Setting::YarnBetaFast(_)
            | Setting::YarnBetaSlow(_)
    )
}

/// The tokens that a model and its draft have in common: all but padding.
fn shared_vocabulary(path: &Path, model: &Model, draft: &Model) -> Result<u32, LoadError> {
    let refused = |why: String| {
        let advice = "take one with the vocabulary of the model that it guesses for";
        unloadable(format!("{}: the draft model has another vocabulary ({why}); {advice}", path.display()))
    };
    let (is, wanted) = (draft.vocabulary(), model.vocabulary());
    if is.abs_diff(wanted) > PADDING {
        return Err(refused(format!("{is} tokens, not {wanted}")));
    }
    let piece = |of: &Model, token: Token| {
        let mut bytes = Vec::new();
        of.piece(token, true, &mut bytes);
        (bytes, of.ends(token))
    };
    let shared = is.min(wanted);
    match (0..shared).find(|&token| piece(model, token) != piece(draft, token)) {
        Some(token) => Err(refused(format!("token {token} differs"))),
        None => Ok(shared),
    }
}
