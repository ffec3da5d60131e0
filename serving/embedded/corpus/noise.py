"""Make clean questions look typed: casing, punctuation, small words and typos."""

import random
from typing import Final

_QUESTION_STARTS: Final = frozenset(
    (
        "what", "when", "where", "which", "who", "why", "how", "do", "does", "did", "is", "are",
        "can", "could", "may", "will", "would", "have", "has", "should", "any", "am", "whats",
    )
)  # fmt: skip
_LEADS: Final = (
    "hi, ", "hello, ", "hey, ", "hi there, ", "excuse me, ", "good morning, ", "hello! ", "hi! ",
    "please tell me, ", "quick question: ", "sorry, ", "ok, ", "um, ", "so, ", "and ", "well, ",
)  # fmt: skip
_FILLERS: Final = (
    "actually", "just", "maybe", "really", "kindly", "now", "also", "perhaps", "still", "please",
)  # fmt: skip
_SMALL_WORDS: Final = frozenset(
    [
        "the",
        "a",
        "an",
        "my",
        "your",
        "i",
        "you",
        "do",
        "does",
        "is",
        "are",
        "can",
        "could",
        "to",
        "for",
        "of",
        "please",
        "me",
        "it",
        "have",
        "will",
    ]
)
_TAILS: Final = (" please", ", please", ", thanks", " thanks", ", thank you", " pls", " today")


def _sentence_case(text: str) -> str:
    words = [{"i": "I", "i'm": "I'm", "i'd": "I'd", "i've": "I've"}.get(w, w) for w in text.split()]
    joined = " ".join(words)
    return joined[:1].upper() + joined[1:]


def _punctuate(text: str, rng: random.Random) -> str:
    if rng.random() < 0.3 or text[-1] in "?!.":
        return text
    first = text.split(maxsplit=1)[0].lower().strip(",!:")
    asks = first in _QUESTION_STARTS
    return text + rng.choice("?" * 8 + ".!" if asks else "....!")


def _misspell(word: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(3)
    if kind == 0:
        return word[:at] + word[at + 1 :]
    if kind == 1:
        return word[:at] + word[at] + word[at:]
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _add_typo(text: str, rng: random.Random, keep: frozenset[str]) -> str:
    words = text.split(" ")
    spots = [i for i, w in enumerate(words) if len(w) > 4 and w.isalpha() and w not in keep]
    if spots:
        spot = rng.choice(spots)
        words[spot] = _misspell(words[spot], rng)
    return " ".join(words)


def _blur_words(text: str, rng: random.Random) -> str:
    """Lose a small word or gain an idle one, so that no single wording is relied upon."""
    words = text.split(" ")
    small = [at for at, word in enumerate(words) if word in _SMALL_WORDS]
    if len(words) > 3 and small and rng.random() < 0.6:
        del words[rng.choice(small)]
    elif len(words) > 2:
        words.insert(rng.randrange(len(words)), rng.choice(_FILLERS))
    return " ".join(words)


def add_noise(
    text: str, rng: random.Random, keep: frozenset[str] = frozenset(), blur: bool = True
) -> str:
    """Return ``text`` as a hurried customer might type it; words in ``keep`` stay whole."""
    if blur and rng.random() < 0.15:
        text = _blur_words(text, rng)
    if rng.random() < 0.15:
        text = rng.choice(_LEADS) + text
    if rng.random() < 0.08:
        text += rng.choice(_TAILS)
    if rng.random() < 0.10:
        text = _add_typo(text, rng, keep)
    text = _punctuate(text, rng)
    style = rng.random()
    if style < 0.68:
        return _sentence_case(text)
    if style < 0.97:
        return text if style < 0.80 else text.lower()
    return text.upper()
