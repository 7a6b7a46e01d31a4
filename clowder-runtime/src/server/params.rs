//! The parameters that chat and plain completions share, validated.

use super::error::ApiError;
use super::fields::Fields;
use clowder_core::ModelName;
use clowder_core::engine::{GenerateRequest, Sampling, Token};
use serde_json::Value;

/// The most alternatives of one request, over all its prompts.
pub(crate) const MAX_CHOICES: usize = 16;

const MAX_STOPS: usize = 16;
const MAX_STOP_BYTES: usize = 1024;
const MAX_BIASES: usize = 1024;

/// What a request asks for beside its prompt.
#[derive(Clone, Debug)]
pub(crate) struct Params {
    pub(crate) sampling: Sampling,
    pub(crate) max_tokens: Option<u32>,
    pub(crate) stop: Vec<String>,
    pub(crate) ignore_eos: bool,
    pub(crate) logprobs: Option<u32>,
    pub(crate) n: usize,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) adapter: Option<ModelName>,
}

impl Params {
    /// Reads them; `logprobs` differ between the two kinds of request. The adapter is not among them: which there are is
    /// the model's.
    pub(crate) fn read(fields: &Fields, logprobs: Option<u32>) -> Result<Self, ApiError> {
        let limit = |name| fields.count(name, u32::MAX);
        let max_tokens = match limit("max_completion_tokens")? {
            Some(most) => Some(most),
            None => limit("max_tokens")?,
        };
        let stream = fields.flag("stream")?;
        Ok(Self {
            sampling: sampling(fields)?,
            max_tokens,
            stop: stops(fields)?,
            ignore_eos: fields.flag("ignore_eos")?,
            logprobs,
            n: fields.integer("n", 1..=MAX_CHOICES as i64)?.map_or(1, |n| usize::try_from(n).unwrap_or(1)),
            stream,
            include_usage: stream && include_usage(fields)?,
            adapter: None,
        })
    }

    /// The request of the `choice`th alternative.
    pub(crate) fn request(&self, prompt: Vec<Token>, choice: u32) -> GenerateRequest {
        let mut sampling = self.sampling.clone();
        // Alternatives of one seed differ, each the same every time.
        sampling.seed = sampling.seed.map(|seed| seed.wrapping_add(choice));
        GenerateRequest {
            adapter: self.adapter.clone(),
            prompt,
            max_tokens: self.max_tokens,
            sampling,
            stop: self.stop.clone(),
            logprobs: self.logprobs,
            ignore_eos: self.ignore_eos,
        }
    }
}

fn sampling(fields: &Fields) -> Result<Sampling, ApiError> {
    let default = Sampling::default();
    let number = |name, range, default: f32| fields.number(name, range).map(|number| number.unwrap_or(default));
    // llama.cpp's spelling of "all" and "off" is -1 in places.
    let window = |name, default: u32| -> Result<u32, ApiError> {
        let number = fields.integer(name, -1..=i64::from(i32::MAX))?;
        Ok(number.map_or(default, |number| u32::try_from(number).unwrap_or(0)))
    };
    let seed = fields.integer("seed", i64::MIN..=i64::MAX)?.filter(|&seed| seed != -1);
    Ok(Sampling {
        temperature: number("temperature", 0.0..=100.0, default.temperature)?,
        top_k: window("top_k", default.top_k)?,
        top_p: number("top_p", 0.0..=1.0, default.top_p)?,
        min_p: number("min_p", 0.0..=1.0, default.min_p)?,
        typical_p: number("typical_p", 0.0..=1.0, default.typical_p)?,
        repeat_penalty: number("repeat_penalty", 0.01..=100.0, default.repeat_penalty)?,
        repeat_last_n: match fields.integer("repeat_last_n", -1..=i64::from(i32::MAX))? {
            Some(-1) => i32::MAX as u32,
            _ => window("repeat_last_n", default.repeat_last_n)?,
        },
        presence_penalty: number("presence_penalty", -2.0..=2.0, 0.0)?,
        frequency_penalty: number("frequency_penalty", -2.0..=2.0, 0.0)?,
        logit_bias: biases(fields)?,
        seed: seed.map(|seed| (seed & 0xffff_ffff) as u32),
    })
}

fn biases(fields: &Fields) -> Result<Vec<(Token, f32)>, ApiError> {
    const NAME: &str = "logit_bias";
    let wrong = || {
        ApiError::field(NAME, format!("'{NAME}' must map at most {MAX_BIASES} token ids to numbers from -100 to 100"))
    };
    match fields.get(NAME) {
        None => Ok(Vec::new()),
        Some(Value::Object(biases)) if biases.len() <= MAX_BIASES => biases
            .iter()
            .map(|(token, bias)| {
                let token = token.parse().map_err(|_| wrong())?;
                let bias = bias.as_f64().filter(|bias| (-100.0..=100.0).contains(bias)).ok_or_else(wrong)?;
                // The ends of OpenAI's scale mean "never" and "always".
                Ok((token, if bias <= -100.0 { f32::NEG_INFINITY } else { bias as f32 }))
            })
            .collect(),
        Some(_) => Err(wrong()),
    }
}

fn stops(fields: &Fields) -> Result<Vec<String>, ApiError> {
    let wrong = || {
        let message =
            format!("'stop' must be a string or at most {MAX_STOPS} strings, of {MAX_STOP_BYTES} bytes at most");
        ApiError::field("stop", message)
    };
    let fits = |text: &str| text.len() <= MAX_STOP_BYTES;
    let stops = match fields.get("stop") {
        None => return Ok(Vec::new()),
        Some(Value::String(stop)) if fits(stop) => vec![stop.clone()],
        Some(Value::Array(stops)) if stops.len() <= MAX_STOPS => stops
            .iter()
            .map(|stop| stop.as_str().filter(|stop| fits(stop)).map(str::to_owned).ok_or_else(wrong))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(wrong()),
    };
    Ok(stops.into_iter().filter(|stop: &String| !stop.is_empty()).collect())
}

fn include_usage(fields: &Fields) -> Result<bool, ApiError> {
    let wrong = || ApiError::field("stream_options", "'stream_options' must be {\"include_usage\": true or false}");
    match fields.get("stream_options") {
        None => Ok(false),
        Some(Value::Object(options)) => match options.get("include_usage") {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(wrong()),
        },
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Params, ApiError> {
        Params::read(&Fields::parse(json.as_bytes())?, None)
    }

    #[test]
    fn all_parameters_are_read() {
        let params = read(
            r#"{"temperature": 0.5, "top_k": -1, "top_p": 1, "seed": 7, "stop": ["a", ""], "max_tokens": 3,
                "max_completion_tokens": 4, "n": 2, "stream": true, "stream_options": {"include_usage": true},
                "logit_bias": {"5": -100, "6": 1.5}, "repeat_last_n": -1, "unknown": {}}"#,
        )
        .unwrap();
        assert_eq!((params.sampling.temperature, params.sampling.top_k), (0.5, 0));
        assert_eq!(params.sampling.logit_bias, [(5, f32::NEG_INFINITY), (6, 1.5)]);
        assert_eq!(params.sampling.repeat_last_n, i32::MAX as u32);
        assert_eq!((params.stop.as_slice(), params.max_tokens), (["a".to_owned()].as_slice(), Some(4)));
        assert!(params.stream && params.include_usage);
        assert_eq!(params.request(vec![1], 1).sampling.seed, Some(8));
    }

    #[test]
    fn nothing_given_is_llama_servers_defaults() {
        let params = read("{}").unwrap();
        assert_eq!((params.sampling, params.n, params.stream), (Sampling::default(), 1, false));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, param) in [
            (r#"{"temperature": -1}"#, "temperature"),
            (r#"{"stop": 1}"#, "stop"),
            (r#"{"stop": [1]}"#, "stop"),
            (r#"{"logit_bias": {"x": 1}}"#, "logit_bias"),
            (r#"{"logit_bias": {"1": 101}}"#, "logit_bias"),
            (r#"{"n": 0}"#, "n"),
            (r#"{"max_tokens": -5}"#, "max_tokens"),
            (r#"{"stream": true, "stream_options": []}"#, "stream_options"),
            (r#"{"seed": 1.5}"#, "seed"),
        ] {
            assert_eq!(read(json).unwrap_err().body.param.as_deref(), Some(param), "{json}");
        }
    }
}
