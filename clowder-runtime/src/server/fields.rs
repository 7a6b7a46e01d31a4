//! A request's JSON object, field by field: a wrong type or range is an error that names the field.

use super::error::ApiError;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// The fields of a request. A field that is `null` counts as absent; fields that nobody asks for are ignored.
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads a body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(ApiError::invalid("the request's body must be a JSON object")),
            Err(error) => Err(ApiError::invalid(format!("the request's body is no JSON: {error}"))),
        }
    }

    /// A field as it is.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Takes a field out.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.get_mut(name).map(Value::take).filter(|value| !value.is_null())
    }

    /// `true` or `false`; absent is `false`.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(ApiError::field(name, format!("'{name}' must be true or false"))),
        }
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(ApiError::field(name, format!("'{name}' must be a string"))),
        }
    }

    /// A number in a range.
    pub(crate) fn number(&self, name: &str, range: RangeInclusive<f32>) -> Result<Option<f32>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.as_f64().map(|number| number as f32).filter(|number| range.contains(number));
        let (least, most) = range.into_inner();
        let wrong = || ApiError::field(name, format!("'{name}' must be a number from {least} to {most}"));
        number.map(Some).ok_or_else(wrong)
    }

    /// A whole number in a range.
    pub(crate) fn integer(&self, name: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let whole = value.as_i64().or_else(|| value.as_f64().filter(|n| n.fract() == 0.0).map(|n| n as i64));
        let (least, most) = (*range.start(), *range.end());
        let wrong = || ApiError::field(name, format!("'{name}' must be a whole number from {least} to {most}"));
        whole.filter(|number| range.contains(number)).map(Some).ok_or_else(wrong)
    }

    /// A whole number, not negative.
    pub(crate) fn count(&self, name: &str, most: u32) -> Result<Option<u32>, ApiError> {
        let number = self.integer(name, 0..=i64::from(most))?;
        Ok(number.map(|number| u32::try_from(number).unwrap_or(most)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        Fields::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn a_wrong_field_is_named() {
        let fields = fields(r#"{"temperature": "hot", "n": 1.5, "stream": 1, "user": 3, "top_p": 2}"#);
        let param = |error: ApiError| error.body.param.unwrap();
        assert_eq!(param(fields.number("temperature", 0.0..=2.0).unwrap_err()), "temperature");
        assert_eq!(param(fields.integer("n", 1..=8).unwrap_err()), "n");
        assert_eq!(param(fields.flag("stream").unwrap_err()), "stream");
        assert_eq!(param(fields.text("user").unwrap_err()), "user");
        let range = fields.number("top_p", 0.0..=1.0).unwrap_err();
        assert_eq!(range.body.message, "'top_p' must be a number from 0 to 1");
    }

    #[test]
    fn null_is_absent_and_whole_floats_are_whole() {
        let fields = fields(r#"{"stop": null, "max_tokens": 5.0}"#);
        assert!(fields.get("stop").is_none());
        assert_eq!(fields.count("max_tokens", 10).unwrap(), Some(5));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(Fields::parse(b"[]").is_err());
        let error = Fields::parse(b"{\"a\": ").err().unwrap();
        assert!(error.body.message.contains("line 1"), "{error:?}");
    }
}
