//! Further settings, as llama.cpp's parameters.

use super::model::{LoadError, to_c_int};
use clowder_core::model::{RopeScaling, Setting, SplitMode};
use llama_cpp_sys_2 as sys;

/// Sets those of a model, but for [`tensor_split`].
pub(super) fn of_model(settings: &[Setting], params: &mut sys::llama_model_params) {
    for setting in settings {
        match *setting {
            Setting::SplitMode(mode) => {
                params.split_mode = match mode {
                    SplitMode::None => sys::LLAMA_SPLIT_MODE_NONE,
                    SplitMode::Layer => sys::LLAMA_SPLIT_MODE_LAYER,
                    SplitMode::Row => sys::LLAMA_SPLIT_MODE_ROW,
                }
            }
            Setting::MainGpu(index) => params.main_gpu = to_c_int(index),
            _ => {}
        }
    }
    let mapped = settings.iter().find_map(|setting| if let Setting::Mmap(on) = setting { Some(*on) } else { None });
    let locked = settings.contains(&Setting::Mlock(true));
    params.load_mode = match (mapped, locked) {
        (None, false) => params.load_mode,
        (Some(true), false) => sys::LLAMA_LOAD_MODE_MMAP,
        (Some(false), false) => sys::LLAMA_LOAD_MODE_NONE,
        (Some(false), true) => sys::LLAMA_LOAD_MODE_MLOCK,
        (_, true) => sys::LLAMA_LOAD_MODE_MMAP_MLOCK,
    };
}

/// The shares of the devices, one for each that llama.cpp may have; `None` where nothing is said.
pub(super) fn tensor_split(settings: &[Setting]) -> Result<Option<Vec<f32>>, LoadError> {
    let given = settings.iter().find_map(|setting| match setting {
        Setting::TensorSplit(shares) => Some(shares),
        _ => None,
    });
    let Some(given) = given else { return Ok(None) };
    // SAFETY: a plain number.
    let devices = unsafe { sys::llama_max_devices() };
    if given.len() > devices {
        let reason = format!("tensor_split has {} shares, this llama.cpp takes {devices}", given.len());
        return Err(LoadError::Refused(reason));
    }
    let mut shares = given.clone();
    shares.resize(devices, 0.0);
    Ok(Some(shares))
}

/// Sets those of a context.
pub(super) fn of_context(settings: &[Setting], params: &mut sys::llama_context_params) {
    for setting in settings {
        match *setting {
            Setting::FlashAttention(mode) => {
                params.flash_attn_type = match mode {
                    None => sys::LLAMA_FLASH_ATTN_TYPE_AUTO,
                    Some(false) => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
                    Some(true) => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
                }
            }
            Setting::ThreadsBatch(threads) => params.n_threads_batch = to_c_int(threads),
            Setting::OffloadKqv(on) => params.offload_kqv = on,
            Setting::OpOffload(on) => params.op_offload = on,
            Setting::RopeScaling(scaling) => {
                params.rope_scaling_type = match scaling {
                    RopeScaling::None => sys::LLAMA_ROPE_SCALING_TYPE_NONE,
                    RopeScaling::Linear => sys::LLAMA_ROPE_SCALING_TYPE_LINEAR,
                    RopeScaling::Yarn => sys::LLAMA_ROPE_SCALING_TYPE_YARN,
                }
            }
            Setting::RopeFreqBase(base) => params.rope_freq_base = base,
            Setting::RopeFreqScale(scale) => params.rope_freq_scale = scale,
            Setting::YarnOrigCtx(tokens) => params.yarn_orig_ctx = tokens,
            Setting::YarnExtFactor(factor) => params.yarn_ext_factor = factor,
            Setting::YarnAttnFactor(factor) => params.yarn_attn_factor = factor,
            Setting::YarnBetaFast(beta) => params.yarn_beta_fast = beta,
            Setting::YarnBetaSlow(beta) => params.yarn_beta_slow = beta,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(settings: &[Setting]) -> sys::llama_model_params {
        // SAFETY: returns a plain struct.
        let mut params = unsafe { sys::llama_model_default_params() };
        of_model(settings, &mut params);
        params
    }

    #[test]
    fn how_weights_are_loaded_is_one_choice_of_two_settings() {
        let mode = |settings: &[Setting]| model(settings).load_mode;
        assert_eq!(mode(&[]), mode(&[Setting::Mlock(false)]), "llama.cpp's own choice");
        assert_eq!(mode(&[Setting::Mmap(true)]), sys::LLAMA_LOAD_MODE_MMAP);
        assert_eq!(mode(&[Setting::Mmap(false)]), sys::LLAMA_LOAD_MODE_NONE);
        assert_eq!(mode(&[Setting::Mlock(true)]), sys::LLAMA_LOAD_MODE_MMAP_MLOCK);
        assert_eq!(mode(&[Setting::Mlock(true), Setting::Mmap(false)]), sys::LLAMA_LOAD_MODE_MLOCK);
    }

    #[test]
    fn every_setting_changes_a_parameter() {
        let text =
            |params: &sys::llama_model_params, context: &sys::llama_context_params| format!("{params:?} {context:?}");
        // SAFETY: return plain structs.
        let (plain, context) = unsafe { (sys::llama_model_default_params(), sys::llama_context_default_params()) };
        let value = |name: &str| match name {
            "flash_attn" => "on",
            "use_mmap" | "offload_kqv" | "op_offload" => "false",
            "use_mlock" => "true",
            "split_mode" => "row",
            "rope_scaling" => "yarn",
            _ => "3",
        };
        for name in Setting::NAMES.into_iter().filter(|name| *name != "tensor_split") {
            let setting = [Setting::parse(name, value(name)).unwrap()];
            let mut changed = context;
            of_context(&setting, &mut changed);
            assert_ne!(text(&model(&setting), &changed), text(&plain, &context), "{name}");
        }
    }

    #[test]
    fn shares_are_one_for_each_device() {
        // SAFETY: a plain number.
        let devices = unsafe { sys::llama_max_devices() };
        let split = |shares: usize| tensor_split(&[Setting::TensorSplit(vec![1.0; shares])]);
        assert_eq!(split(1).unwrap().unwrap().len(), devices);
        assert!(split(devices + 1).unwrap_err().to_string().contains("shares"));
        assert_eq!(tensor_split(&[]), Ok(None));
    }
}
