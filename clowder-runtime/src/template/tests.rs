use super::*;
use serde_json::json;

fn prompt(messages: &serde_json::Value) -> ChatPrompt {
    let messages = messages.as_array().unwrap().clone();
    ChatPrompt { messages, add_generation_prompt: true, ..ChatPrompt::default() }
}

fn hello() -> ChatPrompt {
    prompt(&json!([{"role": "user", "content": "Hi"}]))
}

fn render(source: &str, prompt: &ChatPrompt) -> Result<String, TemplateError> {
    ChatTemplate::new(Some(source), Some("<s>"), Some("</s>"))?.render(prompt)
}

#[test]
fn without_a_template_it_is_chatml() {
    let rendered = ChatTemplate::new(None, None, None).unwrap().render(&hello()).unwrap();
    assert_eq!(rendered, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}

#[test]
fn blocks_are_trimmed_as_transformers_does() {
    let source = "{{ bos_token }}{% for m in messages %}\n    {% if m['role'] == 'user' %}\nU: {{ m.content.strip() }}\n    \
                  {% endif %}\n{% endfor %}\n{{ eos_token }}";
    assert_eq!(render(source, &hello()).unwrap(), "<s>U: Hi\n</s>");
}

#[test]
fn tools_are_json_as_python_writes_it() {
    let tools = json!([{"type": "function", "function": {"name": "é<x>", "arguments": {}}}]);
    let with_tools = ChatPrompt { tools: Some(tools), ..hello() };
    let source = "{% if tools %}{% for tool in tools %}{{ tool | tojson }}{% endfor %}{% endif %}";
    let expected = r#"{"type": "function", "function": {"name": "é<x>", "arguments": {}}}"#;
    assert_eq!(render(source, &with_tools).unwrap(), expected);
    assert_eq!(render(source, &hello()).unwrap(), "");
    assert_eq!(render("{{ messages | tojson(indent=1) }}", &hello()).unwrap().lines().count(), 6);
}

#[test]
fn extra_variables_reach_the_template() {
    let mut extra = hello();
    extra.extra.insert("enable_thinking".into(), json!(false));
    assert_eq!(render("{{ enable_thinking }}", &extra).unwrap(), "False");
}

#[test]
fn a_template_may_refuse() {
    let error = render("{{ raise_exception('roles must alternate') }}", &hello()).unwrap_err();
    let expected = "the model's chat template refuses these messages: roles must alternate";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_hostile_template_ends() {
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}";
    assert!(render(endless, &hello()).unwrap_err().to_string().contains("too long"));
    let deep = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}";
    assert!(render(deep, &hello()).is_err());
    assert!(render("{{ 'x' * 4000000000 }}", &hello()).is_err());
}

#[test]
fn a_broken_template_names_its_line() {
    let error = render("a\n{% if %}", &hello()).unwrap_err();
    assert!(matches!(&error, TemplateError::Broken { reason } if reason.contains("line 2")), "{error}");
}
