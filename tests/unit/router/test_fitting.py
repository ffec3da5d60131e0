"""System messages and turns as a target's chat template takes them; what changed is told."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Template

from adapters.aliases import Roles
from adapters.format.chat_template import roles_of
from router.prepare.fitting import fitted
from router.wire.endpoint import Endpoint
from serving.embedded import BASE_DIR

GEMMA = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}
{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}
<start_of_turn>{{ message['role'] }}
{{ message['content'] | trim }}<end_of_turn>
{% endfor %}"""
MUTE = "{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}{% endif %}{% endfor %}"
CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"
STRICT = Roles(system=False, developer=False, alternates=True)


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    """One message."""
    return {"role": role, "content": content, **more}


@pytest.mark.parametrize(
    ("template", "roles"),
    [
        (GEMMA, STRICT),
        (MUTE, Roles(system=False, developer=False)),
        (CHATML, Roles(developer=False)),
        (f"{CHATML}{{# developer #}}", Roles()),
        ("{% broken", Roles()),
        ("nothing of it", Roles()),
        ("{% for m in messages %}{{ m.content }}{% endfor %}{{ 1 / 0 }}", Roles()),
    ],
)
@pytest.mark.parametrize("place", ["file", "config", "named"])
def test_what_a_template_takes_is_found_by_trying_it(
    tmp_path: Path, template: str, roles: Roles, place: str
) -> None:
    """Wherever it is written; one that cannot be tried is left to the engine."""
    texts: Any = [{"name": "default", "template": template}] if place == "named" else template
    config = {"bos_token": {"content": "<bos>"}, "chat_template": texts}
    if place == "file":
        (tmp_path / "chat_template.jinja").write_text(template)
        config.pop("chat_template")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert roles_of(tmp_path) == roles


def test_a_model_without_a_template_takes_everything(tmp_path: Path) -> None:
    """Nothing is known of it, so nothing is changed."""
    assert roles_of(tmp_path) == Roles()


def test_without_a_system_role_the_user_says_it() -> None:
    """At the beginning of the first turn, also when that has parts; and it is told."""
    parts = [{"type": "image_url", "image_url": {"url": "u"}}]
    body = {
        "messages": [said("system", "be kind"), said("developer", "be brief"), said("user", parts)]
    }
    found, warnings = fitted(Endpoint.CHAT, body, Roles(system=False))
    text = {"type": "text", "text": "be kind\n\nbe brief"}
    assert found["messages"] == [said("user", [text, *parts])]
    assert len(warnings) == 1
    assert "no system role" in warnings[0]


def test_the_base_that_comes_along_takes_system_messages() -> None:
    """As its template says."""
    assert roles_of(BASE_DIR) == Roles(developer=False)


def test_a_developer_is_the_system_where_no_other_word_was_learned() -> None:
    """Nothing is lost by that, so nothing is told."""
    body = {"messages": [said("developer", "be brief"), said("user", "hi")]}
    found, warnings = fitted(Endpoint.CHAT, body, Roles(developer=False))
    assert found["messages"] == [said("system", "be brief"), said("user", "hi")]
    assert warnings == []


@pytest.mark.parametrize("given", ["hi", [said("system", "be brief"), said("user", "hi")]])
def test_responses_without_a_system_role(given: Any) -> None:
    """Instructions and system items are said by the user."""
    body = {"instructions": "be kind", "input": given}
    found, warnings = fitted(Endpoint.RESPONSES, body, Roles(system=False))
    brief = "" if given == "hi" else "be brief\n\n"
    assert found == {"input": [said("user", f"be kind\n\n{brief}hi")]}
    assert len(warnings) == 1
    parts = [{"type": "input_image", "image_url": "u"}]
    found, _ = fitted(Endpoint.RESPONSES, {**body, "input": [said("user", parts)]}, STRICT)
    text = {"type": "input_text", "text": "be kind"}
    assert found == {"input": [said("user", [text, *parts])]}


def test_turns_alternate_and_tools_stay_where_they_are() -> None:
    """A call, its result and who reads it are not joined with anything."""
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    body = {
        "messages": [
            said("assistant", "hello"),
            said("user", "a"),
            said("user", "b"),
            said("assistant", None, tool_calls=calls),
            said("tool", "r", tool_call_id="1"),
            said("assistant", "done"),
        ]
    }
    found, warnings = fitted(Endpoint.CHAT, body, Roles(alternates=True))
    roles = [each["role"] for each in found["messages"]]
    assert roles == ["user", "assistant", "user", "assistant", "tool", "assistant"]
    assert found["messages"][2]["content"] == "a\n\nb"
    assert found["messages"][3]["tool_calls"] == calls
    assert len(warnings) == 2


def test_messages_are_fitted_as_well() -> None:
    """Its system prompt stands apart, and its contents are blocks."""
    block = {"type": "text", "text": "hi"}
    body = {"system": [{"type": "text", "text": "be kind"}], "messages": [said("user", [block])]}
    found, _ = fitted(Endpoint.MESSAGES, body, STRICT)
    assert found == {"messages": [said("user", [{"type": "text", "text": "be kind"}, block])]}


ROLE = st.sampled_from(["system", "developer", "user", "assistant"])
CONTENT = st.text("abc ", min_size=1, max_size=5)


@given(st.lists(st.builds(said, ROLE, CONTENT), max_size=8), *[st.booleans()] * 3)
def test_a_strict_template_takes_whatever_comes(
    messages: list[dict[str, Any]], system: bool, alternates: bool, developer: bool
) -> None:
    """Nothing that was said is lost, in any order of roles; without a change nothing is told."""
    body = {"messages": messages, "top_p": 1}
    found, warnings = fitted(
        Endpoint.CHAT, body, Roles(system=system, developer=developer, alternates=alternates)
    )
    turns = found["messages"]
    spoken = [each for each in turns if each["role"] not in ("system", "developer")]
    if any(each["role"] not in ("system", "developer") for each in messages):
        assert system or spoken == turns
        if alternates:
            assert spoken[0]["role"] == "user"
            assert all(a["role"] != b["role"] for a, b in pairwise(spoken))
    whole = "".join(each["content"] for each in turns)
    assert all(each["content"] in whole for each in messages)
    if roles_changed := found != body:
        assert warnings or not system or not developer
    assert roles_changed or not warnings
    assert found["top_p"] == 1


@pytest.mark.parametrize("messages", ["hi", [], [3], [{"role": 4}], None])
def test_what_is_no_conversation_is_left_alone(messages: Any) -> None:
    """The target says what is wrong with it."""
    body = {"messages": messages}
    assert fitted(Endpoint.CHAT, body, STRICT) == (body, [])
    assert fitted(Endpoint.MESSAGES, body, STRICT)[1] == []


def test_the_rendered_prompt_of_a_strict_template() -> None:
    """What fitted, the template itself takes."""
    body = {"messages": [said("system", "s"), said("assistant", "a"), said("assistant", "b")]}
    found, _ = fitted(Endpoint.CHAT, body, STRICT)
    assert "raise" not in Template(GEMMA).render(bos_token="", **found)
