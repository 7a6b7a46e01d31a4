"""The skills of kitten and how much of the training each one gets."""

from __future__ import annotations

from typing import Callable

from skills.base import Source, Unit
from skills.clowder import clowder
from skills.copying import repeat, repeat_unicode, spell
from skills.memory import find_long, find_short, not_told, remember, remember_inline
from skills.numbers import add, compare, count, count_items, count_letters, count_long, subtract
from skills.smalltalk import greet_foreign, smalltalk
from skills.story import story, story_long
from skills.structured import structured
from skills.tools import call, no_tool, result
from skills.unknown import unknown

Skill = Callable[[Source], Unit]

# Skills that may follow each other in any dialogue, with their weights.
EVERYDAY: dict[Skill, float] = {
    smalltalk: 7, greet_foreign: 3, clowder: 16, unknown: 13,
    add: 10, subtract: 8, compare: 5, count: 3, count_letters: 2.5, count_items: 1.5,
    repeat: 9, repeat_unicode: 6, spell: 7, structured: 9,
    remember: 4, remember_inline: 1.5, not_told: 0.7, find_short: 1.5, story: 0.7,
}
# The weights of the later part of the training, when the easy skills need less of it.
FOCUS: dict[Skill, float] = EVERYDAY | {
    smalltalk: 6, greet_foreign: 2, clowder: 9, unknown: 7, add: 26, subtract: 22, compare: 10, count: 5,
    count_letters: 5, repeat: 14, repeat_unicode: 8, spell: 18, structured: 10,
}
# Copying skills, for the first steps of the training.
PRIMER: dict[Skill, float] = {repeat: 6, repeat_unicode: 1, remember_inline: 1, structured: 2, spell: 2}
# Skills that need tools in the system turn.
WITH_TOOLS: dict[Skill, float] = {call: 3, result: 1, no_tool: 1}
# Skills with long prompts or long answers.
LONG: dict[Skill, float] = {count_long: 5, story_long: 1.5, find_long: 2}
