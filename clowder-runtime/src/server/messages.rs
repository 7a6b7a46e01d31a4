//! A chat request's messages and tools, made ready for the template.

use super::error::ApiError;
use super::fields::Fields;
use crate::template::ChatPrompt;
use serde_json::{Map, Value};

const MAX_MESSAGES: usize = 10_000;

/// What goes into the prompt.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) prompt: ChatPrompt,
    /// The beginning of the answer, where the last message is the assistant's.
    pub(crate) begun: Option<String>,
    /// Whether the model may call tools.
    pub(crate) tools: bool,
}

impl Conversation {
    /// Reads messages, tools and template variables out of a request.
    pub(crate) fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let mut messages = match fields.take("messages") {
            Some(Value::Array(messages)) if (1..=MAX_MESSAGES).contains(&messages.len()) => messages,
            Some(_) => return Err(ApiError::field("messages", "'messages' must be a list of one or more messages")),
            None => return Err(ApiError::field("messages", "'messages' is missing")),
        };
        for (index, message) in messages.iter_mut().enumerate() {
            read_message(index, message)?;
        }
        let begun = match messages.last() {
            Some(last) if last["role"] == "assistant" && last.get("tool_calls").is_none() => {
                last["content"].as_str().map(str::to_owned)
            }
            _ => None,
        };
        if begun.is_some() {
            messages.pop();
        }
        let tools = read_tools(fields)?;
        let extra = match fields.take("chat_template_kwargs") {
            None => Map::new(),
            Some(Value::Object(extra)) => extra,
            Some(_) => {
                let message = "'chat_template_kwargs' must be an object";
                return Err(ApiError::field("chat_template_kwargs", message));
            }
        };
        // The names of the template's own variables stay what they are.
        let own = ["messages", "tools", "add_generation_prompt"];
        let extra = extra.into_iter().filter(|(name, _)| !own.contains(&name.as_str())).collect();
        let has_tools = tools.is_some();
        let prompt = ChatPrompt { messages, tools, add_generation_prompt: true, extra };
        Ok(Self { prompt, begun, tools: has_tools })
    }
}

fn read_message(index: usize, message: &mut Value) -> Result<(), ApiError> {
    let at = |what: &str| format!("messages[{index}]{what}");
    let Value::Object(message) = message else {
        return Err(ApiError::field(&at(""), "a message must be an object"));
    };
    if !message.get("role").is_some_and(Value::is_string) {
        return Err(ApiError::field(&at(".role"), "a message must have a 'role', a string"));
    }
    let content = match message.get_mut("content").map(Value::take) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text,
        Some(Value::Array(parts)) => join_parts(&at(".content"), parts)?,
        Some(_) => return Err(ApiError::field(&at(".content"), "'content' must be a string or a list of parts")),
    };
    message.insert("content".to_owned(), Value::String(content));
    if let Some(Value::Array(calls)) = message.get_mut("tool_calls") {
        calls.iter_mut().for_each(open_arguments);
    }
    Ok(())
}

fn join_parts(at: &str, parts: Vec<Value>) -> Result<String, ApiError> {
    let mut text = String::new();
    for part in parts {
        match (part["type"].as_str(), part["text"].as_str()) {
            (Some("text" | "input_text"), Some(more)) => text.push_str(more),
            (Some("text" | "input_text") | None, _) => {
                return Err(ApiError::field(at, "a part of 'content' must be {\"type\": \"text\", \"text\": \"…\"}"));
            }
            (Some(other), _) => {
                let other: String = other.chars().take(40).collect();
                return Err(ApiError::unsupported(at, format!("this model reads text only, not '{other}' parts")));
            }
        }
    }
    Ok(text)
}

/// OpenAI has a call's arguments as a string of JSON; templates write the object.
fn open_arguments(call: &mut Value) {
    let Some(arguments) = call.get_mut("function").and_then(|function| function.get_mut("arguments")) else { return };
    if let Some(Ok(opened @ Value::Object(_))) = arguments.as_str().map(serde_json::from_str) {
        *arguments = opened;
    }
}

fn read_tools(fields: &mut Fields) -> Result<Option<Value>, ApiError> {
    let tools = match fields.take("tools") {
        None => return Ok(None),
        Some(Value::Array(tools)) => tools,
        Some(_) => return Err(ApiError::field("tools", "'tools' must be a list")),
    };
    for (index, tool) in tools.iter().enumerate() {
        if !tool["function"]["name"].is_string() {
            let at = format!("tools[{index}]");
            let message = "a tool must be {\"type\": \"function\", \"function\": {\"name\": …}}";
            return Err(ApiError::field(&at, message));
        }
    }
    match fields.get("tool_choice") {
        Some(Value::String(choice)) if choice == "none" => Ok(None),
        None => Ok((!tools.is_empty()).then_some(Value::Array(tools))),
        Some(Value::String(choice)) if choice == "auto" => Ok((!tools.is_empty()).then_some(Value::Array(tools))),
        Some(_) => {
            let message = "this server leaves the choice of tools to the model: 'tool_choice' may be 'auto' or 'none'";
            Err(ApiError::unsupported("tool_choice", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(request: &Value) -> Result<Conversation, ApiError> {
        Conversation::read(&mut Fields::parse(request.to_string().as_bytes())?)
    }

    #[test]
    fn parts_become_text_and_arguments_objects() {
        let conversation = read(&json!({"messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": null,
             "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{\"x\": 1}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": "2"},
        ]}))
        .unwrap();
        let messages = &conversation.prompt.messages;
        assert_eq!(messages[0]["content"], "ab");
        assert_eq!(messages[1]["tool_calls"][0]["function"]["arguments"], json!({"x": 1}));
        assert_eq!(messages[2]["tool_call_id"], "1");
        assert!(conversation.begun.is_none() && !conversation.tools);
    }

    #[test]
    fn an_answer_begun_is_continued() {
        let conversation =
            read(&json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "Sure"}]}))
                .unwrap();
        assert_eq!(conversation.begun.as_deref(), Some("Sure"));
        assert_eq!(conversation.prompt.messages.len(), 1);
    }

    #[test]
    fn tools_may_be_switched_off() {
        let tools = json!([{"type": "function", "function": {"name": "f"}}]);
        let with = |choice: Value| {
            read(&json!({"messages": [{"role": "user", "content": "a"}], "tools": tools, "tool_choice": choice}))
        };
        assert!(with(json!("auto")).unwrap().tools);
        assert!(!with(json!("none")).unwrap().tools);
        assert_eq!(with(json!("required")).unwrap_err().body.param.as_deref(), Some("tool_choice"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (request, param) in [
            (json!({}), "messages"),
            (json!({"messages": []}), "messages"),
            (json!({"messages": "hi"}), "messages"),
            (json!({"messages": ["hi"]}), "messages[0]"),
            (json!({"messages": [{"content": "x"}]}), "messages[0].role"),
            (json!({"messages": [{"role": "user", "content": 3}]}), "messages[0].content"),
            (json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}), "messages[0].content"),
            (json!({"messages": [{"role": "user"}], "tools": [{}]}), "tools[0]"),
        ] {
            assert_eq!(read(&request).unwrap_err().body.param.as_deref(), Some(param), "{request}");
        }
    }
}
