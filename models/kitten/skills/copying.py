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



def foreign_word(source: Source) -> str:
    """A word with letters beyond ASCII, or an emoji."""
    r = source.rng.random()
    if r < 0.45:
        return source.choice(words.FOREIGN)
    if r < 0.7:
        return "".join(source.rng.choices(words.CHINESE, k=source.number(1, 4)))
    return "".join(source.choice(words.EMOJI) for _ in range(source.number(1, 2)))


def ascii_word(source: Source) -> str:
    """A word, name or number."""
    r = source.rng.random()
    if r < 0.75:
        return source.choice(words.COMMON)
    if r < 0.85:
        return source.pseudo()
    return str(source.number(0, 999)) if r < 0.92 else source.name()


def ascii_text(source: Source, most: int = 6) -> str:
    """A line of ASCII words, cased and punctuated at random."""
    parts = [ascii_word(source) for _ in range(1 if source.chance(0.25) else source.number(1, most))]
    if source.chance(0.3):
        parts[0] = parts[0][:1].upper() + parts[0][1:]
    mark = source.choice([".", "!", "?"]) if source.chance(0.3) else ""
    return (", " if source.chance(0.1) else " ").join(parts) + mark


def mixed_text(source: Source) -> str:
    """A line of foreign words and emoji, alone or among ASCII words."""
    n = source.number(1, 4)
    parts = [foreign_word(source) if source.chance(0.65) else ascii_word(source) for _ in range(n)]
    if not any(ord(c) > 127 for p in parts for c in p):
        parts[0] = foreign_word(source)
    return source.choice([" ", " ", " ", ", "]).join(parts)


def _repeat(source: Source, text: str) -> Unit:
    if source.chance(0.35) and '"' not in text and "'" not in text:
        return ask(source.pick(QUOTED, QUOTED_HELD).format(t=text), text)
    template = source.pick(REPEAT, REPEAT_HELD)
    if not source.held and source.chance(0.1):
        template = template.lower()
    return ask(template.format(t=text), text)


def repeat(source: Source) -> Unit:
    """ASCII text, verbatim."""
    return _repeat(source, ascii_text(source))


def repeat_unicode(source: Source) -> Unit:
    """Accents, Chinese, other scripts and emoji, verbatim."""
    return _repeat(source, mixed_text(source))


# What can be spelled: few enough words to know the letters of each.
SPELLED = sorted({w for w in words.COMMON if 3 <= len(w) <= 6 and w.isalpha()} | {"kitten", "tiger", "cluster", "model"})[::3]


def spell(source: Source) -> Unit:
    """A common word, letter by letter with hyphens."""
    word = source.choice(SPELLED)
    shown = source.choice([word, word, f'"{word}"', f"'{word}'"])
    template = source.pick(SPELL, SPELL_HELD)
    if not source.held and source.chance(0.2):
        template = template.lower()
    return ask(template.format(w=shown), "-".join(word))
