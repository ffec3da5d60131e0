"""Context on real vLLM: with the engine's own tokenizer, prompt and answer fit its window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.system.client import BASE
from tests.system.running import Running

pytestmark = pytest.mark.system

ASK = {"x-graftwork-context": "kettles"}
ANSWER = 64
STORY = "Yesterday we walked to the market by the river and bought bread, cheese and two pears. "
SENTENCE = "The kettle of model {n} has a lid in colour {n} and boils {n} litres of water. "


@pytest.fixture(scope="module")
def documents(system: Running) -> Iterator[list[str]]:
    """More of them than any window here holds."""
    ids = []
    with httpx.Client(base_url=system.url, timeout=60, trust_env=False) as http:
        for number in range(12):
            text = "".join(SENTENCE.format(n=number * 100 + n) for n in range(30))
            answer = http.post(
                "/admin/v1/documents",
                json={"title": f"Kettle {number}", "text": text, "collection": "kettles"},
            )
            assert answer.status_code == 201, answer.text
            ids.append(answer.json()["id"])
        yield ids
        for each in ids:
            http.delete(f"/admin/v1/documents/{each}")


def body_of(path: str, words: int) -> dict[str, Any]:
    """A conversation about kettles, after so many words about something else."""
    story = " ".join((STORY * 80).split()[:words])
    text = f"{story}. What colour has the lid of the kettle of model 105?"
    if path == "/v1/completions":
        return {"model": BASE, "prompt": text, "max_tokens": ANSWER}
    if path == "/v1/responses":
        return {"model": BASE, "input": text, "max_output_tokens": ANSWER}
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello! How can I help?"},
        {"role": "user", "content": text},
    ]
    system = {"system": "Be brief."} if path == "/v1/messages" else {}
    return {"model": BASE, "messages": messages, "max_tokens": ANSWER, **system}


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"]
)
def test_prompt_context_and_answer_fit_however_long_the_prompt_is(
    http: httpx.Client, documents: list[str], path: str
) -> None:
    """The engine refuses none; short prompts get much, long ones little or nothing."""
    window = 2048
    tokens: list[int] = []
    cited: list[int] = []
    for words in (0, 300, 600, 750, 800, 850):
        answer = http.post(path, json=body_of(path, words), headers=ASK)
        assert answer.status_code == 200, f"{words} words: {answer.text}"
        found = answer.json()
        usage = found["usage"]
        tokens.append(usage.get("prompt_tokens", usage.get("input_tokens")))
        cited.append(len(found.get("graftwork", {}).get("citations", [])))
    assert max(tokens) <= window - ANSWER
    assert cited[0] >= 2 > cited[-1]
