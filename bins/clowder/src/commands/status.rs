//! `clowder status`: how the server fares.

use crate::context::Context;
use crate::exit::Error;
use serde_json::Value;

/// Prints the server's state, one fact a line.
pub(crate) async fn run(context: Context) -> Result<(), Error> {
    let client = context.client()?;
    let answer = client.status().await?;
    if context.output.is_json() {
        return context.output.json(&answer.value);
    }
    let mut rows = vec![vec!["server".to_owned(), client.server().to_owned()]];
    facts("", &answer.value, &mut rows);
    context.output.table(&["FACT", "VALUE"], &[], rows)
}

fn facts(name: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let key = key.replace('_', " ");
                let name = if name.is_empty() { key } else { format!("{name} {key}") };
                facts(&name, value, rows);
            }
        }
        Value::Array(values) => {
            let texts: Vec<String> = values.iter().map(text).collect();
            rows.push(vec![name.to_owned(), texts.join(", ")]);
        }
        other => rows.push(vec![name.to_owned(), text(other)]),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
