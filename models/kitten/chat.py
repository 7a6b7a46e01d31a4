"""The chat format of kitten: ChatML, tools listed in the system turn."""

from __future__ import annotations

import json
from typing import Any

# Uses only what jinja2, minijinja and llama.cpp's own engine all understand.
TEMPLATE = """\
{%- set first = messages[0] if messages else none -%}
{%- if tools or (first and first.role == 'system') -%}
{{- '<|im_start|>system\\n' -}}
{%- if first and first.role == 'system' -%}{{- first.content -}}{%- endif -%}
{%- if tools -%}
{%- if first and first.role == 'system' -%}{{- '\\n' -}}{%- endif -%}
{{- 'Tools:' -}}
{%- for tool in tools -%}
{%- set f = tool.function if tool.function is defined else tool -%}
{{- '\\n{"name": "' -}}{{- f.name -}}{{- '", "description": "' -}}
{%- if f.description is defined and f.description -%}{{- f.description -}}{%- endif -%}
{{- '", "parameters": {' -}}
{%- if f.parameters is defined and f.parameters and f.parameters.properties is defined -%}
{%- for key in f.parameters.properties -%}
{%- if not loop.first -%}{{- ', ' -}}{%- endif -%}
{%- set property = f.parameters.properties[key] -%}
{{- '"' -}}{{- key -}}{{- '": "' -}}{%- if property.type is defined -%}{{- property.type -}}{%- else -%}{{- 'string' -}}{%- endif -%}{{- '"' -}}
{%- endfor -%}
{%- endif -%}
{{- '}}' -}}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
{%- if not (loop.first and message.role == 'system') -%}
{{- '<|im_start|>' -}}{{- message.role -}}{{- '\\n' -}}
{%- if message.content is defined and message.content is string -%}
{{- message.content -}}
{%- elif message.content is defined and message.content -%}
{%- for part in message.content -%}{%- if part.text is defined -%}{{- part.text -}}{%- endif -%}{%- endfor -%}
{%- endif -%}
{%- if message.tool_calls is defined and message.tool_calls -%}
{%- for call in message.tool_calls -%}
{%- set f = call.function if call.function is defined else call -%}
{{- '<tool_call>{"name": "' -}}{{- f.name -}}{{- '", "arguments": ' -}}
{%- if f.arguments is string -%}{{- f.arguments -}}{%- else -%}{{- f.arguments | tojson -}}{%- endif -%}
{{- '}</tool_call>' -}}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""

Message = dict[str, Any]
Tool = dict[str, Any]


def tool_line(tool: Tool) -> str:
    """One tool as the template writes it."""
    f = tool["function"]
    types = {k: v.get("type", "string") for k, v in f["parameters"]["properties"].items()}
    inner = ", ".join(f'"{k}": "{t}"' for k, t in types.items())
    return f'{{"name": "{f["name"]}", "description": "{f["description"]}", "parameters": {{{inner}}}}}'


def tool_call_text(name: str, arguments: dict[str, Any]) -> str:
    """The fixed form in which kitten calls a tool."""
    return (
        f'<tool_call>{{"name": "{name}", "arguments": '
        f"{json.dumps(arguments, ensure_ascii=False)}}}</tool_call>"
    )


def turns(messages: list[Message], tools: list[Tool] | None = None) -> list[tuple[str, str]]:
    """A dialogue as (role, text) turns, tools merged into the system turn."""
    result = [(m["role"], m["content"]) for m in messages]
    if tools:
        listing = "Tools:" + "".join("\n" + tool_line(t) for t in tools)
        if result and result[0][0] == "system":
            result[0] = ("system", result[0][1] + "\n" + listing)
        else:
            result.insert(0, ("system", listing))
    return result
