"""Guard models: what is asked, and what an answer means; whatever else it says is no moderation."""

from __future__ import annotations

from math import log
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from router.config.root import RouterConfig
from router.config.safety import GuardFormat, SafetyConfig
from router.govern.safety.checks import Turn
from router.govern.safety.guard_formats import (
    GUIDELINES,
    Question,
    Unreadable,
    as_messages,
    moderation,
    questions,
    resolved,
)

ROOT = Path(__file__).resolve().parents[4]
TALK = [Turn("user", "hello"), Turn("assistant", "hi"), Turn("user", "how are you")]


def answered(text: Any, **more: Any) -> dict[str, Any]:
    """A chat completion."""
    return {"choices": [{"message": {"role": "assistant", "content": text}, **more}]}


@pytest.mark.parametrize(
    ("model", "form"),
    [
        ("llama-guard-3-8b", GuardFormat.LLAMA_GUARD),
        ("google/shieldgemma-2b", GuardFormat.SHIELDGEMMA),
        ("Shield-Gemma-9B", GuardFormat.SHIELDGEMMA),
        ("my-own", GuardFormat.LLAMA_GUARD),
    ],
)
def test_the_form_is_known_by_the_models_name(model: str, form: GuardFormat) -> None:
    """Unless it is configured."""
    assert resolved(GuardFormat.AUTO, model) is form
    assert resolved(GuardFormat.SHIELDGEMMA, model) is GuardFormat.SHIELDGEMMA


@pytest.mark.parametrize(
    ("text", "categories"),
    [
        ("safe", ()),
        ("\n\nsafe", ()),
        ("unsafe\nS1", ("violent-crimes",)),
        ("unsafe\nS9,S1", ("indiscriminate-weapons", "violent-crimes")),
        ("unsafe\nS99", ("S99",)),
        ("unsafe", ("unsafe",)),
        ("Safety: Unsafe\nCategories: Violent, Non-violent Illegal Acts",
         ("violent", "non-violent-illegal-acts")),
        ("Safety: Safe\nCategories: None", ()),
        ("Safety: Controversial\nCategories: None", ("unsafe",)),
        ("<score> yes </score>", ("unsafe",)),
        ("<score> no </score>", ()),
        ("Yes", ("unsafe",)),
        ("No, it does not.", ()),
    ],
)  # fmt: skip
def test_known_answers_are_read(text: str, categories: tuple[str, ...]) -> None:
    """Llama Guard's, Qwen3Guard's, Granite Guardian's, a plain yes or no."""
    assert moderation(Question({}), answered(text), 0.5).categories == categories


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"choices": []},
        answered(None),
        answered(""),
        answered("I am a helpful assistant"),
        answered("safely"),
        answered(["safe"]),
        {"choices": "safe"},
        {"error": {"message": "no"}},
    ],
)
def test_anything_else_is_no_verdict(answer: dict[str, Any]) -> None:
    """So that it refuses."""
    with pytest.raises(Unreadable):
        moderation(Question({}), answer, 0.5)


@given(text=st.text(max_size=60))
def test_no_answer_passes_that_does_not_begin_with_a_verdict(text: str) -> None:
    """Only these words at the beginning let something pass."""
    try:
        found = moderation(Question({}), answered(text), 0.5)
    except Unreadable:
        return
    assert found.categories or any(word in text.lower() for word in ("safe", "no"))


@pytest.mark.parametrize(("yes", "threshold", "violates"), [(0.4, 0.5, False), (0.4, 0.3, True)])
def test_shieldgemma_is_read_by_the_probability_of_yes(
    yes: float, threshold: float, violates: bool
) -> None:
    """Whichever word it wrote."""
    top = [{"token": "Yes", "logprob": log(yes)}, {"token": " No", "logprob": log(1 - yes)}]
    logprobs = {"content": [{"token": "No", "logprob": log(1 - yes), "top_logprobs": top}]}
    found = moderation(Question({}, "hate"), answered("No", logprobs=logprobs), threshold)
    assert found.categories == (("hate",) if violates else ())
    assert found.score == pytest.approx(yes)


def test_llama_guard_gets_the_conversation_beginning_with_a_user_in_turns() -> None:
    """Its template accepts nothing else."""
    (asked,) = questions(
        GuardFormat.LLAMA_GUARD,
        as_messages([Turn("assistant", "x"), *TALK, Turn("user", "and?")]),
    )
    assert [each["role"] for each in asked.body["messages"]] == ["user", "assistant", "user"]
    assert asked.body["messages"][-1]["content"] == "how are you\n\nand?"
    assert asked.body["temperature"] == 0


def test_shieldgemma_gets_each_of_its_policies_about_who_spoke_last() -> None:
    """As its template wants it: the guideline beside the conversation."""
    asked = questions(GuardFormat.SHIELDGEMMA, as_messages(TALK))
    assert [each.category for each in asked] == list(GUIDELINES)
    for each in asked:
        assert (
            "The prompt shall not seek generation of"
            in (each.body["chat_template_kwargs"]["guideline"])
        )
        assert each.body["logprobs"] is True
    (first, *_) = questions(
        GuardFormat.SHIELDGEMMA, as_messages([*TALK, Turn("assistant", "fine")])
    )
    assert "The chatbot shall not generate" in first.body["chat_template_kwargs"]["guideline"]


def test_the_documents_example_is_a_configuration() -> None:
    """Every setting in it exists."""
    text = (ROOT / "docs" / "safety.md").read_text()
    example = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    SafetyConfig.model_validate(example["governance"]["safety"])


@pytest.mark.parametrize(
    ("safety", "complaint"),
    [
        ({"guard": {"provider": "nobody", "model": "x"}}, "which no provider has"),
        ({"topics": [{"name": "x"}]}, "words or examples"),
        ({"topics": [{"name": "x", "words": ["a"]}] * 2}, "distinct"),
        ({"harm": "perhaps"}, "harm"),
    ],
)
def test_a_mistake_in_the_configuration_is_explained(
    safety: dict[str, Any], complaint: str
) -> None:
    """At the start, naming the field."""
    with pytest.raises(ValidationError, match=complaint):
        RouterConfig.model_validate({"governance": {"safety": safety}})
