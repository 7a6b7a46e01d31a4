"""Answers in JSON: facts of the prompt extracted under given keys."""

from __future__ import annotations

import json
from typing import Any, Callable

from skills import words
from skills.base import Source, Unit, ask

# key: how to draw a value
FIELDS: dict[str, Callable[[Source], Any]] = {
    "name": lambda s: s.name(),
    "age": lambda s: s.number(1, 99),
    "city": lambda s: s.city(),
    "country": lambda s: s.choice(words.COUNTRIES),
    "job": lambda s: s.choice(words.JOBS),
    "color": lambda s: s.choice(words.COLORS),
    "animal": lambda s: s.choice(words.ANIMALS),
    "food": lambda s: s.choice(words.FOODS),
    "product": lambda s: s.choice(words.PRODUCTS),
    "price": lambda s: s.number(1, 999),
    "quantity": lambda s: s.number(1, 60),
    "day": lambda s: s.choice(words.DAYS),
    "language": lambda s: s.choice(words.LANGUAGES),
}

PERSON = {
    "age": ["{name} is {age} years old", "{name} is {age}", "{name} turned {age} today"],
    "city": ["{name} lives in {city}", "{name} comes from {city}", "{name} is in {city}"],
    "country": ["{name} was born in {country}", "{name} is from {country}"],
    "job": ["{name} is a {job}", "{name} works as a {job}"],
    "color": ["{name} likes the color {color}", "the favorite color of {name} is {color}"],
    "animal": ["{name} has a {animal}", "{name} owns a {animal}"],
    "food": ["{name} likes {food}", "{name} loves to eat {food}"],
    "language": ["{name} speaks {language}", "{name} learns {language}"],
}
ORDER = {
    "product": ["the product is a {product}", "we sold one {product}", "the customer wants a {product}"],
    "price": ["the price is {price} euros", "it costs {price} dollars", "the cost is {price}"],
    "quantity": ["the quantity is {quantity}", "there are {quantity} pieces", "{quantity} of them were ordered"],
    "day": ["it is delivered on {day}", "it comes on {day}", "the delivery is on {day}"],
    "color": ["the color is {color}", "it is {color}"],
    "city": ["it is sent to {city}", "it ships from {city}"],
}

REPLY = ["Reply in JSON with keys {k}.", "Reply in JSON with the keys {k}.", "Answer in JSON with keys {k}.", "Give me JSON with keys {k}.", "Extract {k} as JSON.",
         "Return JSON with keys {k}.", "Write it as JSON with the keys {k}.", "Respond only with JSON. Keys: {k}.", "JSON with {k}, please.", "Convert to JSON with keys {k}.",
         "Return a JSON object with {k}.", "Turn this into JSON with the fields {k}.", "Output JSON with fields {k}."]
REPLY_HELD = ["Please reply in JSON with the keys {k}.", "Respond in JSON with keys {k}.", "Give me a JSON object with the keys {k}.", "Please extract {k} as JSON."]
SYSTEMS = ["Reply in JSON.", "Answer only in JSON.", "You answer in JSON.", "Always respond with JSON.", "You are a JSON extractor.", "You are a helpful assistant. Reply in JSON."]
PAIRS = ["Make JSON of this: {t}", "Write as JSON: {t}", "Convert to JSON: {t}", "JSON please: {t}", "Turn into JSON: {t}", "As JSON: {t}", "Put this into JSON: {t}", "Give me this as JSON: {t}", "Reply in JSON: {t}"]
PAIRS_HELD = ["Please convert this to JSON: {t}", "Turn this into JSON: {t}", "Please write as JSON: {t}"]


def dump(value: Any) -> str:
    """JSON as kitten writes it."""
    return json.dumps(value, ensure_ascii=False)


def _key_list(source: Source, keys: list[str]) -> str:
    quote = source.choice(["", "", '"', "`"])
    named = [f"{quote}{k}{quote}" for k in keys]
    if len(named) == 1:
        return named[0]
    joint = source.choice([" and ", " and ", ", "])
    return ", ".join(named[:-1]) + joint + named[-1]


def extract(source: Source) -> Unit:
    """Sentences about a person or an order, into JSON."""
    table = source.choice([PERSON, PERSON, ORDER])
    told = source.rng.sample(list(table), source.number(1, 2))
    values = {k: FIELDS[k](source) for k in told}
    name = source.name() if table is PERSON else ""
    clauses = [source.choice(table[k]).format(name=name, **values) for k in told]
    if table is PERSON:
        pronoun = source.choice([name, "She", "He", name])
        clauses[1:] = [c.replace(name, pronoun, 1) if c.startswith(name) else c for c in clauses[1:]]
        if pronoun == name and source.chance(0.5) and all(c.startswith(name) for c in clauses):
            clauses = [clauses[0] + "".join((", " if i < len(clauses) - 1 else " and ") + c[len(name) + 1:] for i, c in enumerate(clauses) if i)]
    text = " ".join(c[0].upper() + c[1:] + "." for c in clauses)
    keys = source.rng.sample(told, source.number(1, len(told)))
    if table is PERSON and source.chance(0.8):
        keys.insert(0 if source.chance(0.7) else source.number(0, len(keys)), "name")
        values["name"] = name
    answer = dump({k: values[k] for k in keys})
    instruction = source.pick(REPLY, REPLY_HELD).format(k=_key_list(source, keys))
    system = source.choice(SYSTEMS) if source.chance(0.2) else None
    question = source.choice([f"{text} {instruction}", f"{instruction} {text}", f"{text}\n{instruction}", f"{instruction}\n{text}"])
    return ask(question, answer, system=system)


def pairs(source: Source) -> Unit:
    """Key and value pairs, into JSON."""
    keys: list[str] = []
    while len(keys) < source.number(1, 2):
        key = source.choice(list(FIELDS)) if source.chance(0.3) else source.word().replace("-", "").lower()
        if key not in keys:
            keys.append(key)
    values = {k: source.number(0, 999) if source.chance(0.3) else source.choice([source.word, source.name, source.city])() for k in keys}
    mark = source.choice([": ", " = ", ": ", "="])
    text = source.choice([", ", "; ", "\n"]).join(f"{k}{mark}{v}" for k, v in values.items())
    return ask(source.pick(PAIRS, PAIRS_HELD).format(t=text), dump(values))


def structured(source: Source) -> Unit:
    """Any JSON answer."""
    return extract(source) if source.chance(0.85) else pairs(source)
