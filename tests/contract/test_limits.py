"""What is too much: too many requests, too large a body or archive, too many answers at once."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.contract.client import HELLO, archive, chat, client, error_of, post_version
from tests.fakes.whole_system import System, whole_system

LIMITS = {
    "requests_per_minute": 6,
    "max_body_bytes": 10_000,
    "max_archive_bytes": 1_024,
    "max_choices": 4,
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system that takes little."""
    with whole_system(tmp_path_factory.mktemp("small"), {"limits": LIMITS}, replicas=1) as running:
        yield running


@pytest.fixture
def http(small: System) -> Iterator[httpx.Client]:
    """A client of it."""
    with client(small) as found:
        yield found


def test_a_body_that_is_too_large(http: httpx.Client) -> None:
    """413, before it is read to its end."""
    answer = chat(http, "tiny", "x" * 20_000)
    assert answer.status_code == 413
    assert error_of(answer)["code"] == "request_too_large"


def test_an_archive_that_is_too_large(http: httpx.Client) -> None:
    """413, and not that the registry does not answer."""
    answer = post_version(http, "large", archive(1))
    assert answer.status_code == 413, answer.text
    assert error_of(answer)


def test_too_many_answers_at_once(http: httpx.Client) -> None:
    """400 by the field's name."""
    answer = chat(http, "tiny", n=5)
    assert answer.status_code == 400
    assert error_of(answer)["param"] == "n"


def test_too_many_requests(http: httpx.Client) -> None:
    """429 with ``Retry-After``, in the shape of the API that was called."""
    answers = [chat(http, "tiny") for _ in range(7)]
    limited = answers[-1]
    assert limited.status_code == 429
    assert int(limited.headers["retry-after"]) > 0
    assert error_of(limited)["type"] == "rate_limit_error"
    assert limited.headers["x-ratelimit-limit-requests"] == "6"
    assert limited.headers["x-ratelimit-remaining-requests"] == "0"
    assert limited.headers["x-ratelimit-reset-requests"] != "0s"
    body = {"model": "tiny", "messages": HELLO, "max_tokens": 8}
    on_messages = http.post("/v1/messages", json=body)
    assert on_messages.status_code == 429
    assert on_messages.json()["type"] == "error"
    assert error_of(on_messages)["type"] == "rate_limit_error"
    assert http.get("/v1/models").status_code == 200
