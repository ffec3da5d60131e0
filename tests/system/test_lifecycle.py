"""Starting, stopping, starting again; with keys, and what is refused before anything starts.

The second life is as in a Pod: the image's environment, and one directory to write to.

These tests come last: they stop the system that the others use, and start it once more.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from router.config.auth import KeyScope
from serving.bringup.edge import free_port
from serving.embedded import ADAPTERS_DIR
from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier import FakeFrontier
from tests.fakes.peft_variants import scaled
from tests.system import running
from tests.system.client import Json, chat, chat_body, decision, move, push, target
from tests.system.config import OPENAI_FRONTIER, write_config
from tests.system.confined import confined
from tests.system.running import ROOT, Running

pytestmark = pytest.mark.system

REFUSED_S = 60
KEYS = {scope: f"gw-test-{scope.value}" for scope in KeyScope}
ALIAS = "kept"


# What is refused before anything starts


def refused(*options: str, **environment: str) -> str:
    """What `graftwork serve` says to options that it must refuse."""
    done = subprocess.run(
        [sys.executable, "-m", "serving.cli", "serve", *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=REFUSED_S,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_other_addresses_need_keys(tmp_path: Path) -> None:
    """Law 11: without keys it refuses to listen anywhere but on loopback, and says what to do."""
    said = refused("--host", "0.0.0.0", "--state-dir", str(tmp_path))
    assert "http_options.host" in said
    assert "graftwork keys new" in said


def test_taken_port(tmp_path: Path) -> None:
    """A taken port is one line with the remedy."""
    with FakeFrontier() as somebody:
        said = refused("--port", str(somebody.port), "--state-dir", str(tmp_path))
    assert f"port {somebody.port}" in said.splitlines()[-1]
    assert "--port" in said.splitlines()[-1]


def test_missing_model_and_missing_key(tmp_path: Path) -> None:
    """A model that is not there, and a provider's key that is not set, are named."""
    assert "nowhere" in refused("--model", str(tmp_path / "nowhere"), "--state-dir", str(tmp_path))
    with FakeFrontier() as frontier:
        config = write_config(tmp_path / "config.yaml", frontier)
    said = refused(
        "--config", str(config), "--state-dir", str(tmp_path), "--port", str(free_port())
    )
    assert "FRONTIER_KEY" in said


def test_ray_that_does_not_start(tmp_path: Path) -> None:
    """Tried twice, then one line with what Ray said, and nothing is left running."""
    said = refused(
        "--port", str(free_port()), "--state-dir", str(tmp_path), RAY_TMPDIR="/proc/nowhere"
    )
    assert "trying once more" in said
    assert "/proc/nowhere" in said.splitlines()[-2]
    assert "graftwork doctor" in said.splitlines()[-2]


# Stopping and starting again


@dataclass
class Restarted:
    """The second life of the same state.

    Attributes:
        system: the system that runs now, with keys.
        before: the admin plane's view of the alias before the stop.
        versions: names of the alias's versions, the live one last.
        last: what a stream got that was under way when the stop began.
        is_confined: whether it can write to nothing but its one directory.
    """

    system: Running
    before: Json
    versions: tuple[str, str]
    last: bytes
    is_confined: bool

    def client(self, scope: KeyScope | None) -> httpx.Client:
        """A client with a key of one scope, or without a key."""
        headers = {} if scope is None else {"authorization": f"Bearer {KEYS[scope]}"}
        return httpx.Client(base_url=self.system.url, headers=headers, timeout=60, trust_env=False)


@pytest.fixture(scope="module")
def restarted(
    system: Running,
    frontier_server: FakeFrontier,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Restarted]:
    """Two versions, a rollback, SIGTERM with a request under way; then the same state with keys."""
    home = tmp_path_factory.mktemp("again")
    with httpx.Client(base_url=system.url, timeout=60, trust_env=False) as http:
        source = ADAPTERS_DIR / "returns"
        one, two = (push(http, ALIAS, scaled(source, home / f"{f}", f)) for f in (1.0, 2.0))
        move(http, ALIAS, "rollback")
        before = http.get(f"/admin/v1/adapters/{ALIAS}").json()
        last = _stop_with_a_request_under_way(system, http, frontier_server)
    keys = [(scope.value, key, scope) for scope, key in KEYS.items()]
    config = write_config(home / "config.yaml", frontier_server, keys)
    with confined() as place:
        shutil.copytree(system.state_dir, place.state_dir)
        variables = {**place.image_environment(), **environment}
        output = home / "output.txt"
        again = running.start(config, place.state_dir, variables, output, place.wrapper)
        try:
            versions = (two["name"], one["name"])
            yield Restarted(again, before, versions, last, is_confined=bool(place.wrapper))
        finally:
            again.kill()


def _stop_with_a_request_under_way(
    system: Running, http: httpx.Client, frontier: FakeFrontier
) -> bytes:
    frontier.forget()
    frontier.misbehave(Fault(Kind.SLOW_DRIP, delay_s=0.3))
    body = chat_body(OPENAI_FRONTIER, "say one two three four five six", stream=True)
    last: list[bytes] = []
    begun = threading.Event()

    def ask() -> None:
        parts = []
        # What a stop cuts off is for the test to find, not for this thread to raise.
        with (
            contextlib.suppress(httpx.RemoteProtocolError),
            http.stream("POST", "/v1/chat/completions", json=body) as response,
        ):
            for part in response.iter_raw():
                begun.set()
                parts.append(part)
        last.append(b"".join(parts))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    assert begun.wait(30)
    system.stop(signal.SIGTERM)
    asking.join(10)
    return b"".join(last)


def test_stop_leaves_nothing_and_loses_nothing(restarted: Restarted, system: Running) -> None:
    """SIGTERM to the whole group: exit code 0, no process left (the fixture saw to both), and the
    last request is answered: Ray's processes do not hear what is ours to handle.
    """
    assert system.process.returncode == 0
    assert "stopped." in system.said()
    assert b" six" in restarted.last
    assert b"data: [DONE]" in restarted.last
    assert b": graftwork {" in restarted.last


def test_registry_state_survives(restarted: Restarted) -> None:
    """Live version, what a rollback would bring back, states and history are there again."""
    with restarted.client(KeyScope.ADMIN) as admin:
        after = admin.get(f"/admin/v1/adapters/{ALIAS}").json()
        for key in ("live", "previous", "intents"):
            assert after[key] == restarted.before[key]
        known = len(restarted.before["history"])
        assert after["history"][:known] == restarted.before["history"]
        assert {v["name"]: v["state"] for v in after["versions"]} == {
            restarted.versions[1]: "live",
            restarted.versions[0]: "superseded",
        }
        (replica,) = admin.get("/admin/v1/replicas").json()["data"]
        assert set(restarted.versions) <= set(replica["resident"])


def test_live_version_answers_and_can_be_rolled_back(restarted: Restarted) -> None:
    """The second life serves what the first one did; one flip brings the other version back."""
    with restarted.client(KeyScope.INFERENCE) as client, restarted.client(KeyScope.ADMIN) as admin:
        assert target(chat(client, ALIAS)) == f"adapter:{restarted.versions[1]}"
        move(admin, ALIAS, "rollback")
        assert target(chat(client, ALIAS)) == f"adapter:{restarted.versions[0]}"
        assert target(chat(client, "returns")).startswith("adapter:returns@")


def test_it_needs_no_writable_root(restarted: Restarted) -> None:
    """As the image runs: it came up and answers, and takes what is new, with a root that nobody can
    write.
    """
    if not restarted.is_confined:
        pytest.skip("this machine lets nobody make a mount namespace")
    mounts = Path(f"/proc/{restarted.system.process.pid}/mountinfo").read_text().splitlines()
    root = next(line.split() for line in mounts if line.split()[4] == "/")
    assert "ro" in root[5].split(",")
    with restarted.client(KeyScope.INFERENCE) as client, restarted.client(KeyScope.ADMIN) as admin:
        push(admin, "pushed", ADAPTERS_DIR / "extract")
        assert target(chat(client, "pushed")).startswith("adapter:pushed@")


# With keys

OPEN, LISTED = ["/healthz", "/readyz"], ["/v1/models"]
OPERATED = ["/metrics", "/admin/v1/decisions"]
ADMINISTERED = ["/admin/v1/adapters", "/admin/v1/replicas"]


@pytest.mark.parametrize("key", [None, "wrong", "Bearer"])
def test_without_a_key_nothing_is_open(restarted: Restarted, key: str | None) -> None:
    """401 without a key and with one that is not known; only health stays open."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    with restarted.client(None) as http:
        http.headers.update(headers)
        for path in OPEN:
            assert http.get(path).status_code == 200, path
        for path in [*LISTED, *OPERATED, *ADMINISTERED]:
            response = http.get(path)
            assert response.status_code == 401, path
            assert response.json()["error"]["code"] in {"missing_api_key", "invalid_api_key"}
        response = http.post("/v1/chat/completions", json=chat_body("base", "x"))
        assert response.status_code == 401
        known = "missing_api_key" if key is None else "invalid_api_key"
        assert response.json()["error"]["code"] == known


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        (KeyScope.INFERENCE, LISTED),
        (KeyScope.ADMIN, [*OPERATED, *ADMINISTERED]),
        (KeyScope.AUDITOR, OPERATED),
        (KeyScope.REVIEWER, []),
    ],
)
def test_scopes(restarted: Restarted, scope: KeyScope, allowed: list[str]) -> None:
    """Each scope opens its own doors; at the others it is 403, which says that the key is known."""
    with restarted.client(scope) as http:
        for path in [*LISTED, *OPERATED, *ADMINISTERED]:
            expected = 200 if path in allowed else 403
            assert http.get(path).status_code == expected, path
        called = http.post("/v1/chat/completions", json=chat_body("base", "x"))
        assert called.status_code == (200 if scope is KeyScope.INFERENCE else 403)
        pushed = http.post(f"/admin/v1/adapters/{ALIAS}/retire", json={"digest": "0" * 12})
        assert pushed.status_code == (404 if scope is KeyScope.ADMIN else 403)


def test_keys_of_both_vendors(restarted: Restarted) -> None:
    """Anthropic's header carries a key as well; the record names the caller, not the key."""
    with restarted.client(None) as http, restarted.client(KeyScope.ADMIN) as admin:
        response = http.post(
            "/v1/messages",
            json={**chat_body("base", "x"), "max_tokens": 4},
            headers={"x-api-key": KEYS[KeyScope.INFERENCE]},
        )
        assert response.status_code == 200, response.text
        record: Any = decision(admin, response.headers["x-graftwork-decision-id"])
        assert record["caller"] == KeyScope.INFERENCE.value
        assert KEYS[KeyScope.INFERENCE] not in str(record)


@pytest.fixture
def beside(
    restarted: Restarted,
    frontier_server: FakeFrontier,
    environment: dict[str, str],
    tmp_path: Path,
) -> Iterator[Running]:
    """Another system on the same machine, on a port of its own."""
    config = write_config(tmp_path / "config.yaml", frontier_server)
    found = running.start(config, tmp_path / "state", environment, tmp_path / "output.txt")
    try:
        yield found
    finally:
        found.kill()


def test_two_run_side_by_side(restarted: Restarted, beside: Running) -> None:
    """Each answers for itself, and goes unnoticed by the other."""
    with httpx.Client(base_url=beside.url, timeout=60, trust_env=False) as http:
        other = {each["id"] for each in http.get("/v1/models").json()["data"]}
        assert ALIAS not in other
        answer = http.post("/v1/chat/completions", json=chat_body("base", "hello"))
        assert answer.status_code == 200
    with restarted.client(KeyScope.INFERENCE) as http:
        ours = {each["id"] for each in http.get("/v1/models").json()["data"]}
        assert ALIAS in ours
    beside.stop(signal.SIGTERM)
    with restarted.client(KeyScope.INFERENCE) as http:
        answer = http.post("/v1/chat/completions", json=chat_body(ALIAS, "hello"))
        assert answer.status_code == 200
        assert answer.headers["x-graftwork-target"].startswith(f"adapter:{ALIAS}@")


def test_ctrl_c_leaves_nothing(restarted: Restarted) -> None:
    """Ctrl-C reaches the whole foreground group: exit code 0, no process is left. Comes last."""
    restarted.system.stop(signal.SIGINT)
    said = restarted.system.said()
    assert KEYS[KeyScope.ADMIN] not in said
    # Nothing of Ray's between our own two lines, least of all that something failed.
    assert said.rpartition("stopping: ")[2].splitlines() == [
        "requests under way may finish; asked again, they may not …",
        "stopped.",
    ]
