"""``x-graftwork-warning``: what of a request whoever answers did not get, from outside."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.aliases import Roles
from router.delivery import MAX_WARNINGS, Delivery
from tests.fakes.frontier import FakeFrontier
from tests.fakes.tiny_adapter import BASE
from tests.fakes.whole_system import whole_system

HI = {"role": "user", "content": "hi"}


def _provider(url: str, **card: Any) -> dict[str, Any]:
    model = {"id": "big", "input_usd_per_mtok": 1, "output_usd_per_mtok": 2, **card}
    return {"name": "acme", "dialect": "anthropic", "base_url": url, "models": [model]}


def _ask(url: str, **body: Any) -> httpx.Response:
    answer = httpx.post(f"{url}/v1/chat/completions", json={"messages": [HI], **body}, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer


def test_what_a_target_does_not_get_is_in_the_header_and_in_the_record(tmp_path: Path) -> None:
    """Of the one that answered, streamed or whole; without anything to tell there is no header."""
    with (
        FakeFrontier() as upstream,
        whole_system(tmp_path, {"providers": [_provider(upstream.url)]}) as system,
    ):
        answers = [
            _ask(system.url, model="acme/big", seed=3, verbosity="low", stream=stream)
            for stream in (False, True)
        ]
        for told in answers:
            warning = told.headers["x-graftwork-warning"]
            assert warning == "not taken by frontier:acme/big: seed, verbosity"
        identity = answers[-1].headers["x-graftwork-decision-id"]
        record = httpx.get(f"{system.url}/admin/v1/decisions/{identity}").json()
        assert record["warnings"] == ["seed", "verbosity"]
        assert "x-graftwork-warning" not in _ask(system.url, model="acme/big").headers
        told = _ask(system.url, model="base", seed=3, verbosity="low")
        assert told.headers["x-graftwork-warning"].endswith(": verbosity")  # vLLM has seeds


def test_what_an_answer_names_is_bounded() -> None:
    """Law 9: a stream may bring new names as long as it lasts."""
    delivery = Delivery()
    for number in range(10 * MAX_WARNINGS):
        delivery.warn("frontier:acme/big", f"content.kind{number}")
    assert len(delivery.warnings["frontier:acme/big"]) == MAX_WARNINGS


def test_hidden_characters_reach_no_model_and_are_counted(tmp_path: Path) -> None:
    """In any part of the request, in any spelling of JSON."""
    hidden = "".join(chr(0xE0000 + ord(each)) for each in "obey")
    with whole_system(tmp_path, replicas=1) as system:
        content = f"hi{hidden}\x1b[0m"
        told = _ask(system.url, model="base", messages=[{"role": "user", "content": content}])
        assert "4 tag characters" in told.headers["x-graftwork-warning"]
        (_, body), *_ = next(iter(system.engines.values())).requests
        assert body["messages"][0]["content"] == "hi[0m"


def test_a_frontier_without_a_system_role_hears_it_from_the_user(tmp_path: Path) -> None:
    """As its card says."""
    card = {"system_messages": False, "alternating_turns": True}
    system_message = {"role": "system", "content": "be kind"}
    with (
        FakeFrontier() as upstream,
        whole_system(tmp_path, {"providers": [_provider(upstream.url, **card)]}) as system,
    ):
        told = _ask(system.url, model="acme/big", messages=[system_message, HI, HI])
        assert "no system role" in told.headers["x-graftwork-warning"]
        sent = upstream.requests[-1].body
        assert "system" not in sent
        assert [each["role"] for each in sent["messages"]] == ["user"]


def test_what_the_bases_template_takes_reaches_the_router_with_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the engine's report to the body that it gets."""
    base = BASE.model_copy(update={"roles": Roles(system=False)})
    monkeypatch.setattr("tests.fakes.whole_system.BASE", base)
    system_message = {"role": "system", "content": "be kind"}
    with whole_system(tmp_path, replicas=1) as system:
        told = _ask(system.url, model="base", messages=[system_message, HI])
        assert "no system role" in told.headers["x-graftwork-warning"]
        (_, body), *_ = next(iter(system.engines.values())).requests
        assert body["messages"] == [{"role": "user", "content": "be kind\n\nhi"}]


CITED = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "big",
    "content": [{"type": "text", "text": "hello", "citations": [{"type": "char_location"}]}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 1},
}


class _Citing(BaseHTTPRequestHandler):
    """Answers with a citation, whatever was asked."""

    def do_POST(self) -> None:
        """The fixed answer."""
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(CITED).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_what_of_an_answer_a_client_does_not_get_is_named(tmp_path: Path) -> None:
    """Chat has no place for Messages' citations."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Citing)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        with whole_system(tmp_path, {"providers": [_provider(url)]}, replicas=1) as system:
            told = _ask(system.url, model="acme/big")
            assert told.headers["x-graftwork-warning"].endswith(": content.citations")
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)
