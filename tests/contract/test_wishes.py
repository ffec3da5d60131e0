"""What clients wish for, in headers and in the body's ``graftwork``.

Both are read, and either that makes no sense is refused, whatever the other says.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.client import HELLO, chat, error_of

_DECISION = "/v1/decision"


def _features(
    http: httpx.Client, headers: dict[str, str], said: dict[str, Any], model: str = "tiny"
) -> dict[str, Any]:
    """What of it is looked at when it is decided who answers."""
    body = {"model": model, "messages": HELLO, "graftwork": said}
    answer = http.post(_DECISION, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["features"]
    return found


def test_a_bound_of_nothing_asks_nobody_who_costs(app: httpx.Client) -> None:
    """In the header or in the body; free targets still answer."""
    wishes: list[dict[str, Any]] = [
        {"headers": {"x-graftwork-max-cost-usd": "0"}},
        {"graftwork": {"max_cost_usd": 0}},
    ]
    for wish in wishes:
        refused = chat(app, "cloud/big", **wish)
        assert refused.status_code == 400, refused.text
        assert error_of(refused)["code"] == "max_cost_exceeded"
        assert chat(app, "tiny", **wish).status_code == 200


@pytest.mark.parametrize(("told", "said"), [("false", True), ("true", False), ("true", None)])
def test_what_either_does_not_want_kept_is_not(
    app: httpx.Client, told: str, said: bool | None
) -> None:
    """The header and its twin."""
    features = _features(app, {"x-graftwork-no-capture": told}, {"no_capture": said})
    assert features["no_capture"] is True


def test_a_header_goes_first_elsewhere(app: httpx.Client) -> None:
    """A gateway on the way may set it."""
    headers = {"x-graftwork-max-cost-usd": "0.5", "x-graftwork-fallback": "false"}
    features = _features(app, headers, {"max_cost_usd": 0.25, "fallback": True})
    assert (features["max_cost_usd"], features["fallback"]) == (0.5, False)
    assert _features(app, {}, {"fallback": True})["fallback"] is True


@pytest.mark.parametrize(
    ("header", "told", "said"),
    [
        ("max-cost-usd", "1", {"max_cost_usd": "cheap"}),
        ("max-cost-usd", "1", {"max_cost_usd": True}),
        ("timeout-ms", "9000", {"timeout_ms": -1}),
        ("session", "a", {"session": 5}),
        ("intent", "returns", {"intent": ""}),
        ("fallback", "true", {"fallback": "true"}),
        ("no-capture", "true", {"no_capture": 1}),
        ("context", "none", {"context": 5}),
        ("subject", "ann", {"subject": 5}),
        ("max-cost-usd", "1_0", {"max_cost_usd": 1}),
        ("timeout-ms", "soon", {"timeout_ms": 9000}),
        ("subject", "x" * 1025, {"subject": "ann"}),
        ("fallback", "maybe", {"fallback": True}),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused_whatever_its_twin_says(
    app: httpx.Client, header: str, told: str, said: dict[str, Any]
) -> None:
    """400, and which one."""
    answer = chat(app, "tiny", headers={f"x-graftwork-{header}": told}, graftwork=said)
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["param"] == f"graftwork.{header.replace('-', '_')}"


def test_an_empty_subject_header_names_nobody(app: httpx.Client) -> None:
    """Gateways send one where nobody is logged in."""
    assert chat(app, "tiny", headers={"x-graftwork-subject": ""}).status_code == 200


def test_a_list_may_have_several_header_lines(app: httpx.Client) -> None:
    """As HTTP has it: they are one list."""
    lines = [("x-graftwork-context", "first"), ("x-graftwork-context", "second, third")]
    body = {"model": "tiny", "messages": HELLO}
    answer = app.post("/v1/chat/completions", json=body, headers=lines)
    assert answer.status_code == 200, answer.text
    for name in ("first", "second", "third"):
        assert f"no collection '{name}'" in answer.headers["x-graftwork-warning"]
