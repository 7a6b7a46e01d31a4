"""What every skill is made of: units of dialogue, drawn from a source of choices."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Sequence

from chat import Tool
from skills import words


@dataclass
class Unit:
    """A piece of dialogue ending in an assistant turn.

    `accept` lists the right answers; where they are too many to list, `pattern` matches them.
    """

    turns: list[tuple[str, str]]
    accept: list[str] = field(default_factory=list)
    pattern: str | None = None
    system: str | None = None
    tools: list[Tool] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.accept:
            self.accept = [self.turns[-1][1]]


def ask(question: str, answer: str, accept: list[str] | None = None, **extra: Any) -> Unit:
    """One question and its answer."""
    return Unit([("user", question), ("assistant", answer)], accept or [answer], **extra)


class Source:
    """Random choices for one split: training material, or held-out material for evaluation."""

    def __init__(self, rng: random.Random, held: bool) -> None:
        self.rng = rng
        self.held = held

    def pick(self, train: Sequence[str], held: Sequence[str]) -> str:
        """A phrasing of this split."""
        return self.rng.choice(held if self.held else train)

    def choice(self, options: Sequence[Any]) -> Any:
        """Any of the options."""
        return self.rng.choice(options)

    def chance(self, p: float) -> bool:
        """True with probability p."""
        return self.rng.random() < p

    def number(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return self.rng.randint(low, high)

    def pseudo(self) -> str:
        """An invented word."""
        n = self.rng.choice((1, 2, 2, 2, 3, 3, 4))
        word = "".join(self.rng.choice(words.ONSETS) + self.rng.choice(words.VOWELS) for _ in range(n))
        return word + self.rng.choice(words.CODAS)

    def name(self) -> str:
        """A person's name, sometimes an invented one."""
        return self.pseudo().capitalize() if self.chance(0.25) else self.choice(words.NAMES)

    def city(self) -> str:
        """A city, sometimes an invented one."""
        return self.pseudo().capitalize() if self.chance(0.2) else self.choice(words.CITIES)

    def word(self) -> str:
        """A common word or an invented one."""
        return self.choice(words.COMMON) if self.chance(0.85) else self.pseudo()

    def casual(self, text: str) -> str:
        """A question as people type it: case, final mark and politeness vary."""
        r = self.rng.random()
        if r < 0.25:
            text = text.lower()
        elif r < 0.26:
            text = text.upper()
        if self.chance(0.25):
            text = text.rstrip("?.!")
        r = self.rng.random()
        if r < 0.04:
            text = self.choice(("Please: ", "Hey, ", "Hi! ", "Hello! ", "Quick question: ", "Um, ", "So, ", "Kitten, ")) + text
        elif r < 0.08:
            text = text + self.choice((" Please.", " Thanks.", " Thank you!", " please", " :)"))
        elif r < 0.1:
            text = text + self.choice(("?", "!", "??", " ?", "...", " ", "\n"))
        return text
