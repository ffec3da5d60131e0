"""Which language a text is in, as far as its commonest words and its script tell.

Names are BCP 47's (RFC 5646): `es`; where words do not tell, `und-` and the script's ISO 15924
code: `und-Latn`. Two different words of a language are wanted, and more than English has in the
text: a name or a dish from elsewhere does not make an English question a foreign one.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Final

ENGLISH: Final = "en"
UNDETERMINED: Final = "und-Latn"
_READ: Final = 2000
"""Characters that are looked at."""
_WORDS: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_SCRIPTS: Final = {
    "LATIN": "Latn",
    "CYRILLIC": "Cyrl",
    "GREEK": "Grek",
    "ARABIC": "Arab",
    "HEBREW": "Hebr",
    "DEVANAGARI": "Deva",
    "BENGALI": "Beng",
    "TAMIL": "Taml",
    "THAI": "Thai",
    "HANGUL": "Hang",
    "HIRAGANA": "Jpan",
    "KATAKANA": "Jpan",
    "CJK": "Hani",
    "ARMENIAN": "Armn",
    "GEORGIAN": "Geor",
    "ETHIOPIC": "Ethi",
    "KHMER": "Khmr",
    "TELUGU": "Telu",
    "GUJARATI": "Gujr",
}


def _common_words() -> dict[str, tuple[str, ...]]:
    """Languages by word."""
    found: dict[str, tuple[str, ...]] = {}
    lines = Path(__file__).with_name("common_words.txt").read_text(encoding="utf-8").splitlines()
    for line in lines[1:]:
        code, *words = line.split()
        for word in words:
            found[word] = (*found.get(word, ()), code)
    return found


_LANGUAGES: Final = _common_words()


def language_of(text: str) -> str:
    """The language's BCP 47 tag; `und-` and a script where the words do not tell."""
    read = text[:_READ]
    script = script_of(read)
    if script != "Latn":
        return f"und-{script}"
    words = _WORDS.findall(read.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    found = Counter(code for word in set(words) for code in _LANGUAGES.get(word, ()))
    english = found.pop(ENGLISH, 0)
    if found:
        code, most = found.most_common(1)[0]
        if most > english and (most > 1 or most * 2 >= len(words)):
            return code
    return ENGLISH if english else UNDETERMINED


def script_of(text: str) -> str:
    """The ISO 15924 code of the script that most letters are of; `Zyyy` where there are none."""
    if text.isascii():
        return "Latn" if any(letter.isalpha() for letter in text) else "Zyyy"
    counts: Counter[str] = Counter()
    for letter in text:
        if letter.isalpha():
            first = unicodedata.name(letter, "").split(" ")[0].split("-")[0]
            counts[_SCRIPTS.get(first, "Zzzz")] += 1
    return counts.most_common(1)[0][0] if counts else "Zyyy"
