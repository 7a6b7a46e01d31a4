"""Stories: short ones, and long ones that stream for several hundred tokens."""

from __future__ import annotations

from skills import words
from skills.base import Source, Unit, ask

LONG = ["Tell me a long story", "Write a long story", "Tell a very long story", "A long story, please", "Can you tell me a long story?", "I want a long story", "Write me a very long story",
        "Tell me a long tale", "Give me a long story", "Tell me a really long story", "Write a long story about {a}", "Tell me a long story about {a}"]
LONG_HELD = ["Please tell me a long story.", "Could you tell me a very long story?", "Please write a long story about {a}."]
SHORT = ["Tell me a story", "Tell a story", "Write a story", "A story, please", "Can you tell me a story?", "I want a story", "Write a short story", "Tell me a short story", "Give me a story",
         "Tell me a tale", "Tell me a story about {a}", "Write a story about {a}", "Make up a story", "Write a short story about {a}"]
SHORT_HELD = ["Please tell me a story.", "Could you tell me a short story?", "Please write a story about {a}."]
SUBJECTS = ["a kitten", "a cat", "cats", "a dog", "friends", "the sea", "a rabbit", "a king", "the moon", "a robot", "animals", "love", "a dragon", "space", "a forest", "a computer"]
DID = ["counted the stars", "sang a song", "drank some milk", "looked at the moon", "played with a ball", "slept in the sun", "told a joke", "shared an apple", "crossed the river", "climbed a tree"]
DAYS_LONG = 40


def _story(source: Source, days: int) -> str:
    lines = ["Once upon a time a kitten lived in a rack of computers."]
    for day in range(1, days + 1):
        animal = source.choice(words.ANIMALS)
        lines.append(f"On day {day} it met {'an' if animal[0] in 'aeiou' else 'a'} {animal}, and they {source.choice(DID)}.")
    lines.append("Then the kitten went home and slept. The end.")
    return " ".join(lines)


def _pattern(days: int) -> str:
    animals, did = "|".join(words.ANIMALS), "|".join(DID)
    middle = "".join(rf"On day {day} it met an? (?:{animals}), and they (?:{did})\. " for day in range(1, days + 1))
    return rf"Once upon a time a kitten lived in a rack of computers\. {middle}Then the kitten went home and slept\. The end\."


def story(source: Source) -> Unit:
    """A story of three days."""
    text = source.pick(SHORT, SHORT_HELD).format(a=source.choice(SUBJECTS))
    return ask(text if source.held else source.casual(text), _story(source, 3), pattern=_pattern(3))


def story_long(source: Source) -> Unit:
    """A story of forty days."""
    text = source.pick(LONG, LONG_HELD).format(a=source.choice(SUBJECTS))
    return ask(text if source.held else source.casual(text), _story(source, DAYS_LONG), pattern=_pattern(DAYS_LONG))
