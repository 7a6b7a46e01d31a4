//! Settings of llama.cpp beyond those that have a field of their own.

use super::EngineSettings;

/// A setting of llama.cpp, by the name and with the meaning that its own parameters have.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Setting {
    /// `flash_attn`: `on`, `off` or `auto`, which is `None`.
    FlashAttention(Option<bool>),
    /// `use_mmap`: whether weights are mapped from their file, not read.
    Mmap(bool),
    /// `use_mlock`: whether weights are kept from being swapped out.
    Mlock(bool),
    /// `n_threads_batch`: threads that evaluate prompts, where they differ from those that generate.
    ThreadsBatch(u32),
    /// `offload_kqv`: whether an accelerator keeps the KV cache.
    OffloadKqv(bool),
    /// `op_offload`: whether an accelerator helps with layers that it does not keep.
    OpOffload(bool),
    /// `split_mode`: how several accelerators share a model.
    SplitMode(SplitMode),
    /// `main_gpu`: the accelerator that has what is not split.
    MainGpu(u32),
    /// `tensor_split`: the share of each accelerator, separated by commas.
    TensorSplit(Vec<f32>),
    /// `rope_scaling`: how positions beyond the trained context are spread.
    RopeScaling(RopeScaling),
    /// `rope_freq_base`.
    RopeFreqBase(f32),
    /// `rope_freq_scale`.
    RopeFreqScale(f32),
    /// `yarn_orig_ctx`: tokens of context before the model was extended.
    YarnOrigCtx(u32),
    /// `yarn_ext_factor`.
    YarnExtFactor(f32),
    /// `yarn_attn_factor`.
    YarnAttnFactor(f32),
    /// `yarn_beta_fast`.
    YarnBetaFast(f32),
    /// `yarn_beta_slow`.
    YarnBetaSlow(f32),
}

/// How several accelerators share a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitMode {
    /// One has all of it.
    None,
    /// Each has some of the layers.
    Layer,
    /// Each has some of the rows of each layer.
    Row,
}

/// How positions beyond the trained context are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Evenly.
    Linear,
    /// By YaRN (Peng et al. 2023).
    Yarn,
}

/// Why a name and a value are no [`Setting`].
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidSetting {
    /// There is no such name.
    #[error("there is no setting {0:?}; there are {names}", names = Setting::NAMES.join(", "))]
    Unknown(String),
    /// There is no `=` between a name and a value.
    #[error("write NAME=VALUE")]
    NoValue,
    /// The value is not of its kind.
    #[error("{name} takes {takes}, not {value:?}")]
    Value {
        /// Which setting.
        name: &'static str,
        /// What it takes.
        takes: &'static str,
        /// What was written, cut short.
        value: String,
    },
}

const TOGGLE: &str = "true or false";
const COUNT: &str = "a number from 1 to 1024";
const INDEX: &str = "a number from 0 to 63";
const FACTOR: &str = "a number that is not negative";

impl Setting {
    /// All names there are.
    pub const NAMES: [&str; 17] = [
        "flash_attn",
        "use_mmap",
        "use_mlock",
        "n_threads_batch",
        "offload_kqv",
        "op_offload",
        "split_mode",
        "main_gpu",
        "tensor_split",
        "rope_scaling",
        "rope_freq_base",
        "rope_freq_scale",
        "yarn_orig_ctx",
        "yarn_ext_factor",
        "yarn_attn_factor",
        "yarn_beta_fast",
        "yarn_beta_slow",
    ];

    /// The setting that a name and a value say.
    ///
    /// # Errors
    /// [`InvalidSetting`].
    pub fn parse(name: &str, value: &str) -> Result<Self, InvalidSetting> {
        let Some(name) = Self::NAMES.into_iter().find(|known| *known == name) else {
            return Err(InvalidSetting::Unknown(cut(name)));
        };
        let (setting, takes) = match name {
            "flash_attn" => {
                let mode = match value {
                    "on" => Some(Some(true)),
                    "off" => Some(Some(false)),
                    "auto" => Some(None),
                    _ => None,
                };
                (mode.map(Self::FlashAttention), "on, off or auto")
            }
            "use_mmap" => (value.parse().ok().map(Self::Mmap), TOGGLE),
            "use_mlock" => (value.parse().ok().map(Self::Mlock), TOGGLE),
            "offload_kqv" => (value.parse().ok().map(Self::OffloadKqv), TOGGLE),
            "op_offload" => (value.parse().ok().map(Self::OpOffload), TOGGLE),
            "n_threads_batch" => (number(value, 1..=EngineSettings::MOST_THREADS).map(Self::ThreadsBatch), COUNT),
            "split_mode" => {
                let mode = match value {
                    "none" => Some(SplitMode::None),
                    "layer" => Some(SplitMode::Layer),
                    "row" => Some(SplitMode::Row),
                    _ => None,
                };
                (mode.map(Self::SplitMode), "none, layer or row")
            }
            "main_gpu" => (number(value, 0..=63).map(Self::MainGpu), INDEX),
            "tensor_split" => (shares(value).map(Self::TensorSplit), "1 to 64 shares, none negative, such as 3,1"),
            "rope_scaling" => {
                let scaling = match value {
                    "none" => Some(RopeScaling::None),
                    "linear" => Some(RopeScaling::Linear),
                    "yarn" => Some(RopeScaling::Yarn),
                    _ => None,
                };
                (scaling.map(Self::RopeScaling), "none, linear or yarn")
            }
            "rope_freq_base" => (factor(value).map(Self::RopeFreqBase), FACTOR),
            "rope_freq_scale" => (factor(value).map(Self::RopeFreqScale), FACTOR),
            "yarn_orig_ctx" => (number(value, 1..=u32::MAX).map(Self::YarnOrigCtx), "a number of tokens"),
            "yarn_ext_factor" => (factor(value).map(Self::YarnExtFactor), FACTOR),
            "yarn_attn_factor" => (factor(value).map(Self::YarnAttnFactor), FACTOR),
            "yarn_beta_fast" => (factor(value).map(Self::YarnBetaFast), FACTOR),
            _ => (factor(value).map(Self::YarnBetaSlow), FACTOR),
        };
        setting.ok_or_else(|| InvalidSetting::Value { name, takes, value: cut(value) })
    }
}

impl Setting {
    /// The name and the value that `NAME=VALUE` says, which are a setting's.
    ///
    /// # Errors
    /// [`InvalidSetting`].
    pub fn pair(text: &str) -> Result<(String, String), InvalidSetting> {
        let (name, value) = text.split_once('=').ok_or(InvalidSetting::NoValue)?;
        Self::parse(name, value)?;
        Ok((name.to_owned(), value.to_owned()))
    }
}

fn number(text: &str, allowed: std::ops::RangeInclusive<u32>) -> Option<u32> {
    text.parse().ok().filter(|number| allowed.contains(number))
}

fn factor(text: &str) -> Option<f32> {
    text.parse().ok().filter(|factor: &f32| factor.is_finite() && *factor >= 0.0)
}

fn shares(text: &str) -> Option<Vec<f32>> {
    let shares: Vec<f32> =
        text.split(',').take(65).map(|share| factor(share.trim_matches(' '))).collect::<Option<_>>()?;
    (shares.len() <= 64).then_some(shares)
}

fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_takes_a_value_and_refuses_another() {
        let good = |name: &str| match name {
            "flash_attn" => "auto",
            "use_mmap" | "use_mlock" | "offload_kqv" | "op_offload" => "false",
            "split_mode" => "row",
            "tensor_split" => "3, 1",
            "rope_scaling" => "yarn",
            _ => "1",
        };
        for name in Setting::NAMES {
            assert!(Setting::parse(name, good(name)).is_ok(), "{name}");
            for bad in ["", "-1", "maybe", "nan"] {
                let error = Setting::parse(name, bad).unwrap_err();
                assert!(error.to_string().starts_with(&format!("{name} takes ")), "{error}");
            }
        }
    }

    #[test]
    fn what_is_no_setting_is_told_with_those_there_are() {
        let error = Setting::parse("mmap", "true").unwrap_err().to_string();
        assert!(error.starts_with("there is no setting \"mmap\"; there are flash_attn, use_mmap, "), "{error}");
    }

    #[test]
    fn shares_are_bounded() {
        assert_eq!(Setting::parse("tensor_split", "3,1"), Ok(Setting::TensorSplit(vec![3.0, 1.0])));
        assert!(Setting::parse("tensor_split", &["1"; 65].join(",")).is_err());
        assert!(Setting::parse("tensor_split", "1,inf").is_err());
        // A worker gets its settings line by line.
        assert!(Setting::parse("tensor_split", "3,\n1").is_err());
    }
}
