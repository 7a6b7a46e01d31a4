//! A context: the KV cache of all sequences, and evaluation.

use super::batch::Batch;
use super::log;
use super::model::{LoadError, Model, to_c_int};
use super::settings;
use clowder_core::model::{KvType, Setting};
use llama_cpp_sys_2 as sys;
use std::ptr::NonNull;
use std::sync::Arc;

/// Words of llama.cpp for a type of KV cells that a model cannot have.
const MISFITS: [&str; 3] = ["does not divide", "flash_attn", "Flash Attention"];

/// Names a sequence; below [`ContextOptions::sequences`].
pub(crate) type SeqId = u32;

/// How large a context is made.
#[derive(Clone, Debug)]
pub(crate) struct ContextOptions {
    /// KV cells, shared by all sequences.
    pub(crate) cells: u32,
    /// Tokens that one call may evaluate.
    pub(crate) batch: u32,
    /// Sequences kept apart.
    pub(crate) sequences: u32,
    /// Tokens of one sequence whose logits one call may give.
    pub(crate) outputs: u32,
    /// Threads of the matrix kernels.
    pub(crate) threads: u32,
    /// Number format of the KV cells.
    pub(crate) kv_type: KvType,
    /// Further settings; those of the model are left out.
    pub(crate) settings: Vec<Setting>,
}

impl ContextOptions {
    /// Rows of logits that one call may give: no more than it has tokens.
    fn rows(&self) -> u32 {
        self.sequences.saturating_mul(self.outputs).min(self.batch)
    }
}

/// Why a batch was not evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// The KV cells do not hold it; nothing has changed.
    #[error("the KV cache is full")]
    NoRoom,
    /// Something broke; part of the batch may be in the KV cache.
    #[error("llama.cpp failed with code {0}")]
    Broken(i32),
}

/// The KV cache of all sequences.
///
/// The cache is unified: a cell may belong to several sequences, so a shared prefix is held once.
pub(crate) struct Context {
    context: NonNull<sys::llama_context>,
    memory: sys::llama_memory_t,
    options: ContextOptions,
    /// The adapter in effect, by its number.
    adapter: Option<usize>,
    model: Arc<Model>,
}

// SAFETY: a context is bound to no thread; all that changes it takes `&mut self`, and it is not `Sync`.
unsafe impl Send for Context {}

impl Context {
    /// Allocates a context of a model.
    pub(crate) fn new(model: Arc<Model>, options: ContextOptions) -> Result<Self, LoadError> {
        // SAFETY: a plain number.
        let most = u32::try_from(unsafe { sys::llama_max_parallel_sequences() }).unwrap_or(u32::MAX);
        if options.sequences > most {
            let reason = format!("{} slots are more than llama.cpp's {most}", options.sequences);
            return Err(LoadError::Refused(reason));
        }
        let kv_type = match options.kv_type {
            KvType::F32 => sys::GGML_TYPE_F32,
            KvType::F16 => sys::GGML_TYPE_F16,
            KvType::Q8_0 => sys::GGML_TYPE_Q8_0,
            KvType::Q4_0 => sys::GGML_TYPE_Q4_0,
        };
        // SAFETY: returns a plain struct.
        let mut params = unsafe { sys::llama_context_default_params() };
        params.n_ctx = options.cells;
        params.n_batch = options.batch;
        params.n_ubatch = options.batch;
        params.n_seq_max = options.sequences;
        // The default reserves a row of logits for each token of a batch.
        params.n_outputs_max = options.rows();
        params.n_outputs_max_per_seq = options.outputs;
        params.n_threads = to_c_int(options.threads);
        params.n_threads_batch = to_c_int(options.threads);
        params.flash_attn_type = sys::LLAMA_FLASH_ATTN_TYPE_AUTO;
        params.type_k = kv_type;
        params.type_v = kv_type;
        params.kv_unified = true;
        // Without the full-size window cache a sequence of a sliding-window model cannot be cut back.
        params.swa_full = true;
        params.no_perf = true;
        settings::of_context(&options.settings, &mut params);
        // SAFETY: the model is loaded and outlives the context by the `Arc` kept beside it; the parameters are llama.cpp's
        // defaults with numbers changed.
        let (context, logged) = log::with_error(|| unsafe { sys::llama_init_from_model(model.as_ptr(), params) });
        let Some(context) = NonNull::new(context) else {
            return Err(not_made(logged, options.cells));
        };
        // SAFETY: the context is alive; its memory lives as long as it does.
        let memory = unsafe { sys::llama_get_memory(context.as_ptr()) };
        let made = Self { context, memory, options, adapter: None, model };
        if memory.is_null() {
            return Err(LoadError::Refused("the model has no KV cache and cannot generate".to_owned()));
        }
        Ok(made)
    }

    /// KV cells there are, as llama.cpp rounded them.
    pub(crate) fn cells(&self) -> u32 {
        // SAFETY: the context is alive.
        unsafe { sys::llama_n_ctx(self.context.as_ptr()) }
    }

    /// Evaluates, from now on, with the model's so-manieth adapter, or with none; one that there is not is none.
    pub(crate) fn select(&mut self, adapter: Option<usize>) {
        // Each change has llama.cpp lay out its graphs anew.
        if self.adapter == adapter {
            return;
        }
        self.adapter = adapter;
        let mut adapters: Vec<_> = adapter.and_then(|number| self.model.adapter(number)).into_iter().collect();
        let mut scales = vec![1.0_f32; adapters.len()];
        // SAFETY: the context is alive; the adapters are of its model, which keeps them as long as it lives; both arrays are
        // of the length given and are only read.
        unsafe {
            sys::llama_set_adapters_lora(
                self.context.as_ptr(),
                adapters.as_mut_ptr(),
                adapters.len(),
                scales.as_mut_ptr(),
            )
        };
    }

    /// Evaluates a batch.
    pub(crate) fn decode(&mut self, batch: &mut Batch) -> Result<(), DecodeError> {
        let fits = (1..=self.options.batch as usize).contains(&batch.len());
        let known = batch.last_sequence() < to_c_int(self.options.sequences);
        let given = batch.outputs() <= self.options.rows() as usize;
        if !fits || !known || !given || !batch.tokens_within(self.model.vocabulary()) {
            return Err(DecodeError::Broken(-1));
        }
        // SAFETY: the context is alive; the raw batch points into `batch`, which outlives the call, and every number in it
        // was checked above.
        match unsafe { sys::llama_decode(self.context.as_ptr(), batch.as_raw()) } {
            0 => Ok(()),
            1 => Err(DecodeError::NoRoom),
            code => Err(DecodeError::Broken(code)),
        }
    }

    /// The logits of the `index`th token of the batch evaluated last; `None` where none were asked for.
    pub(crate) fn logits(&self, index: usize) -> Option<&[f32]> {
        let index = i32::try_from(index).ok()?;
        // SAFETY: the context is alive; llama.cpp checks a non-negative index and answers null for one it does not have.
        // The call may wait for the evaluation to end, which changes nothing that a shared reference shows.
        let row = NonNull::new(unsafe { sys::llama_get_logits_ith(self.context.as_ptr(), index) })?;
        // SAFETY: a row has a number for each token of the vocabulary and is valid until the next `decode`, which takes
        // `&mut self`.
        Some(unsafe { std::slice::from_raw_parts(row.as_ptr(), self.model.vocabulary() as usize) })
    }

    /// Forgets a sequence from a position on; `false` where it cannot be cut there.
    pub(crate) fn forget(&mut self, sequence: SeqId, from: u32) -> bool {
        // SAFETY: the memory lives as long as the context; llama.cpp checks the sequence.
        sequence < self.options.sequences
            && unsafe { sys::llama_memory_seq_rm(self.memory, to_c_int(sequence), to_c_int(from), -1) }
    }

    /// Lets `to`, which must be empty, share the first `until` tokens of `from`.
    pub(crate) fn share(&mut self, from: SeqId, to: SeqId, until: u32) {
        if from.max(to) < self.options.sequences && from != to {
            // SAFETY: the memory lives as long as the context, both sequences are in range.
            unsafe { sys::llama_memory_seq_cp(self.memory, to_c_int(from), to_c_int(to), 0, to_c_int(until)) };
        }
    }

    /// Tokens of a sequence in the cache.
    pub(crate) fn resident(&self, sequence: SeqId) -> u32 {
        if sequence >= self.options.sequences {
            return 0;
        }
        // SAFETY: the memory lives as long as the context, the sequence is in range.
        let last = unsafe { sys::llama_memory_seq_pos_max(self.memory, to_c_int(sequence)) };
        u32::try_from(last.saturating_add(1)).unwrap_or(0)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made by llama.cpp, freed once; the model is still alive.
        unsafe { sys::llama_free(self.context.as_ptr()) };
    }
}

/// What llama.cpp's first line of error says about a context that it did not make: most often that memory is short.
fn not_made(logged: Option<String>, cells: u32) -> LoadError {
    let reason = logged.unwrap_or_else(|| "llama.cpp gives no reason".to_owned());
    match MISFITS.iter().any(|words| reason.contains(words)) {
        true => LoadError::Refused(format!("the KV cache does not suit the model: {reason}")),
        false => LoadError::Failed(format!("a KV cache of {cells} tokens cannot be allocated: {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_of_cells_that_does_not_fit_is_refused_and_short_memory_is_not() {
        let told = |line: &str| not_made(Some(line.to_owned()), 512);
        for line in [
            "llama_init_from_model: K cache type q8_0 with block size 32 does not divide n_embd_head_k=48",
            "llama_init_from_model: quantized V cache requires flash_attn to be enabled",
            "llama_init_from_model: failed to initialize the context: quantized V cache was requested, but this requires \
             Flash Attention",
        ] {
            assert!(matches!(told(line), LoadError::Refused(_)), "{line}");
        }
        let short = told("ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 68719476736");
        assert!(matches!(short, LoadError::Failed(_)));
        assert!(short.to_string().starts_with("a KV cache of 512 tokens cannot be allocated: "));
        assert!(matches!(not_made(None, 512), LoadError::Failed(_)));
    }
}
