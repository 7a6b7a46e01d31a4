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
    smalltalk: 6, greet_foreign: 4, clowder: 12, unknown: 9, add: 12, subtract: 11, compare: 9, count: 8,
    repeat: 10, repeat_unicode: 9, spell: 9, structured: 11,
    remember: 7, remember_inline: 4, not_told: 2,
}
# Copying skills, for the first steps of the training.
PRIMER: dict[Skill, float] = {repeat: 6, repeat_unicode: 1, remember_inline: 1, structured: 2, spell: 2}
# Skills that need tools in the system turn.
WITH_TOOLS: dict[Skill, float] = {call: 3, result: 1, no_tool: 1.5}
# Skills with long answers.
LONG: dict[Skill, float] = {count_long: 1}
