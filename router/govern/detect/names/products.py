"""Assistants, models and who makes them: names of nobody, which a model takes for persons.

Agents say who they are at the top of every prompt; with a placeholder there, the model would not
know whom it is asked to be.
"""

from __future__ import annotations

import re
from typing import Final

_PLAIN: Final = frozenset(
    """
    anthropic chatgpt codex copilot deepmind deepseek gpt grok llama mixtral openai opencode qwen
    windsurf
    """.split()  # noqa: SIM905 - a list of words
)
"""Nobody is called so."""
_BESIDE: Final = _PLAIN | frozenset(
    """
    agent ai aider assistant azure bedrock claude cli cline code cursor gemini github google haiku
    meta mistral opus s sdk sonnet vertex xai
    """.split()  # noqa: SIM905 - a list of words
)
"""Some people are called Claude or Cline: one of these alone has to be told who it is."""
_WORD: Final = re.compile(r"[^\W\d_]+")
_TOLD: Final = re.compile(r"\b(?:you are|you're|act as)\s+$", re.IGNORECASE)
_LOOKED_AT: Final = 16


def is_product(text: str, start: int, end: int) -> bool:
    """Whether what stands there is an assistant, a model or a vendor of one."""
    words = _WORD.findall(text[start:end].lower())
    if not words or not _BESIDE.issuperset(words):
        return False
    if len(words) > 1 or not _PLAIN.isdisjoint(words):
        return True
    return _TOLD.search(text, max(0, start - _LOOKED_AT), start) is not None
