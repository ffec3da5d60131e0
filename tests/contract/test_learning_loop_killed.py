"""The loop while everything dies: registry, router and engine by `kill -9` at each of its steps.

It resumes, nothing that was acknowledged is lost, and nothing serves that no gate has passed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.distill.lock import holder
from tests.contract.client import ADMIN, chat, until
from tests.contract.conftest import router_args
from tests.contract.test_distillations import PATH
from tests.contract.test_router_killed_while_capturing import spooled
from tests.fakes.frontier import FakeFrontier
from tests.fakes.loop_process import LoopProcess

RIGHT = "You may send it back within 30 days of receipt."
FRONTIER = "frontier:cloud/big"
_WORDS = ["lamp", "kettle", "chair", "river", "stamp", "garden", "letter", "window"]
ASKED = [f"May I send back the {one} {two}?" for one in _WORDS for two in _WORDS if one != two]
_GATE = {"margin": 0.3, "alpha": 0.1, "min_power": 0.5}


class Loop:
    """The system, and whoever uses it; each death is followed by another life."""

    def __init__(self, root: Path, frontier: FakeFrontier) -> None:
        router = router_args(frontier)
        router["auto"]["intents"] = [{"name": "sends", "keywords": ["send back"]}]
        router["routing"] = {"routes": {"sends": {"risk": 0.15}}}
        router["capture"] = {"tenants": {"default": {"consent": True, "share": 1.0}}}
        route = {
            "alias": "sender",
            "gate": _GATE,
            "ladder": ["shadow", "canary", "live"],
            "triggers": {"new_gold": len(ASKED), "cooldown_s": 0},
        }
        ladder = {
            "auto_promote": True,
            "min_requests": 20,
            "canary_percent": 50.0,
            "min_shadowed": 5,
            "min_agreement": 0.0,  # it has learned to answer otherwise
        }
        self.root = root
        self._process = LoopProcess(
            root,
            router=router,
            args={
                "flywheel": {"routes": {"sends": route}, "datasets": {"holdout": 0.5}},
                "adapters": {"ladder": ladder},
            },
            answer=RIGHT,
            delay_s=0.05,
            steps=30,
            pause_s=0.15,
        )
        self._begin()

    def _begin(self) -> None:
        self.http = httpx.Client(base_url=self._process.start(), timeout=30, trust_env=False)

    def dies(self) -> None:
        """All of it, at once, and comes back."""
        self._process.kill()
        self.http.close()
        self._begin()

    def close(self) -> None:
        """Trainers as well."""
        self._process.kill()
        self.http.close()
        for directory in (self.root / "state" / "distillations").glob("*"):
            if (pid := holder(directory)) is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def rows(self, resource: str, **query: str) -> list[dict[str, Any]]:
        """A whole list."""
        answer = self.http.get(f"{ADMIN}/{resource}", params={"limit": "1000", **query})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["data"])

    def on_disk(self) -> set[str]:
        """Decisions whose exchanges no death takes: on their way, or in the corpus."""
        left = spooled(self.root / "state")
        return left | {str(row["decision_id"]) for row in self.rows("exchanges")}

    def distillation(self) -> dict[str, Any]:
        """The only one; empty before it begins."""
        found = self.rows("distillations")
        assert len(found) <= 1, "one trains at a time, and it was asked for once"
        if not found:
            return {}
        return dict(self.http.get(f"{PATH}/{found[0]['id']}").json())

    def target(self, text: str) -> str:
        """Who answers it."""
        return str(chat(self.http, "auto", text).headers["x-graftwork-target"])


@pytest.fixture
def loop(tmp_path: Path, frontier: FakeFrontier) -> Iterator[Loop]:
    """One life after the other."""
    running = Loop(tmp_path, frontier)
    yield running
    running.close()


def judge(loop: Loop, reviews: list[dict[str, Any]]) -> None:
    """The expert's work."""
    for review in reviews:
        verdict = {"verdict": "edit", "answer": RIGHT}
        judged = loop.http.post(f"{ADMIN}/reviews/{review['id']}", json=verdict)
        assert judged.status_code == 200, judged.text


@pytest.mark.timeout(600)
def test_everything_dies_at_each_step_and_the_loop_comes_to_its_end(loop: Loop) -> None:
    """Captured, half reviewed, training, gating, shadow, canary: killed in each of them."""
    captured_and_reviewed(loop)
    trained(loop)
    gated(loop)
    digest = str(until(lambda: climbing(loop, {"shadow"}), "the shadow"))
    shadowed(loop, digest)
    gate = until(lambda: loop.distillation()["gate"], "the verdict, where one looks for it")
    assert gate["verdict"] == "passed"
    taken_over(loop, digest)
    until(lambda: loop.distillation()["state"] == "live", "the distillation's end")
    done = loop.distillation()
    assert done["digest"] == digest
    lineage = loop.http.get(f"{ADMIN}/adapters/sender/lineage").json()
    assert lineage["distillation"] == done["id"]
    assert len(loop.rows("exchanges", state="gold")) == len(ASKED)
    whole = loop.http.get(f"{ADMIN}/audit/verify").json()
    assert whole["ok"], whole["problems"]


def captured_and_reviewed(loop: Loop) -> None:
    """Nothing that was on the disk is lost, no verdict, and none counts twice."""
    for text in ASKED:
        assert loop.target(text) == FRONTIER
    until(lambda: len(loop.on_disk()) == len(ASKED), "every exchange on the disk, as is promised")
    loop.dies()
    until(lambda: len(loop.rows("exchanges")) == len(ASKED), "every exchange")
    until(lambda: len(loop.rows("reviews", state="open")) == len(ASKED), "a review of each")
    judge(loop, loop.rows("reviews", state="open")[: len(ASKED) // 2])
    loop.dies()
    left = loop.rows("reviews", state="open")
    assert len(left) == len(ASKED) - len(ASKED) // 2
    assert not loop.distillation()
    judge(loop, left)


def trained(loop: Loop) -> None:
    """The trainer lives on and is found again; then it dies as well."""
    until(lambda: loop.distillation().get("step", 0) >= 3, "the first steps")
    begun = loop.distillation()
    trainer = holder(loop.root / "state" / "distillations" / begun["id"])
    assert trainer is not None
    loop.dies()
    here = loop.distillation()
    assert (here["id"], here["dataset"]) == (begun["id"], begun["dataset"])
    assert holder(loop.root / "state" / "distillations" / begun["id"]) in {trainer, None}
    if here["state"] == "training":
        with suppress(ProcessLookupError):
            os.kill(trainer, signal.SIGKILL)


def gated(loop: Loop) -> None:
    """Nothing serves that has not passed."""
    # On a busy machine the gate may be over before it is seen: the shadow asks for traffic first.
    until(lambda: loop.distillation()["state"] in {"gating", "publishing"}, "its gate")
    assert loop.target(ASKED[0]) == FRONTIER
    loop.dies()
    if loop.distillation()["state"] == "gating":
        assert loop.target(ASKED[1]) == FRONTIER


def shadowed(loop: Loop, digest: str) -> None:
    """In secret before and after a death, however little was counted; then it climbs on."""
    assert {loop.target(text) for text in ASKED[:2]} == {FRONTIER}
    loop.dies()
    assert climbing(loop, {"shadow"}) == digest
    seen: set[str] = set()

    def has_climbed() -> bool:
        seen.update(loop.target(text) for text in ASKED[:4] if climbing(loop, {"shadow"}))
        return climbing(loop, {"canary"}) == digest

    until(has_climbed, "the canary")
    assert FRONTIER in seen


def taken_over(loop: Loop, digest: str) -> None:
    """It climbs on where it was, and serves on after the last death."""
    version = f"adapter:sender@{digest[:12]}"
    loop.dies()
    assert climbing(loop, {"canary", "live"}) == digest
    seen: set[str] = set()

    def is_live() -> bool:
        seen.update(loop.target(text) for text in ASKED[:10])
        return climbing(loop, {"live"}) == digest

    until(is_live, "live", 60)
    assert seen <= {FRONTIER, version}
    loop.dies()
    until(lambda: loop.target(ASKED[0]) == version, "the version that took over")
    assert {loop.target(text) for text in ASKED[:10]} == {version}


def climbing(loop: Loop, states: set[str]) -> str:
    """The digest of the version that is in one of these states; empty while none is."""
    answer = loop.http.get(f"{ADMIN}/adapters/sender")
    versions = answer.json()["versions"] if answer.status_code == 200 else []
    return next((str(each["digest"]) for each in versions if each["state"] in states), "")
