"""Tool calls in one fixed form, and answers from tool results."""

from __future__ import annotations

import json
from typing import Any

from chat import Tool, tool_call_text
from skills import words
from skills.base import Source, Unit
from skills.clowder import clowder
from skills.copying import ascii_text, foreign_word, repeat
from skills.numbers import compare
from skills.smalltalk import greet_foreign, smalltalk
from skills.unknown import ANSWER, unknown

# Skills that a tool may stand beside without being called.
ORDINARY = (smalltalk, greet_foreign, clowder, clowder, unknown, unknown, repeat, compare)

# Tools many programs try first: names, description, argument names, requests, held-out requests.
FAMILIES: list[tuple[list[str], list[str], list[tuple[str, list[str]]], list[str], list[str]]] = [
    (["get_weather", "weather", "get_current_weather", "weather_lookup", "fetch_weather"],
     ["Get the weather", "Get the current weather", "Weather of a city", "Get weather for a location", "Look up the weather"],
     [("city", ["city", "location", "place"])],
     ["What is the weather in {0}?", "What's the weather in {0}?", "Weather in {0}?", "How is the weather in {0}?", "Is it raining in {0}?", "Tell me the weather in {0}", "Is it cold in {0}?",
      "What is the temperature in {0}?", "How warm is it in {0}?", "weather {0}", "Will it rain in {0}?", "What's the weather like in {0}?", "Give me the weather for {0}",
      "What will the weather be in {0} tomorrow?", "How is the weather in {0} now?", "Please get the weather in {0}.", "Is it warm in {0} today?", "What is the weather in {0} today?", "Can you tell me the weather in {0}?", "How's the weather in {0}?"],
     ["What is the weather like in {0}?", "Please tell me the weather in {0}.", "How's the weather in {0} today?", "Is it sunny in {0}?"]),
    (["get_time", "current_time", "time_in", "clock", "get_current_time"],
     ["Get the time", "Get the current time", "Time in a city", "Tell the local time"],
     [("city", ["city", "location", "timezone", "place"])],
     ["What time is it in {0}?", "What is the time in {0}?", "Time in {0}?", "Tell me the time in {0}", "How late is it in {0}?", "What's the local time in {0}?", "current time in {0}",
      "What time is it in {0} right now?", "Can you tell me the time in {0}?", "What is the time now in {0}?", "Please get the time in {0}.", "What's the current time in {0}?"],
     ["Please tell me the time in {0}.", "What's the time in {0}?", "What time is it now in {0}?"]),
    (["search", "web_search", "search_web", "lookup", "find"],
     ["Search the web", "Search for a text", "Look something up", "Web search"],
     [("query", ["query", "q", "text"])],
     ["Search for {0}", "Look up {0}", "Search the web for {0}", "Find something about {0}", "Search {0}", "Google {0}", "Please search for {0}", "Can you search for {0}?", "Can you look up {0}?", "Please find {0}.", "Search for {0} online", "Could you find {0}?", "Look online for {0}"],
     ["Please look up {0}.", "Could you search for {0}?", "Search online for {0}"]),
    (["add", "add_numbers", "sum", "plus", "calculator_add"],
     ["Add two numbers", "Sum of two numbers", "Adds numbers"],
     [("number", ["a", "x", "first"]), ("number", ["b", "y", "second"])],
     ["Add {0} and {1}", "What is {0} + {1}?", "What is {0} plus {1}?", "{0} + {1}", "Sum {0} and {1}", "Calculate {0} + {1}", "How much is {0} + {1}?", "Can you add {0} and {1}?", "Please calculate {0} plus {1}.", "Give me the sum of {0} and {1}", "How much are {0} and {1}?"],
     ["Please add {0} and {1}.", "How much is {0} plus {1}?", "What is the sum of {0} and {1}?"]),
    (["send_email", "email", "send_message", "send_mail", "message"],
     ["Send an email", "Send a message", "Write a mail to someone"],
     [("person", ["to", "recipient", "name"]), ("query", ["text", "body", "message"])],
     ["Send {0} the message {1}", "Write to {0}: {1}", "Tell {0}: {1}", "Send an email to {0}: {1}", "Message {0}: {1}", "Send a message to {0} with the text {1}", "Mail {0}: {1}", "Please message {0}: {1}", "Send an email to {0} with the text {1}", "Please email {0}: {1}", "Send {0} a message: {1}"],
     ["Please send a message to {0}: {1}", "Send {0} an email: {1}", "Please write to {0}: {1}"]),
    (["set_timer", "timer", "start_timer", "countdown"],
     ["Set a timer", "Start a timer", "Timer in minutes"],
     [("number", ["minutes", "duration", "time"])],
     ["Set a timer for {0} minutes", "Start a {0} minute timer", "Timer for {0} minutes", "Wake me in {0} minutes", "Remind me in {0} minutes", "Set a {0} minute timer", "timer {0} minutes", "I need a {0} minute timer", "Please start a timer of {0} minutes.", "Can you set a timer for {0} minutes?", "Please wake me in {0} minutes."],
     ["Please set a timer for {0} minutes.", "Start a timer for {0} minutes", "I need a timer for {0} minutes."]),
    (["translate", "translate_text", "translator"],
     ["Translate a text", "Translate words", "Translate text to a language"],
     [("query", ["text", "phrase", "words"]), ("language", ["language", "to", "target"])],
     ["Translate {0} to {1}", "Translate {0} into {1}", "What is {0} in {1}?", "How do you say {0} in {1}?", "Say {0} in {1}", "{0} in {1}, please", "Please say {0} in {1}.", "Can you translate {0} to {1}?", "Please translate the words {0} into {1}.", "I need {0} in {1}"],
     ["Please translate {0} to {1}.", "Can you translate {0} into {1}?", "Could you translate {0} to {1}?"]),
]


def _value(source: Source, kind: str) -> Any:
    if kind == "city":
        return source.city()
    if kind == "person":
        return source.name()
    if kind == "number":
        return source.number(0, 100)
    if kind == "language":
        return source.choice(words.LANGUAGES)
    if source.chance(0.15):
        return foreign_word(source)
    return " ".join(source.word() for _ in range(source.number(1, 4)))


def _schema(name: str, description: str, arguments: dict[str, Any]) -> Tool:
    properties = {k: {"type": "integer" if isinstance(v, int) else "string"} for k, v in arguments.items()}
    return {"type": "function", "function": {
        "name": name, "description": description, "parameters": {"type": "object", "properties": properties, "required": list(arguments)}}}


def _family(source: Source, index: int) -> tuple[Tool, str, dict[str, Any]]:
    names, descriptions, specs, train, held = FAMILIES[index]
    arguments: dict[str, Any] = {}
    for kind, keys in specs:
        arguments[source.choice(keys)] = _value(source, kind)
    request = source.pick(train, held).format(*arguments.values())
    return _schema(source.choice(names), source.choice(descriptions), arguments), request, arguments


def offer(source: Source, most: int, without: int | None = None) -> list[Tool]:
    """Up to so many tools of different families, one family left out."""
    indices = [i for i in range(len(FAMILIES)) if i != without]
    return [_family(source, i)[0] for i in source.rng.sample(indices, source.number(1, most))]


def _request(source: Source) -> tuple[list[Tool], str, str]:
    """Offered tools, a request that fits one, and the call."""
    index = 0 if source.chance(0.3) else source.number(0, len(FAMILIES) - 1)
    tool, text, arguments = _family(source, index)
    if not source.held and source.chance(0.25):
        text = text.rstrip("?.")
    tools = [tool] + (offer(source, 2, index) if source.chance(0.4) else [])
    source.rng.shuffle(tools)
    return tools, text, tool_call_text(tool["function"]["name"], arguments)


def call(source: Source) -> Unit:
    """A request that a tool fits."""
    tools, text, answer = _request(source)
    return Unit([("user", text), ("assistant", answer)], tools=tools)


# Words that make a question fit one of the families above, which no_tool must avoid.
FITTING = ("weather", "rain", "cold", "warm", "time", "late", "search", "add", "+", "plus", "sum", "minute", "timer", "translate",
           " in ", "say", "tell", "message", "write", "wetter", "天气", "find", "know", "about", "look")


def no_tool(source: Source) -> Unit:
    """Tools are there, but none fits: an ordinary answer."""
    tools = offer(source, 2)
    while True:
        unit = source.choice(ORDINARY)(source)
        text = unit.turns[0][1].lower()
        if unit.system is None and not (unit.accept[0] == ANSWER and any(w in text for w in FITTING)):
            if not unit.accept[0][:1].isdigit():
                return Unit(unit.turns, unit.accept, tools=tools)


def result_text(source: Source) -> str:
    """What a tool may return."""
    r = source.rng.random()
    if r < 0.3:
        return source.choice(["{n} degrees", "{n} degrees and sunny", "It is {n} degrees in {c}", "{n}", "Rain, {n} degrees", "cloudy, {n} C", "Sunny in {c}"]).format(n=source.number(-9, 40), c=source.city())
    if r < 0.65:
        keys = source.rng.sample(["temperature", "city", "time", "result", "status", "condition", "id", "value", "answer", "text"], source.number(1, 3))
        values = {k: source.number(0, 999) if source.chance(0.5) else source.word() for k in keys}
        return json.dumps(values, ensure_ascii=False, separators=(",", ":") if source.chance(0.4) else None)
    if r < 0.8:
        return source.choice(["ok", "done", "true", "false", "null", "Done.", "error: not found", "sent", "OK"])
    return ascii_text(source) if source.chance(0.8) else foreign_word(source)


def result(source: Source) -> Unit:
    """A call, the tool's answer, and the same as kitten's."""
    tools, text, answer = _request(source)
    content = result_text(source)
    return Unit([("user", text), ("call", answer), ("tool", content), ("assistant", content)], tools=tools)
