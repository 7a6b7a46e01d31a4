//! Schemas of OpenAPI 3.0 as JSON Schema.

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};
use std::net::IpAddr;

/// The schemas of a description, in the dialect that the validator speaks.
pub(super) struct Schemas(Value);

impl Schemas {
    pub(super) fn new(document: &Value) -> Self {
        Self(json!({ "schemas": translated(&document["components"]["schemas"]) }))
    }

    /// A schema of the description, by name.
    pub(super) fn named(&self, name: &str) -> Validator {
        self.compile(&json!({ "$ref": format!("#/components/schemas/{name}") }))
    }

    /// A schema that may refer to others of the description.
    ///
    /// # Panics
    /// On something that is no schema.
    pub(super) fn compile(&self, schema: &Value) -> Validator {
        let whole = json!({ "allOf": [translated(schema)], "components": self.0 });
        jsonschema::options()
            .with_draft(Draft::Draft4)
            .should_validate_formats(true)
            .with_format("uuid", |text| uuid::Uuid::try_parse(text).is_ok())
            .with_format("ip", |text| text.parse::<IpAddr>().is_ok())
            .offline()
            .build(&whole)
            .unwrap_or_else(|error| panic!("the description has a schema that is none: {error}"))
    }
}

/// What is wrong with a value, and where.
pub(super) fn errors<'a>(schema: &'a Validator, value: &'a Value) -> impl Iterator<Item = String> + 'a {
    schema.iter_errors(value).map(|error| match error.instance_path().as_str() {
        "" => error.to_string(),
        path => format!("{path}: {error}"),
    })
}

/// OpenAPI 3.0 says `nullable` where JSON Schema says that a value may also be null.
fn translated(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let rest: Map<String, Value> = fields
                .iter()
                .filter(|(key, value)| !(*key == "nullable" && value.is_boolean()))
                .map(|(key, value)| (key.clone(), translated(value)))
                .collect();
            match fields.get("nullable") {
                Some(Value::Bool(true)) => json!({ "anyOf": [rest, { "enum": [null] }] }),
                _ => Value::Object(rest),
            }
        }
        Value::Array(items) => items.iter().map(translated).collect(),
        other => other.clone(),
    }
}
