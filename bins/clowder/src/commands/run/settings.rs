//! What `/set` sets.

use crate::client::Message;
use serde_json::{Map, Value};

/// A number that a request may carry.
struct Setting {
    name: &'static str,
    what: &'static str,
    whole: bool,
    min: f64,
    max: f64,
}

const fn share(name: &'static str, what: &'static str) -> Setting {
    Setting { name, what, whole: false, min: 0.0, max: 1.0 }
}

const fn number(name: &'static str, what: &'static str, min: f64, max: f64) -> Setting {
    Setting { name, what, whole: false, min, max }
}

const fn count(name: &'static str, what: &'static str, max: u32) -> Setting {
    Setting { name, what, whole: true, min: 0.0, max: max as f64 }
}

const SETTINGS: [Setting; 9] = [
    number("temperature", "how freely the next word is chosen, 0 to 2", 0.0, 2.0),
    share("top_p", "only the likeliest words that make up this share, 0 to 1"),
    count("top_k", "only so many of the likeliest words; 0 is all", 1_000_000),
    share("min_p", "only words at least this share as likely as the likeliest, 0 to 1"),
    number("repeat_penalty", "above 1: repeats less", 0.0, 10.0),
    number("presence_penalty", "above 0: new subjects, -2 to 2", -2.0, 2.0),
    number("frequency_penalty", "above 0: new words, -2 to 2", -2.0, 2.0),
    count("max_tokens", "the longest answer, in tokens", 10_000_000),
    count("seed", "the same number gives the same answer", u32::MAX),
];

/// The settings of a conversation.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    /// What the model is told before the conversation.
    pub(super) system: Option<String>,
    options: Map<String, Value>,
}

impl Settings {
    /// Sets one by name; the error says what may be set.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let setting = SETTINGS.iter().find(|setting| setting.name == name).ok_or_else(|| {
            let names: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
            format!("there is no setting {name:?}; there are: {}", names.join(", "))
        })?;
        if value == "default" {
            self.options.remove(name);
            return Ok(());
        }
        let number: Option<f64> = value.parse().ok();
        let fits =
            |number: &f64| (setting.min..=setting.max).contains(number) && (!setting.whole || number.fract() == 0.0);
        let number = number.filter(fits).ok_or_else(|| {
            let kind = if setting.whole { "a whole number" } else { "a number" };
            format!("{name} takes {kind} from {} to {}, or `default`; not {value:?}", setting.min, setting.max)
        })?;
        let json = if setting.whole { Value::from(number as u64) } else { Value::from(number) };
        self.options.insert(name.to_owned(), json);
        Ok(())
    }

    /// The settings as fields of a request.
    pub(super) fn options(&self) -> &Map<String, Value> {
        &self.options
    }

    /// All settings with their values, a line each.
    pub(super) fn describe(&self) -> String {
        let line = |setting: &Setting| {
            let value = self.options.get(setting.name).map_or_else(|| "default".to_owned(), Value::to_string);
            format!("  {:18} {value:10} {}", setting.name, setting.what)
        };
        SETTINGS.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// The messages to send: the system's, those so far, and the question.
    pub(super) fn conversation(&self, so_far: &[Message], question: &str) -> Vec<Message> {
        let system = self.system.iter().map(|text| Message { role: "system", content: text.clone() });
        let asked = Message { role: "user", content: question.to_owned() };
        system.chain(so_far.iter().cloned()).chain([asked]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_and_can_be_taken_back() {
        let mut settings = Settings::default();
        settings.set("temperature", "0.5").unwrap();
        settings.set("max_tokens", "64").unwrap();
        assert_eq!(serde_json::json!(settings.options()), serde_json::json!({ "temperature": 0.5, "max_tokens": 64 }));
        settings.set("temperature", "default").unwrap();
        assert!(!settings.options().contains_key("temperature"));
        for (name, value) in [("temperature", "9"), ("temperature", "NaN"), ("top_k", "1.5"), ("colour", "1")] {
            assert!(settings.set(name, value).is_err(), "{name} {value}");
        }
    }
}
