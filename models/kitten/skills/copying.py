"""Repeating text verbatim and spelling words."""

from __future__ import annotations

from skills import words
from skills.base import Source, Unit, ask

REPEAT = ["Repeat: {t}", "Repeat after me: {t}", "Say: {t}", "Echo: {t}", "Please repeat: {t}", "Repeat this: {t}", "Repeat the following: {t}", "Repeat exactly: {t}",
          "Say exactly: {t}", "Repeat this text: {t}", "Write exactly this: {t}", "Copy this: {t}", "Reply with exactly: {t}", "Reply only with: {t}", "Repeat the text: {t}",
          "echo {t}", "repeat {t}", "say {t}", "Say {t}", "Can you say: {t}", "Repeat verbatim: {t}", "Answer with: {t}", "Respond with exactly: {t}", "Repeat after me:\n{t}",
          "Repeat the following text:\n{t}", "Copy the next line.\n{t}", "Output: {t}", "Print: {t}", "Type: {t}", "I say: {t} Now you say it."]
REPEAT_HELD = ["Please repeat after me: {t}", "Say this: {t}", "Repeat the following exactly: {t}", "Please say exactly: {t}", "Please repeat this text: {t}", "Reply with: {t}",
               "Repeat this line:\n{t}", "Please echo: {t}"]
QUOTED = ['Say "{t}"', 'Repeat "{t}"', 'Please say "{t}".', 'Reply with "{t}"', 'Reply with the text "{t}".', 'Echo "{t}" back to me', 'Can you repeat "{t}"?', 'Answer only "{t}".',
          "Say '{t}'", "Repeat '{t}'", "Please repeat '{t}'.", 'Write "{t}".', 'Can you say "{t}"?', 'Repeat the text "{t}" exactly.', 'Say the words "{t}"', 'Just say "{t}"']
QUOTED_HELD = ['Please repeat "{t}".', 'Could you say "{t}"?', 'Reply only with "{t}".', "Please say '{t}'.", 'Echo "{t}".']

SPELL = ["Spell {w}", "Spell the word {w}", "How do you spell {w}?", "Please spell {w}", "Can you spell {w}?", "Spell {w} letter by letter", "How is {w} spelled?", "Spell out {w}",
         "Spell {w} for me", "Tell me how to spell {w}", "How do I spell {w}?", "Write {w} letter by letter", "spelling of {w}?"]
SPELL_HELD = ["Could you spell {w}?", "Please spell the word {w}.", "How do you spell the word {w}?", "Spell out the word {w}."]

PUNCTUATION = ["!", "?", ".", ",", ";", ":", "-", "_", "/", "+", "*", "=", "#", "@", "%", "&", "(", ")", "[", "]", "{", "}", "<", ">", "|", "~", "^", "$", "\\"]


def foreign_word(source: Source) -> str:
    """A word with letters beyond ASCII, or an emoji."""
    r = source.rng.random()
    if r < 0.35:
        return source.of(words.FOREIGN)
    if r < 0.55:
        return "".join(source.rng.choices(words.CHINESE, k=source.number(1, 5)))
    if r < 0.78:
        return "".join(source.of(words.EMOJI) for _ in range(source.number(1, 3)))
    if r < 0.88:
        return source.letters(2, 7, "abcdefghilmnoprstuéèàçñöüäßøåîôêëïšžłćęąğışő")
    low, high = source.choice([(0xC0, 0x24F), (0x391, 0x3C9), (0x410, 0x44F), (0x3041, 0x3096), (0x4E00, 0x9FA5), (0x1F300, 0x1F5FF), (0x1F600, 0x1F64F), (0xAC00, 0xD7A3), (0x5D0, 0x5EA)])
    return "".join(chr(source.number(low, high)) for _ in range(source.number(1, 4)))


def ascii_word(source: Source) -> str:
    """A word, number or other small chunk of ASCII."""
    r = source.rng.random()
    if r < 0.45:
        return source.of(words.COMMON)
    if r < 0.65:
        return source.pseudo()
    if r < 0.75:
        return source.letters(1, 8)
    if r < 0.82:
        return source.letters(2, 8, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
    if r < 0.9:
        return str(source.number(0, 10 ** source.number(1, 6)))
    if r < 0.95:
        return source.name()
    return source.of(words.COMMON) + source.choice(PUNCTUATION) + source.of(words.COMMON)


def ascii_text(source: Source, most: int = 10) -> str:
    """A line of ASCII words, cased and punctuated at random."""
    n = 1 if source.chance(0.25) else source.number(1, most)
    parts = [ascii_word(source) for _ in range(n)]
    style = source.rng.random()
    if style < 0.3:
        parts[0] = parts[0][:1].upper() + parts[0][1:]
    elif style < 0.38:
        parts = [p.capitalize() for p in parts]
    elif style < 0.44:
        parts = [p.upper() for p in parts]
    text = parts[0]
    for p in parts[1:]:
        r = source.rng.random()
        text += (" " if r < 0.85 else ", " if r < 0.93 else source.choice(["-", ". ", ": ", "  ", " - ", "\n", "; ", "/"])) + p
    if source.chance(0.3):
        text += source.choice([".", "!", "?", "...", "!!"])
    return text


def mixed_text(source: Source) -> str:
    """A line of foreign words and emoji, alone or among ASCII words."""
    n = source.number(1, 6)
    parts = [foreign_word(source) if source.chance(0.65) else ascii_word(source) for _ in range(n)]
    if not any(ord(c) > 127 for p in parts for c in p):
        parts[0] = foreign_word(source)
    return source.choice([" ", " ", " ", ", ", ""]).join(parts)


def _repeat(source: Source, text: str) -> Unit:
    if source.chance(0.35) and '"' not in text and "'" not in text:
        return ask(source.pick(QUOTED, QUOTED_HELD).format(t=text), text)
    template = source.pick(REPEAT, REPEAT_HELD)
    if not source.held and source.chance(0.1):
        template = template.lower()
    return ask(template.format(t=text), text)


def repeat(source: Source) -> Unit:
    """ASCII text, verbatim."""
    return _repeat(source, ascii_text(source, 25 if source.chance(0.15) else 9))


def repeat_unicode(source: Source) -> Unit:
    """Accents, Chinese, other scripts and emoji, verbatim."""
    return _repeat(source, mixed_text(source))


def spell(source: Source) -> Unit:
    """A word, letter by letter with hyphens."""
    r = source.rng.random()
    if r < 0.75:
        word = source.word()
    elif r < 0.85:
        word = source.name()
    else:
        word = source.of([w for w in words.FOREIGN if w.isalpha() and ord(max(w)) < 0x250])
    word = word.replace("-", "")
    r = source.rng.random()
    word = word.capitalize() if r < 0.15 else word.upper() if r < 0.25 else word
    shown = source.choice([word, word, f'"{word}"', f"'{word}'"])
    template = source.pick(SPELL, SPELL_HELD)
    if not source.held and source.chance(0.2):
        template = template.lower()
    return ask(template.format(w=shown), "-".join(word))
