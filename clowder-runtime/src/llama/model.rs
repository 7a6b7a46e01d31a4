//! A loaded model and its vocabulary.

use super::{log, settings};
use clowder_core::engine::Token;
use clowder_core::model::Setting;
use llama_cpp_sys_2 as sys;
use std::ffi::CString;
use std::path::Path;
use std::ptr::NonNull;

/// Why llama.cpp did not load a file, in its own words where it had any.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoadError {
    /// The file's content or the settings forbid it.
    #[error("{0}")]
    Refused(String),
    /// Memory or the file was not to be had; another attempt may get it.
    #[error("{0}")]
    Failed(String),
}

/// Words of llama.cpp, ggml and their accelerators for memory or a file that was not to be had. The API has no code that
/// tells these apart from a file that is wrong.
const FAILURES: [&str; 10] = [
    "failed to allocate",
    "unable to allocate",
    "attempted to allocate",
    "memory allocation",
    "malloc failed",
    "out of memory",
    "bad_alloc",
    "failed to open",
    "mmap failed",
    "read error",
];

/// A model in memory.
pub(crate) struct Model {
    model: NonNull<sys::llama_model>,
    vocab: NonNull<sys::llama_vocab>,
    vocabulary: u32,
    /// Freed with the model.
    adapters: Vec<NonNull<sys::llama_adapter_lora>>,
}

// SAFETY: llama.cpp reads a loaded model and its vocabulary from any thread; nothing here changes either after `load`,
// but the creation of a context, which `Context::new` keeps to one thread by taking a model that has none yet, and
// `add_adapter`, which takes `&mut self`.
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

impl Model {
    /// Loads a GGUF file. `gpu_layers` of `None` puts all it can on an accelerator. Settings of a context are left out.
    pub(crate) fn load(path: &Path, gpu_layers: Option<u32>, settings: &[Setting]) -> Result<Self, LoadError> {
        super::start();
        let c_path = c_path(path)?;
        let shares = settings::tensor_split(settings)?;
        // SAFETY: returns a plain struct.
        let mut params = unsafe { sys::llama_model_default_params() };
        params.n_gpu_layers = gpu_layers.map_or(-1, to_c_int);
        settings::of_model(settings, &mut params);
        if let Some(shares) = &shares {
            params.tensor_split = shares.as_ptr();
        }
        // SAFETY: the path is a C string that outlives the call; the parameters are llama.cpp's own defaults with numbers
        // changed, and the shares, where given, have one for each device there may be and outlive the call.
        let (model, logged) = log::with_error(|| unsafe { sys::llama_model_load_from_file(c_path.as_ptr(), params) });
        let Some(model) = NonNull::new(model) else {
            return Err(not_loaded(logged));
        };
        // SAFETY: the model is loaded; its vocabulary lives as long as it does.
        let vocab = unsafe { sys::llama_model_get_vocab(model.as_ptr()) };
        let Some(vocab) = NonNull::new(vocab.cast_mut()) else {
            // SAFETY: loaded above, used nowhere else.
            unsafe { sys::llama_model_free(model.as_ptr()) };
            return Err(LoadError::Refused("it has no vocabulary".to_owned()));
        };
        // SAFETY: the vocabulary is of a loaded model.
        let vocabulary = unsafe { sys::llama_vocab_n_tokens(vocab.as_ptr()) };
        Ok(Self { model, vocab, vocabulary: u32::try_from(vocabulary).unwrap_or(0), adapters: Vec::new() })
    }

    /// Loads a LoRA adapter beside the model; its number is that of those before it.
    pub(crate) fn add_adapter(&mut self, path: &Path) -> Result<(), LoadError> {
        let c_path = c_path(path)?;
        // SAFETY: the model is loaded and nobody else uses it; the path is a C string that outlives the call.
        let load = || unsafe { sys::llama_adapter_lora_init(self.as_ptr(), c_path.as_ptr()) };
        let (adapter, logged) = log::with_error(load);
        let adapter = NonNull::new(adapter).ok_or_else(|| not_loaded(logged))?;
        self.adapters.push(adapter);
        // SAFETY: the adapter is loaded.
        match unsafe { sys::llama_adapter_get_alora_n_invocation_tokens(adapter.as_ptr()) } {
            0 => Ok(()),
            _ => Err(LoadError::Refused("it is an activated LoRA, which this engine does not evaluate".to_owned())),
        }
    }

    /// The so-manieth adapter.
    pub(super) fn adapter(&self, number: usize) -> Option<*mut sys::llama_adapter_lora> {
        self.adapters.get(number).map(|adapter| adapter.as_ptr())
    }

    pub(super) fn as_ptr(&self) -> *mut sys::llama_model {
        self.model.as_ptr()
    }

    /// Tokens in the vocabulary.
    pub(crate) fn vocabulary(&self) -> u32 {
        self.vocabulary
    }

    /// Tokens of context it was trained for.
    pub(crate) fn trained_context(&self) -> u32 {
        // SAFETY: the model is loaded.
        u32::try_from(unsafe { sys::llama_model_n_ctx_train(self.as_ptr()) }).unwrap_or(0)
    }

    /// Parameters in all tensors.
    pub(crate) fn parameters(&self) -> u64 {
        // SAFETY: the model is loaded.
        unsafe { sys::llama_model_n_params(self.as_ptr()) }
    }

    /// Bytes of all tensors.
    pub(crate) fn weight_bytes(&self) -> u64 {
        // SAFETY: the model is loaded.
        unsafe { sys::llama_model_size(self.as_ptr()) }
    }

    /// Whether it predicts the next token from those before: what this engine serves.
    pub(crate) fn generates(&self) -> bool {
        // SAFETY: the model is loaded.
        unsafe {
            sys::llama_model_has_decoder(self.as_ptr())
                && !sys::llama_model_has_encoder(self.as_ptr())
                && !sys::llama_model_is_diffusion(self.as_ptr())
                && sys::llama_vocab_type(self.vocab.as_ptr()) != sys::LLAMA_VOCAB_TYPE_NONE
        }
    }

    /// Whether a sequence can be cut back to any shorter one. A recurrent state cannot.
    pub(crate) fn rolls_back(&self) -> bool {
        // SAFETY: the model is loaded.
        unsafe { !sys::llama_model_is_recurrent(self.as_ptr()) && !sys::llama_model_is_hybrid(self.as_ptr()) }
    }

    /// A string of the file's metadata.
    pub(crate) fn metadata(&self, key: &str) -> Option<String> {
        let key = CString::new(key).ok()?;
        let mut buffer = vec![0_u8; 1024];
        loop {
            // SAFETY: the key is a C string, the buffer is writable for the length given.
            let length = unsafe {
                sys::llama_model_meta_val_str(self.as_ptr(), key.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len())
            };
            let length = usize::try_from(length).ok()?;
            if length < buffer.len() {
                buffer.truncate(length);
                return String::from_utf8(buffer).ok();
            }
            buffer.resize(length + 1, 0);
        }
    }

    /// The token that begins a sequence.
    pub(crate) fn bos(&self) -> Option<Token> {
        // SAFETY: the vocabulary lives as long as the model.
        self.known(unsafe { sys::llama_vocab_bos(self.vocab.as_ptr()) })
    }

    /// The token that ends a turn.
    pub(crate) fn eos(&self) -> Option<Token> {
        // SAFETY: the vocabulary lives as long as the model.
        self.known(unsafe { sys::llama_vocab_eos(self.vocab.as_ptr()) })
    }

    /// Whether the vocabulary wants its first token before every text.
    pub(crate) fn adds_bos(&self) -> bool {
        // SAFETY: the vocabulary lives as long as the model.
        unsafe { sys::llama_vocab_get_add_bos(self.vocab.as_ptr()) }
    }

    /// Whether a token ends the output.
    pub(crate) fn ends(&self, token: Token) -> bool {
        // SAFETY: the vocabulary lives as long as the model, and the token is in it.
        token < self.vocabulary && unsafe { sys::llama_vocab_is_eog(self.vocab.as_ptr(), to_c_int(token)) }
    }

    /// The tokens of a text, no token added; `special` reads control tokens in it as such. `None` where llama.cpp cannot
    /// spell it.
    pub(crate) fn tokenize(&self, text: &str, special: bool) -> Option<Vec<Token>> {
        let bytes = i32::try_from(text.len()).ok()?;
        let mut tokens: Vec<sys::llama_token> = vec![0; text.len() / 2 + 16];
        for _ in 0..2 {
            // SAFETY: the text is readable for its length, the tokens are writable for theirs.
            let count = unsafe {
                sys::llama_tokenize(
                    self.vocab.as_ptr(),
                    text.as_ptr().cast(),
                    bytes,
                    tokens.as_mut_ptr(),
                    i32::try_from(tokens.len()).ok()?,
                    false,
                    special,
                )
            };
            if let Ok(count) = usize::try_from(count) {
                tokens.truncate(count);
                return tokens.into_iter().map(|token| self.known(token)).collect();
            }
            tokens.resize(usize::try_from(count.checked_neg()?).ok()?, 0);
        }
        None
    }

    /// Appends a token's bytes; control tokens have some only when `special`.
    pub(crate) fn piece(&self, token: Token, special: bool, bytes: &mut Vec<u8>) {
        if token >= self.vocabulary {
            return;
        }
        let start = bytes.len();
        let mut room = 32;
        for _ in 0..2 {
            bytes.resize(start + room, 0);
            // SAFETY: the token is in the vocabulary, and the buffer is writable for `room` bytes from `start`.
            let length = unsafe {
                sys::llama_token_to_piece(
                    self.vocab.as_ptr(),
                    to_c_int(token),
                    bytes[start..].as_mut_ptr().cast(),
                    to_c_int(u32::try_from(room).unwrap_or(0)),
                    0,
                    special,
                )
            };
            if let Ok(length) = usize::try_from(length) {
                bytes.truncate(start + length);
                return;
            }
            room = usize::try_from(length.unsigned_abs()).unwrap_or(0);
        }
        bytes.truncate(start);
    }

    fn known(&self, token: sys::llama_token) -> Option<Token> {
        u32::try_from(token).ok().filter(|token| *token < self.vocabulary)
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: made by llama.cpp, freed once; contexts hold an `Arc` of the model, so none is left.
        unsafe { sys::llama_model_free(self.as_ptr()) };
    }
}

/// Numbers of this module come from vocabularies and settings far below `i32::MAX`; a larger one saturates.
pub(super) fn to_c_int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn c_path(path: &Path) -> Result<CString, LoadError> {
    CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|_| LoadError::Refused("its path contains a zero byte".to_owned()))
}

/// What llama.cpp's first line of error says about a model that it did not load.
fn not_loaded(logged: Option<String>) -> LoadError {
    let reason = readable(logged);
    let lower = reason.to_ascii_lowercase();
    match FAILURES.iter().any(|words| lower.contains(words)) {
        true => LoadError::Failed(reason),
        false => LoadError::Refused(reason),
    }
}

/// llama.cpp begins its lines with the name of a function, which says nothing to a user.
fn readable(logged: Option<String>) -> String {
    let Some(line) = logged else {
        return "llama.cpp refuses it without a reason".to_owned();
    };
    let line = line.split_once(": ").filter(|(name, _)| !name.contains(' ')).map_or(line.as_str(), |(_, rest)| rest);
    let told = ["error loading model: ", "failed to apply lora adapter: "];
    told.iter().find_map(|words| line.strip_prefix(words)).unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_file_forbids_is_refused() {
        let told = |line: &str| not_loaded(Some(line.to_owned()));
        for (line, reason) in [
            (
                "llama_model_load: error loading model: unable to allocate CUDA0 buffer",
                "unable to allocate CUDA0 buffer",
            ),
            (
                "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9.00 MiB on device 0: cudaMalloc failed: out of memory",
                "allocating 9.00 MiB on device 0: cudaMalloc failed: out of memory",
            ),
            (
                "llama_model_load: error loading model: failed to open /m.gguf: No such file or directory",
                "failed to open /m.gguf: No such file or directory",
            ),
        ] {
            assert_eq!(told(line), LoadError::Failed(reason.to_owned()));
        }
        for line in [
            "llama_model_load: error loading model: unknown model architecture: 'lynx'",
            "gguf_init_from_file_impl: memory size overflow while allocating ggml context",
            "llama_model_load: error loading model: missing tensor 'token_embd.weight'",
        ] {
            assert!(matches!(told(line), LoadError::Refused(_)), "{line}");
        }
        assert!(matches!(not_loaded(None), LoadError::Refused(_)));
    }
}
