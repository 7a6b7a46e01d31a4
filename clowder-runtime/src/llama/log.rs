//! llama.cpp's log, as `tracing` events.

use llama_cpp_sys_2 as sys;
use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};
use std::ptr;

thread_local! {
    static LAST_ERROR: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Routes the log of llama.cpp and ggml to `tracing`, target `llama.cpp`.
pub(super) fn redirect() {
    // SAFETY: the callback lives as long as the process and takes no user data.
    unsafe { sys::llama_log_set(Some(receive), ptr::null_mut()) };
}

/// Runs `work` and gives, with its result, the first error that llama.cpp logged on this thread meanwhile.
pub(super) fn with_error<T>(work: impl FnOnce() -> T) -> (T, Option<String>) {
    LAST_ERROR.set(None);
    let result = work();
    (result, LAST_ERROR.take())
}

unsafe extern "C" fn receive(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    if text.is_null() {
        return;
    }
    // SAFETY: not null, and llama.cpp hands over a C string that lives until this function returns.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let text = text.trim();
    // Progress dots and the like come in pieces that mean nothing alone.
    if text.len() < 2 || level == sys::GGML_LOG_LEVEL_CONT {
        return;
    }
    match level {
        sys::GGML_LOG_LEVEL_ERROR => {
            LAST_ERROR.with_borrow_mut(|first| {
                first.get_or_insert_with(|| text.to_owned());
            });
            tracing::error!(target: "llama.cpp", "{text}");
        }
        sys::GGML_LOG_LEVEL_WARN => tracing::warn!(target: "llama.cpp", "{text}"),
        sys::GGML_LOG_LEVEL_INFO => tracing::debug!(target: "llama.cpp", "{text}"),
        _ => tracing::trace!(target: "llama.cpp", "{text}"),
    }
}
