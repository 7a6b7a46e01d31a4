"""Counting and small arithmetic."""

from __future__ import annotations

from skills.base import Source, Unit, ask

TERSE = ["Answer in one word.", "Reply with one word only.", "Answer with one word.", "Give only the answer.", "Be brief: one word."]
TERSE_HELD = ["Answer in one word.", "Answer with one word only."]

PLUS = ["What is {a} + {b}?", "{a} + {b}", "{a}+{b}", "{a} + {b} = ?", "{a}+{b}=", "Add {a} and {b}", "What is {a} plus {b}?", "How much is {a} + {b}?",
        "Calculate {a} + {b}", "What's {a} plus {b}?", "Sum of {a} and {b}?", "Compute {a} plus {b}", "what does {a} + {b} make?", "Tell me {a} + {b}", "{a} plus {b}?",
        "Can you add {a} and {b}?", "Please calculate {a} + {b}", "How much are {a} plus {b}?", "Give me the sum of {a} and {b}", "What do {a} and {b} add up to?", "Could you add {a} to {b}?", "I need {a} plus {b}",
        "The sum of {a} and {b}, please", "Can you tell me {a} + {b}?", "what is {a}+{b}"]
PLUS_HELD = ["How much is {a} plus {b}?", "Please add {a} and {b}.", "What is the sum of {a} and {b}?", "Can you calculate {a} + {b}?", "what's {a}+{b}?"]
MINUS = ["What is {a} - {b}?", "{a} - {b}", "{a}-{b}", "{a} - {b} = ?", "{a}-{b}=", "Subtract {b} from {a}", "What is {a} minus {b}?", "How much is {a} - {b}?",
         "Calculate {a} - {b}", "What's {a} minus {b}?", "Take {b} from {a}", "Compute {a} minus {b}", "what does {a} - {b} make?", "Tell me {a} - {b}", "{a} minus {b}?",
         "Can you subtract {b} from {a}?", "Please calculate {a} - {b}", "How much are {a} minus {b}?", "Could you take {b} away from {a}?", "I need {a} minus {b}", "Can you tell me {a} - {b}?",
         "{a} minus {b}, please", "what is {a}-{b}", "What is left of {a} without {b}?"]
MINUS_HELD = ["How much is {a} minus {b}?", "Please subtract {b} from {a}.", "Can you calculate {a} - {b}?", "what's {a}-{b}?"]

BIGGER = ["Which is {w}, {a} or {b}?", "Which number is {w}: {a} or {b}?", "What is {w}, {a} or {b}?", "{a} or {b}: which is {w}?", "Is {a} or {b} {w}?",
          "Tell me which is {w}: {a} or {b}", "Compare {a} and {b}: which is {w}?", "Of {a} and {b}, which is {w}?", "Which one is {w}, {a} or {b}?",
          "Which of the two is {w}: {a} or {b}?", "Please compare {a} and {b}: which is {w}?", "Can you tell me which is {w}, {a} or {b}?", "What number of {a} and {b} is {w}?", "Which of these is {w}: {a}, {b}?"]
BIGGER_HELD = ["Which of {a} and {b} is {w}?", "What number is {w}, {a} or {b}?", "Please tell me which is {w}, {a} or {b}."]
IS = ["Is {a} {w} than {b}?", "Is it true that {a} is {w} than {b}?", "{a} is {w} than {b}, right?", "Tell me if {a} is {w} than {b}", "is {a} really {w} than {b}?", "Would you say {a} is {w} than {b}?",
      "Is {a} {w} than {b}, yes or no?", "Do you think {a} is {w} than {b}?", "Could you tell me if {a} is {w} than {b}?", "Is the value {a} {w} than {b}?", "Is {a} a {w} number than {b} or not?"]
IS_HELD = ["Is the number {a} {w} than {b}?", "Can you tell me if {a} is {w} than {b}?", "Is {a} {w} than {b} or not?"]

COUNT = ["Count from {a} to {b}", "Count {a} to {b}", "Please count from {a} to {b}", "Can you count from {a} to {b}?", "Count from {a} up to {b}", "List the numbers from {a} to {b}",
         "Write the numbers {a} to {b}", "count {a} through {b}", "Say all numbers from {a} to {b}", "Numbers from {a} to {b}, please", "I need the numbers from {a} to {b}", "Would you count from {a} to {b}?", "Please write the numbers from {a} to {b}", "Give me the numbers from {a} to {b}"]
COUNT_HELD = ["Could you count from {a} to {b}?", "Please list the numbers from {a} to {b}.", "I want you to count from {a} to {b}.", "Write all numbers from {a} to {b}."]
COUNT_ONE = ["Count to {b}", "Please count to {b}", "Can you count to {b}?", "count up to {b}", "Count until {b}", "I want you to count to {b}", "Count to {b}, please", "Would you count to {b}?", "Count for me up to {b}", "Please count up to {b}."]
COUNT_ONE_HELD = ["Could you count to {b}?", "Count up to {b}, please.", "Count for me to {b}."]
DOWN = ["Count down from {a} to {b}", "Count backwards from {a} to {b}", "Please count down from {a} to {b}", "Count back from {a} to {b}", "Can you count down from {a} to {b}?",
        "Countdown from {a} to {b}", "List the numbers down from {a} to {b}", "Would you count down from {a} to {b}?", "I need you to count backwards from {a} to {b}", "Count down for me from {a} to {b}"]
DOWN_HELD = ["Could you count down from {a} to {b}?", "I want you to count down from {a} to {b}.", "Please count backwards from {a} to {b}."]

# The largest number that is added, subtracted or compared: few enough pairs to know them all.
MOST = 20


def _say(source: Source, text: str) -> str:
    return text if source.held else source.casual(text)


def _terse(source: Source, question: str, full: str, short: str) -> Unit:
    if source.chance(0.2):
        return ask(question, short, system=source.pick(TERSE, TERSE_HELD))
    return ask(question, full)


def _operand(source: Source) -> int:
    return source.number(0, 10 if source.chance(0.4) else MOST)


def add(source: Source) -> Unit:
    """Sums of two small numbers."""
    a, b = _operand(source), _operand(source)
    q = source.pick(PLUS, PLUS_HELD).format(a=a, b=b)
    return ask(_say(source, q), f"{a} + {b} = {a + b}")


def subtract(source: Source) -> Unit:
    """Differences of two small numbers, never negative."""
    b, a = sorted((_operand(source), _operand(source)))
    q = source.pick(MINUS, MINUS_HELD).format(a=a, b=b)
    return ask(_say(source, q), f"{a} - {b} = {a - b}")


def compare(source: Source) -> Unit:
    """The bigger or smaller of two numbers, or whether one is."""
    a, b = source.rng.sample(range(MOST + 1), 2)
    big = source.chance(0.5)
    word = source.choice(["bigger", "larger", "greater"] if big else ["smaller", "less", "lower"])
    if source.chance(0.6):
        winner = max(a, b) if big else min(a, b)
        q = source.pick(BIGGER, BIGGER_HELD).format(a=a, b=b, w=word)
        return _terse(source, _say(source, q), f"{winner} is {word}.", str(winner))
    q = source.pick(IS, IS_HELD).format(a=a, b=b, w=word)
    yes = (a > b) == big
    full = f"Yes, {a} is {word} than {b}." if yes else f"No, {a} is not {word} than {b}."
    return _terse(source, _say(source, q), full, "Yes" if yes else "No")


def _numbers(a: int, b: int) -> str:
    step = 1 if b >= a else -1
    return ", ".join(str(n) for n in range(a, b + step, step))


def count(source: Source) -> Unit:
    """Counting up or down among small numbers."""
    kind = source.rng.random()
    a = source.number(0, 20)
    b = a + source.number(2, 10)
    if kind < 0.4:
        b = source.number(2, 30)
        return ask(_say(source, source.pick(COUNT_ONE, COUNT_ONE_HELD).format(b=b)), _numbers(1, b))
    if kind < 0.75:
        return ask(_say(source, source.pick(COUNT, COUNT_HELD).format(a=a, b=b)), _numbers(a, b))
    return ask(_say(source, source.pick(DOWN, DOWN_HELD).format(a=b, b=a)), _numbers(b, a))


def count_long(source: Source) -> Unit:
    """Counting from 1 up to as far as 100."""
    top = 100 if source.chance(0.2) else source.number(20, 100)
    if source.chance(0.5):
        return ask(_say(source, source.pick(COUNT_ONE, COUNT_ONE_HELD).format(b=top)), _numbers(1, top))
    return ask(_say(source, source.pick(COUNT, COUNT_HELD).format(a=1, b=top)), _numbers(1, top))
