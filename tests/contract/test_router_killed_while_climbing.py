"""A router dies alone, while a version is tested through it, and while a canary serves at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.client import ADMIN, archive, chat, client, post_version, until
from tests.contract.conftest import router_args
from tests.contract.test_datasets import LINES
from tests.contract.test_gates import settled, state, teach
from tests.contract.test_learning_loop_killed import ASKED, FRONTIER, RIGHT
from tests.fakes.frontier import FakeFrontier
from tests.fakes.joined import joined
from tests.fakes.router_alone import RouterAlone
from tests.fakes.whole_system import System, whole_system

# Before the other router in the order of names: the registry asks it first.
NAME = "alone-1"
_GATE = {"margin": 0.3, "alpha": 0.1, "min_power": 0.5}


def config(frontier: FakeFrontier) -> dict[str, Any]:
    """An intent that only a frontier answers well enough."""
    router = router_args(frontier)
    router["auto"]["intents"] = [{"name": "sends", "keywords": ["send back"]}]
    router["routing"] = {"routes": {"sends": {"risk": 0.15}}}
    return router


@pytest.fixture
def system(tmp_path: Path, frontier: FakeFrontier) -> Iterator[System]:
    """A gated route, another that only climbs, and a router that lives on."""
    routes = {
        "sends": {"alias": "sender", "gate": _GATE},
        "climbs": {"alias": "climber", "ladder": ["canary", "live"]},
    }
    ladder = {"auto_promote": True, "min_requests": 20, "canary_percent": 50.0}
    with whole_system(
        tmp_path,
        config(frontier),
        replicas=1,
        flywheel={"routes": routes},
        adapters={"ladder": {**ladder, "tick_s": 0.1}},
    ) as running:
        yield running


@contextmanager
def second(system: System, frontier: FakeFrontier) -> Iterator[tuple[RouterAlone, httpx.Client]]:
    """A router of its own process that knows the engine, and its client."""
    router = RouterAlone(system.root, frontier.openai_url, NAME, config=config(frontier))
    with httpx.Client(base_url=router.url, timeout=30, trust_env=False) as http:
        try:
            with joined(system, router):
                until(lambda: http.get("/readyz").status_code == 200, "it knows the engine")
                yield router, http
        finally:
            router.kill()


def test_the_gate_goes_on_where_another_router_asks(
    system: System, frontier: FakeFrontier, tmp_path: Path
) -> None:
    """Every question is answered, none twice in the verdict, and nothing serves before it."""
    lines = b"".join(
        b'{"messages": [{"role": "user", "content": "%b"}, ' % text.encode()
        + b'{"role": "assistant", "content": "%b"}]}\n' % RIGHT.encode()
        for text in ASKED
    )
    with client(system) as http, second(system, frontier) as (router, _):
        brought = http.post(
            f"{ADMIN}/datasets/import",
            params={"format": "messages", "name": "s", "intent": "sends", "holdout": "0.5"},
            content=lines,
            headers=LINES,
        )
        assert brought.status_code == 201, brought.text
        asked = brought.json()["splits"]["test"]
        digest = teach(system, tmp_path, "sender", 1, RIGHT)
        frontier.delay_s = 0.2
        try:
            assert post_version(http, "sender", archive(1), "stage=live").status_code == 202
            until(lambda: len(frontier.requests) >= 4, "the first questions")
            assert (
                http.get(f"{ADMIN}/adapters/sender/versions/{digest}").json()["state"] == "gating"
            )
            assert chat(http, "auto", ASKED[0]).headers["x-graftwork-target"] == FRONTIER
            router.kill()
        finally:
            frontier.delay_s = 0.0
        assert settled(http, "sender", digest) == "live"
        report = http.get(f"{ADMIN}/adapters/sender/versions/{digest}/gate").json()
        assert (report["verdict"], report["current_target"]) == ("passed", FRONTIER)
        assert report["n"] == len({item["id"] for item in report["items"]}) == asked
        assert (report["candidate"], report["current"]) == (1.0, 0.0)
        begun = http.get(f"{ADMIN}/audit", params={"kind": "request.begin", "limit": "1000"}).json()
        assert any(NAME in row["writer"] for row in begun["data"]), "it was asked through it"


def test_a_canary_stays_where_it_is_and_climbs_on(system: System, frontier: FakeFrontier) -> None:
    """What the dead one had served counts, its death is nobody's error; an heir serves at once."""
    with client(system) as http:
        assert post_version(http, "climber", archive(3), "wait=live").status_code == 201
        made = post_version(http, "climber", archive(4), "wait=live&stage=canary&percent=50")
        assert made.status_code == 201, made.text
        digest = made.json()["digest"]
        with second(system, frontier) as (router, beside):
            for number in range(16):
                assert chat(beside, "climber", f"Number {number}?").status_code == 200
            assert state(http, "climber", digest) == "canary"
            router.kill()
        assert state(http, "climber", digest) == "canary"

        def climbed() -> bool:
            assert chat(http, "climber", "And on?").status_code == 200
            now = state(http, "climber", digest)
            assert now in {"canary", "live"}
            return now == "live"

        until(climbed, "live")
        with second(system, frontier) as (_, beside):
            target = chat(beside, "climber", "At the heir?").headers["x-graftwork-target"]
        assert target == f"adapter:climber@{digest[:12]}"
