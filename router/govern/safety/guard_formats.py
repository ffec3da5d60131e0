"""How guard models are asked and how they answer: Llama Guard's words, and ShieldGemma's.

Sources: the models' cards, meta-llama/Llama-Guard-3-8B and google/shieldgemma-2b. Both are chat
models whose template builds the prompt; Qwen3Guard's and Granite Guardian's answers are read, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import Any, Final

from router.config.safety import GuardFormat
from router.govern.safety.checks import Turn

Body = dict[str, Any]
Message = dict[str, str]
LLAMA_CATEGORIES: Final = {
    "S1": "violent-crimes",
    "S2": "non-violent-crimes",
    "S3": "sex-related-crimes",
    "S4": "child-sexual-exploitation",
    "S5": "defamation",
    "S6": "specialized-advice",
    "S7": "privacy",
    "S8": "intellectual-property",
    "S9": "indiscriminate-weapons",
    "S10": "hate",
    "S11": "self-harm",
    "S12": "sexual-content",
    "S13": "elections",
    "S14": "code-interpreter-abuse",
}
"""Llama Guard 3's, from the MLCommons taxonomy."""
GUIDELINES: Final = {
    "dangerous-content": (
        '"No Dangerous Content": The {role} shall not {verb} content that harms oneself and/or '
        "others (e.g., accessing or building firearms and explosive devices, promotion of "
        "terrorism, instructions for suicide)."
    ),
    "harassment": (
        '"No Harassment": The {role} shall not {verb} content that is malicious, intimidating, '
        "bullying, or abusive content targeting another individual (e.g., physical threats, denial "
        "of tragic events, disparaging victims of violence)."
    ),
    "hate": (
        '"No Hate Speech": The {role} shall not {verb} content expressing hatred toward '
        "individuals on the basis of race, gender, religion, disability, or other protected "
        "characteristics."
    ),
    "sexual-content": (
        '"No Sexually Explicit Information": The {role} shall not {verb} content that contains '
        "references to sexual acts, or other lewd content. Content with scientific, educational, "
        "or artistic context are permitted."
    ),
}
"""ShieldGemma's four policies: each is a question of its own."""
_SHIELD: Final = (
    ("prompt", "seek generation of"),
    ("chatbot", "generate"),
)
_VERDICT: Final = re.compile(
    r"^\W*(?:(?P<qwen>safety)\s*:\s*)?(?:<score>\s*)?(?P<word>safe|unsafe|controversial|yes|no)\b",
    re.IGNORECASE,
)
_CATEGORY: Final = re.compile(r"\bS\d{1,2}\b")
_QWEN: Final = re.compile(r"categor(?:y|ies)\s*:\s*([^\n]+)", re.IGNORECASE)
_UNSAFE: Final = frozenset({"unsafe", "controversial", "yes"})


class Unreadable(ValueError):
    """A guard's answer that is in none of the known forms."""


@dataclass(frozen=True, slots=True)
class Question:
    """One call of the guard.

    Attributes:
        body: of the chat completion, without the model.
        category: what it is about; empty where the answer says so itself.
    """

    body: Body
    category: str = ""


@dataclass(frozen=True, slots=True)
class Moderation:
    """What the guard says.

    Attributes:
        categories: what is violated; empty: nothing.
        score: probability of that, where the guard tells it.
    """

    categories: tuple[str, ...]
    score: float = 1.0


def resolved(wanted: GuardFormat, model: str) -> GuardFormat:
    """The format that ``auto`` means for a model."""
    if wanted is not GuardFormat.AUTO:
        return wanted
    is_shield = "shieldgemma" in model.lower().replace("-", "")
    return GuardFormat.SHIELDGEMMA if is_shield else GuardFormat.LLAMA_GUARD


def questions(form: GuardFormat, messages: Sequence[Message]) -> list[Question]:
    """The calls that judge the last message of a conversation."""
    common = {"messages": list(messages), "temperature": 0, "stream": False}
    if form is GuardFormat.LLAMA_GUARD:
        return [Question({**common, "max_tokens": 32})]
    role, verb = _SHIELD[messages[-1]["role"] == "assistant"]
    return [
        Question(
            {
                **common,
                "max_tokens": 4,
                "logprobs": True,
                "top_logprobs": 5,
                "chat_template_kwargs": {"guideline": text.format(role=role, verb=verb)},
            },
            category,
        )
        for category, text in GUIDELINES.items()
    ]


def moderation(question: Question, answer: Body, threshold: float) -> Moderation:
    """What an answer says. Raises ``Unreadable``."""
    try:
        choice = answer["choices"][0]
        text = choice["message"]["content"] or ""
    except (LookupError, TypeError) as error:
        raise Unreadable("the guard's answer is no chat completion") from error
    found = _VERDICT.match(text) if isinstance(text, str) else None
    if found is None:
        raise Unreadable("the guard's answer is neither safe nor unsafe, yes nor no")
    word = found["word"].lower()
    score = _probability(choice) if word in ("yes", "no") else None
    if score is not None:
        return Moderation((question.category or "unsafe",) if score >= threshold else (), score)
    if word not in _UNSAFE:
        return Moderation(())
    return Moderation(_categories(text) or (question.category or "unsafe",))


def _categories(text: str) -> tuple[str, ...]:
    codes = dict.fromkeys(_CATEGORY.findall(text))
    if codes:
        return tuple(LLAMA_CATEGORIES.get(code, code) for code in codes)
    named = _QWEN.search(text)
    if named is None:
        return ()
    words = (re.sub(r"\W+", "-", each.strip().lower()).strip("-") for each in named[1].split(","))
    return tuple(word for word in words if word and word != "none")


def _probability(choice: Body) -> float | None:
    """Of ``Yes`` against ``No`` in the first token; None when the guard did not tell."""
    content = (choice.get("logprobs") or {}).get("content") or []
    if not content:
        return None
    odds = {"yes": 0.0, "no": 0.0}
    for each in content[0].get("top_logprobs") or [content[0]]:
        word = str(each.get("token", "")).strip().lower()
        if word in odds and isinstance(each.get("logprob"), int | float):
            odds[word] += exp(each["logprob"])
    total = odds["yes"] + odds["no"]
    return odds["yes"] / total if total else None


def as_messages(turns: Sequence[Turn]) -> list[Message]:
    """Beginning with a user and taking turns, as the models' templates demand."""
    found: list[Message] = []
    for role, text in turns:
        if found and found[-1]["role"] == role:
            found[-1]["content"] += "\n\n" + text
        elif found or role == "user":
            found.append({"role": role, "content": text})
    return found or [{"role": "user", "content": turns[-1].text if turns else ""}]
