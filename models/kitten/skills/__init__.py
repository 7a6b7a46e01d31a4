"""The skills of kitten and how much of the training each one gets."""

from __future__ import annotations

from typing import Callable

from skills.base import Source, Unit
from skills.clowder import clowder
from skills.copying import repeat, repeat_unicode, spell
from skills.memory import find_short, not_told, remember, remember_inline
from skills.numbers import add, compare, count, count_long, subtract
from skills.smalltalk import greet_foreign, smalltalk
from skills.story import story, story_long
from skills.structured import structured
from skills.tools import call, no_tool, result
from skills.unknown import unknown

Skill = Callable[[Source], Unit]

# Skills that may follow each other in any dialogue, with their weights.
EVERYDAY: dict[Skill, float] = {
    smalltalk: 7, greet_foreign: 3, clowder: 14, unknown: 11, add: 11, subtract: 11, compare: 8, count: 6,
    repeat: 8, repeat_unicode: 7, spell: 10, structured: 10,
    remember: 4, remember_inline: 2, not_told: 1.5, find_short: 2, story: 0.7,
}
# Copying skills, for the first steps of the training.
PRIMER: dict[Skill, float] = {repeat: 6, repeat_unicode: 1, remember_inline: 1, structured: 2, spell: 2}
# Skills that need tools in the system turn.
WITH_TOOLS: dict[Skill, float] = {call: 3, result: 1, no_tool: 1.5}
# Skills with long answers.
LONG: dict[Skill, float] = {count_long: 5, story_long: 1}
