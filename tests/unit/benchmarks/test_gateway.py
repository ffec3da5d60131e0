"""`make bench-gateway`: its table, its provider, its own router, and what is not installable."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.gateway import installing, peers
from benchmarks.gateway.cases import (
    CASES,
    AnswersWrongly,
    Case,
    Gateway,
    bodies,
    check,
    loaded,
    measure,
    spoken,
)
from benchmarks.gateway.peers import PEERS, Place, Server, haproxy
from benchmarks.gateway.stand_in import TOKENS
from benchmarks.gateway.table import BARE, Measured, Rounds, left_out
from benchmarks.load import Figures, post, run
from benchmarks.processes import running
from serving.bringup.edge import free_port


def figures(p50_ms: float, p99_ms: float, *, answered: int = 100, failed: int = 0) -> Figures:
    """What clients saw in two seconds."""
    return Figures(answered / 2, p50_ms, p99_ms, failed, answered)


def test_the_table_has_medians_and_what_is_added_in_the_same_round() -> None:
    """A round in which the machine was slow for all is no gateway's cost."""
    rounds = Rounds()
    for bare, ours in ((1.0, 3.0), (50.0, 52.5), (1.2, 3.1)):
        rounds.add("c=1", BARE, Measured(figures(bare, 2 * bare), 0.0))
        rounds.add("c=1", "ours", Measured(figures(ours, 2 * bare + 7, failed=1), 0.08))
    head, _, bare_row, row = rounds.table(["c=1"], [BARE, "ours"]).splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")][:4] == [
        "case", "gateway", "req/s", "CPU ms/request",
    ]  # fmt: skip
    assert bare_row == f"| c=1 | {BARE} | 50 |  | 1.20 |  |  | 0 |"
    assert row == "| c=1 | ours | 50 | 0.80 | 3.10 | +2.00 | +7.00 | 3 |"


def test_a_gateway_that_answered_nothing_has_no_cost_a_request() -> None:
    """NaN, not a division by zero, and not 0."""
    rounds = Rounds()
    rounds.add("c=1", BARE, Measured(figures(1, 1), 0.0))
    rounds.add("c=1", "silent", Measured(figures(float("nan"), 1, answered=0, failed=9), 0.5))
    assert rounds.table(["c=1"], ["silent"]).splitlines()[-1].split(" | ")[3] == "nan"


def test_who_was_left_out_is_said_with_the_reason() -> None:
    """A table without a peer says why."""
    assert left_out({"Portkey": "there is no node"}) == "Portkey left out: there is no node"


@pytest.fixture(scope="module")
def provider() -> Iterator[Gateway]:
    """The provider's stand-in."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.gateway.stand_in", "--port", str(port)]
    with running(command, f"http://127.0.0.1:{port}/"):
        yield Gateway(port, Server(command), None)


def test_the_provider_answers_whole_and_token_by_token(provider: Gateway) -> None:
    """Both, over one connection for each client; every stream has its end."""
    check(provider)
    whole = loaded(provider, Case("", 2), 0.2)
    streamed = loaded(provider, Case("", 2, stream=True), 0.2)
    assert whole.figures.failed == streamed.figures.failed == 0
    assert whole.figures.answered > streamed.figures.answered > 0
    assert streamed.figures.p50_ms > TOKENS  # it waits between tokens


def test_a_stream_without_its_end_has_failed(provider: Gateway) -> None:
    """A whole answer where a stream was asked for is a failure, not a fast stream."""
    request = post("127.0.0.1", provider.port, "/", bodies("large", stream=False)[0])
    found = asyncio.run(run("127.0.0.1", provider.port, request, 1, 0.1, ending=b"[DONE]\n\n"))
    assert found.answered == 0
    assert found.failed > 0


def test_a_gateway_that_changes_answers_is_not_measured(provider: Gateway) -> None:
    """Whoever does not hand on what the provider said is left out."""
    with pytest.raises(AnswersWrongly, match="refused"):
        check(Gateway(free_port(), provider.server, None))


def test_haproxy_hands_on_what_the_provider_says(provider: Gateway, tmp_path: Path) -> None:
    """The peer that needs no installation, and what its process costs."""
    place = Place(free_port(), f"http://127.0.0.1:{provider.port}", tmp_path, tmp_path)
    server = haproxy(place)
    with running(server.command, f"http://127.0.0.1:{place.port}/") as pid:
        gateway = Gateway(place.port, server, pid)
        check(gateway)
        found = measure(gateway, Case("", 4), 0.3)
    assert found.figures.failed == 0
    assert 0 < found.cpu_ms < 50


def test_events_are_read_as_text() -> None:
    """Comments, the end mark and events without a choice are no text."""
    events = [{"choices": [{"delta": {"content": "We "}}]}, {"choices": []}]
    events.append({"choices": [{"delta": {"role": "assistant"}}]})
    lines = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in events)
    assert spoken(b": a comment\n\n" + lines + b"data: [DONE]\n\n") == "We "


def test_a_package_that_cannot_be_had_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No network, no npm, no node: each is said, and nothing that is half made is kept."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(installing.NotInstallable, match="no node and no npm"):
        installing.from_npm(tmp_path, "@portkey-ai/gateway@1.15.2")
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error network: no route' >&2\nexit 1\n")
    npm.chmod(0o755)
    (tmp_path / "node").symlink_to("/bin/true")
    for _ in range(2):  # the second finds nothing that looks made
        with pytest.raises(installing.NotInstallable, match="no route"):
            installing.from_npm(tmp_path, "@portkey-ai/gateway@1.15.2")


def test_npm_runs_no_scripts_of_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed is asked for by version, once, and runs nothing while it is."""
    said = tmp_path / "said"
    for name, program in {"npm": f'echo "$@" >> {said}', "node": ":"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{program}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    home, package = tmp_path / "home", "@portkey-ai/gateway@1.15.2"
    places = {installing.from_npm(home, package, {"beside": "1.2.3"}) for _ in "ab"}
    (calls,) = said.read_text().splitlines()
    assert "--ignore-scripts" in calls
    assert places == {home / "portkey-ai-gateway@1.15.2" / "node_modules"}
    assert json.loads((home / "portkey-ai-gateway@1.15.2" / "package.json").read_text()) == {
        "dependencies": {"@portkey-ai/gateway": "1.15.2"},
        "overrides": {"beside": "1.2.3"},
    }


def test_there_are_four_peers_and_their_versions_are_pinned() -> None:
    """A table is compared with the one of another day."""
    assert list(PEERS) == ["LiteLLM", "vllm-router", "Portkey", "HAProxy"]
    assert all("==" in each for each in (peers.LITELLM, peers.VLLM_ROUTER))
    assert peers.PORTKEY.count("@") == 2
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_command_prints_one_table(tmp_path: Path) -> None:
    """From the command line to the table, with our own router and the peer that is always here."""
    command = [sys.executable, "-m", "benchmarks.gateway", "--peer", "HAProxy", "--rounds", "1"]
    command += ["--seconds", "0.3", "--only", "c=1, 32", "--peer-home", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| c=1, 32")]
    assert [row[1] for row in rows] == [BARE, "Graftwork", "HAProxy"]
    assert all(row[-1] == "0 |" for row in rows)
