"""A tiny template language: ``(a|b)`` picks one part, ``[a]`` keeps or drops a part."""

import random
import re
from collections.abc import Mapping

_INNERMOST = re.compile(r"\(([^()\[\]]*)\)|\[([^()\[\]]*)\]")
_FACT = re.compile(r"\*([^*]+)\*")
_SPACES = re.compile(r" {2,}")


def expand(template: str, rng: random.Random) -> str:
    """Resolve every choice of ``template``, innermost first."""

    def pick(match: re.Match[str]) -> str:
        if match.group(1) is not None:
            return rng.choice(match.group(1).split("|"))
        return rng.choice(match.group(2).split("|")) if rng.random() < 0.5 else ""

    text, count = _INNERMOST.subn(pick, template)
    while count:
        text, count = _INNERMOST.subn(pick, text)
    return _SPACES.sub(" ", text).strip()


def fill(template: str, slots: Mapping[str, str], rng: random.Random) -> str:
    """Resolve the choices of ``template`` and put the slot values in."""
    return expand(template, rng).format_map(slots)


def split_facts(marked: str) -> tuple[str, tuple[str, ...]]:
    """Return the text without its ``*marks*`` and the marked facts, in order."""
    return _FACT.sub(r"\1", marked), tuple(_FACT.findall(marked))


def template_lines(block: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split a block of templates into training ones and held-out ones (marked ``~``).

    A line that ends in `` ...`` goes on in the next one.
    """
    joined = block.replace(" ...\n", " ")
    lines = [" ".join(line.split()) for line in joined.splitlines() if line.strip()]
    train = tuple(line for line in lines if not line.startswith("~"))
    held = tuple(line[1:].strip() for line in lines if line.startswith("~"))
    return train, held
