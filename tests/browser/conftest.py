"""A system with ten thousand decisions behind it, and a browser in front of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.records.line import Entry, Kind
from adapters.records.sealing import AUDIT
from router.admit.keys import hash_key
from router.stages import Heading
from tests.browser.driver import DESK, MISSING, Browser, browser
from tests.contract.client import ADMIN, archive, chat, client, post_version, push, put_rules
from tests.contract.conftest import router_args
from tests.contract.test_gates import bring
from tests.fakes.frontier import FakeFrontier
from tests.fakes.learning_loop import row
from tests.fakes.records import running_log
from tests.fakes.trainer_process import FakeTrainer
from tests.fakes.whole_system import System, whole_system

DECISIONS = 10_000
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'"
QUESTIONS = (
    "Where is my refund?",
    "How tall is the tower?",
    "When do trains leave?",
    "Can penguins fly?",
    "Who wrote this song?",
)
SCOPES = {
    "app": ["inference"],
    "ops": ["inference", "admin"],
    "auditor": ["auditor"],
    "reviewer": ["reviewer"],
    "second": ["reviewer"],
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without the browser these tests are skipped, and say so."""
    here = Path(__file__).parent
    for item in items:
        if MISSING and here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=MISSING))


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """One window for all tests."""
    with browser() as found:
        yield found


@pytest.fixture(scope="package")
def trainer() -> Iterator[FakeTrainer]:
    """Its processes end with the tests."""
    running = FakeTrainer(steps=8, pause_s=0.1)
    yield running
    running.kill()


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory, trainer: FakeTrainer) -> Iterator[System]:
    """With keys, rules, documents, an adapter of two versions, traffic; hostile texts in all."""
    root = tmp_path_factory.mktemp("browsed")
    _remember(root)
    keys = [
        {"name": name, "sha256": hash_key(f"key-{name}"), "tenant": name, "scopes": scopes}
        for name, scopes in SCOPES.items()
    ]
    with FakeFrontier() as frontier:
        args = {**router_args(frontier), "auth": {"keys": keys}}
        args["capture"] = {"tenants": {"app": {"consent": True, "share": 1.0}}}
        routes = {"kept": {"alias": "kept", "gate": {"margin": 0.2}}}
        more: dict[str, Any] = {"flywheel": {"routes": routes}, "trainer": trainer}
        with whole_system(root, args, replicas=1, **more) as found:
            _use(found)
            yield found


def _remember(root: Path) -> None:
    """Ten thousand decisions of the last hour."""
    now = time.time()
    with running_log(root / AUDIT, "earlier") as log:
        for number in range(DECISIONS):
            at = now - 3600 * (1 - number / DECISIONS)
            record = _record(number, at)
            names = (record["request_id"], record["id"], "app")
            log.add(Entry(Kind.BEGIN, at, *names, {}))
            told = {"outcome": "answered", "status": 200}
            told |= {name: record[name] for name in ("tenant", "target")}
            log.add(Entry(Kind.END, at + 0.2, *names, told, json.dumps(record).encode()))


def _record(number: int, at: float) -> dict[str, Any]:
    return {
        "id": f"dec_{number:024x}",
        "request_id": f"req_{number:024x}",
        "at": at,
        "caller": "app",
        "tenant": "app",
        "intent": {"name": ("returns", "weather", None)[number % 3]},
        "target": ("base", "frontier:cloud/big")[number % 2],
        "status": 200,
        "headings": {heading.value: 0.0001 * (n + 1) for n, heading in enumerate(Heading)},
        "seconds": 0.2,
        "cost_usd": 0.00001 * (number % 7),
    }


def frozen(system: System) -> str:
    """The digest of a dataset that there is."""
    rows = [row(number) for number in range(12)]
    return system.registry.flywheel.datasets.take_in(f"gold {HOSTILE}", rows).digest


def _use(system: System) -> None:
    with client(system, "ops") as ops, client(system, "app") as app:
        rules = 'rules:\n  - id: looks\n    when: tenant == "app"\n    instruct: Be kind.\n'
        put_rules(ops, rules)
        bring(ops, "kept")
        assert post_version(ops, "kept", archive(7)).status_code in {202, 422}
        push(ops, "returns", 1)
        push(ops, "returns", 2)
        for subject in ("Jane Doe", "Somebody"):
            headers = {"x-graftwork-subject": subject}
            assert chat(app, "base", f"My money {HOSTILE}", headers=headers).status_code == 200
        for question in QUESTIONS:
            answer = chat(app, "base", f"{question} {HOSTILE}")
            shown = {
                "decision_id": answer.headers["x-graftwork-decision-id"],
                "kind": "demonstration",
                "value": f"I am kind {HOSTILE}",
            }
            assert app.post("/v1/feedback", json=shown).status_code == 200
        document = {"title": HOSTILE, "text": f"Refunds take {HOSTILE} days.", "collection": "c"}
        assert ops.post(f"{ADMIN}/documents", json=document).status_code == 201
        body = {"dataset": frozen(system), "alias": "made"}
        assert ops.post(f"{ADMIN}/distillations", json=body).status_code == 202
        deadline = time.monotonic() + 90
        while not _all_there(ops):
            assert time.monotonic() < deadline, "no reviews were opened, or nothing was distilled"
            time.sleep(0.1)


def _all_there(ops: httpx.Client) -> bool:
    """What takes a while: reviews are opened, and a version is distilled."""
    reviews = ops.get(f"{ADMIN}/reviews").json()["data"]
    return len(reviews) >= len(QUESTIONS) and ops.get(f"{ADMIN}/adapters/made").status_code == 200


@pytest.fixture
def window(chromium: Browser, system: System) -> Iterator[Browser]:
    """The browser, with nobody logged in."""
    chromium.go(f"{system.url}/console/login")
    chromium.forget()
    chromium.device(DESK)
    chromium.scripts(allowed=True)
    chromium.complaints()
    chromium.requested()  # forget what was before
    yield chromium
    assert chromium.dialog() is None
    asked = [url for url in chromium.requested() if not url.startswith(system.url)]
    chromium.go("about:blank")  # no page stays open behind the test
    assert asked == []


def log_in(window: Browser, system: System, name: str = "ops") -> None:
    """As a person does."""
    window.go(f"{system.url}/console/login")
    window.fill("API key", f"key-{name}")
    window.press("Log in")
    window.until(lambda: "/login" not in window.url, "logged in")


def admin(system: System) -> httpx.Client:
    """The API, to see what was done."""
    return client(system, "ops")
