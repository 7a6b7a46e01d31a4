"""Remembering what was said earlier."""

from __future__ import annotations

from skills import words
from skills.base import Source, Unit, ask
from skills.numbers import TERSE, TERSE_HELD

# topic: (tell, held-out tell, reply, ask, held-out ask, answer, unknown)
TOPICS: dict[str, tuple[list[str], list[str], str, list[str], list[str], str, str]] = {
    "name": (
        ["My name is {v}.", "I am called {v}.", "Hi, my name is {v}.", "Hello, I am {v}.", "I'm {v}.", "Call me {v}.", "Hi! I'm {v}", "You can call me {v}", "my name is {v}", "Hey, I am {v}", "The name is {v}."],
        ["Hello! My name is {v}.", "Hi there, I am {v}.", "Please call me {v}."],
        "Nice to meet you, {v}!",
        ["What is my name?", "What's my name?", "Do you remember my name?", "Who am I?", "Tell me my name", "How am I called?", "Do you know my name?", "What was my name?", "Say my name", "What did I say my name was?", "Do you still remember my name?", "Can you say my name?", "So what am I called?", "And what is my name?", "Do you still know how I am called?"],
        ["Can you tell me my name?", "Do you still know my name?", "So what is my name?"],
        "Your name is {v}.", "You have not told me your name."),
    "city": (
        ["I live in {v}.", "I am from {v}.", "My city is {v}.", "My home is in {v}.", "I come from {v}", "I'm from {v}.", "My home town is {v}."],
        ["I am living in {v}.", "I come from {v}, you know."],
        "{v} must be a nice place!",
        ["Where do I live?", "Where am I from?", "Which city do I live in?", "What is my city?", "Do you know where I live?", "Where is my home?", "Tell me where I live", "In what city do I live?", "Do you still know where I live?", "Can you say where I live?", "Do you remember my city?", "In which town is my home?"],
        ["Do you remember where I live?", "In which city do I live?", "Can you tell me where I live?"],
        "You live in {v}.", "You have not told me where you live."),
    "color": (
        ["My favorite color is {v}.", "I like the color {v}.", "My favourite colour is {v}.", "I love {v}, it is my favorite color.", "The color I like best is {v}.", "I think {v} is my favorite color.", "I like {v} best.", "My favorite color is now {v}.", "I really love the color {v}."],
        ["My favorite color, I think, is {v}.", "I really like the color {v}."],
        "I will remember {v}.",
        ["What is my favorite color?", "Which color do I like?", "What's my favourite colour?", "Do you know my favorite color?", "Tell me my favorite color", "What color do I like best?", "Do you still know my favorite color?", "Can you say my favorite color?", "Which is my favorite color?", "Do you remember which color I like?", "So what is my favorite color?"],
        ["Do you remember my favorite color?", "Which color is my favorite?", "Can you tell me my favorite color?"],
        "Your favorite color is {v}.", "You have not told me your favorite color."),
    "pet": (
        ["I have a {v}.", "My pet is a {v}.", "I own a {v}.", "At home I have a {v}.", "I have a pet: a {v}.", "My favorite animal is my {v}."],
        ["I keep a {v} as a pet.", "At home there is my pet, a {v}."],
        "A {v}, how lovely!",
        ["What pet do I have?", "Which animal do I have?", "What is my pet?", "Do you know my pet?", "Tell me which pet I have", "What kind of pet do I have?", "Do you remember my animal?", "Do you still know my pet?", "Which animal is my pet?", "Can you tell me my pet?", "What animal do I have as a pet?"],
        ["Do you remember my pet?", "Which pet do I have?", "What animal is my pet?"],
        "You have a {v}.", "You have not told me about a pet."),
    "number": (
        ["My number is {v}.", "Remember the number {v}.", "The number is {v}.", "My lucky number is {v}.", "Please remember this number: {v}", "Keep the number {v} in mind."],
        ["Please remember the number {v}.", "My secret number is {v}."],
        "I will remember {v}.",
        ["What is my number?", "What was the number?", "Which number did I tell you?", "Do you remember the number?", "Tell me the number", "What number did I say?", "Do you still remember the number?", "Can you say the number?", "Which number is it?", "What number was it?", "Do you know my number?", "So what is the number?"],
        ["Can you tell me the number?", "Which number was it?", "Do you still know my number?"],
        "The number is {v}.", "You have not told me a number."),
    "code": (
        ["The secret word is {v}.", "Remember the word {v}.", "The password is {v}.", "My secret word is {v}.", "Please remember this word: {v}", "Keep the word {v} in mind."],
        ["Please remember the word {v}.", "The magic word is {v}."],
        "I will remember {v}.",
        ["What is the secret word?", "What was the word?", "Which word did I tell you?", "Do you remember the word?", "Tell me the word", "What is the password?", "What word did I say?", "Do you still remember the word?", "Can you say the secret word?", "Which word is it?", "What word was it?", "Do you know the word?", "So what is the secret word?"],
        ["Can you tell me the secret word?", "Which word was it?", "Do you still know the word?"],
        "The word is {v}.", "You have not told me a word."),
}


def value(source: Source, topic: str) -> str:
    """Something to remember."""
    if topic == "name":
        return source.name()
    if topic == "city":
        return source.city()
    if topic == "color":
        return source.choice(words.COLORS)
    if topic == "pet":
        return source.choice(words.ANIMALS)
    if topic == "number":
        return str(source.number(0, 999))
    return source.word()


def tell(source: Source, topic: str, v: str) -> list[tuple[str, str]]:
    """The user tells, kitten acknowledges."""
    said, held, reply, *_ = TOPICS[topic]
    return [("user", source.pick(said, held).format(v=v)), ("assistant", reply.format(v=v))]


def recall(source: Source, topic: str, v: str | None) -> list[tuple[str, str]]:
    """The user asks, kitten remembers or says it was not told."""
    _, _, _, asked, held, answer, unknown = TOPICS[topic]
    question = source.pick(asked, held)
    if not source.held:
        question = source.casual(question)
    return [("user", question), ("assistant", answer.format(v=v) if v else unknown)]


def remember(source: Source) -> Unit:
    """Told in one turn, asked in a later one, sometimes with other topics between."""
    topics = source.rng.sample(list(TOPICS), source.number(1, 3))
    if {"number", "code"} <= set(topics):
        topics.remove("code")
    told = {t: value(source, t) for t in topics}
    turns = [turn for t in topics for turn in tell(source, t, told[t])]
    return Unit(turns + recall(source, topics[0], told[topics[0]]))


def remember_inline(source: Source) -> Unit:
    """Told and asked in one message."""
    topic = source.choice(list(TOPICS))
    v = value(source, topic)
    said = source.pick(*TOPICS[topic][:2]).format(v=v)
    if said[-1] not in ".!?":
        said += "."
    question, answer = recall(source, topic, v)
    if source.chance(0.2) and not source.held:
        return ask(f"{said} {question[1]}", v, system=source.pick(TERSE, TERSE_HELD))
    return ask(f"{said} {question[1]}", answer[1])


def not_told(source: Source) -> Unit:
    """Asked for something never said."""
    return Unit(recall(source, source.choice(list(TOPICS)), None))
