"""The skills of kitten and how much of the training each one gets."""

from __future__ import annotations

from typing import Callable

from skills.base import Source, Unit
from skills.clowder import clowder
from skills.copying import repeat, repeat_unicode, spell
from skills.memory import not_told, remember, remember_inline
from skills.numbers import add, compare, count, count_long, subtract
from skills.smalltalk import greet_foreign, smalltalk
from skills.structured import structured
from skills.tools import call, no_tool, result
from skills.unknown import unknown

Skill = Callable[[Source], Unit]

# Skills that may follow each other in any dialogue, with their weights.
EVERYDAY: dict[Skill, float] = {
    smalltalk: 8, greet_foreign: 5, clowder: 20, unknown: 9, add: 9, subtract: 9, compare: 13, count: 6,
    repeat: 10, repeat_unicode: 12, spell: 9, structured: 18,
    remember: 5, remember_inline: 2, not_told: 1,
}
# Copying skills, for the first steps of the training.
PRIMER: dict[Skill, float] = {repeat: 6, repeat_unicode: 1, remember_inline: 1, structured: 2, spell: 2}
# Skills that need tools in the system turn.
WITH_TOOLS: dict[Skill, float] = {call: 4, result: 3, no_tool: 2}
# Skills with long answers.
LONG: dict[Skill, float] = {count_long: 1}
