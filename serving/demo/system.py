"""The system that the demo runs: the local deploy file with a frontier, a route and a gate."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from serving.demo import teacher
from serving.demo.desk import QUESTION, messages

INTENT: Final = "triage"
ALIAS: Final = "triage"
_CONFIGS: Final = {"embedded": "local.yaml", "smollm2": "smollm2.yaml"}
_EXAMPLES: Final = 12
_START_S: Final = 900.0
_STOP_S: Final = 60.0
_REPLICA_HOUR_USD: Final = 0.10


class DemoFailed(Exception):
    """The message says what did not happen, and where to look."""


@dataclass(frozen=True)
class Place:
    """Where the demo's system runs."""

    root: Path
    port: int
    base: str

    @property
    def url(self) -> str:
        """Of its door."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def state(self) -> Path:
        """Its state directory."""
        return self.root / "state"

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.root / "serve.log"


def deploy_file(place: Place, teacher_url: str, holdout: float, margin: float) -> Path:
    """Write the deploy file; what is not about the demo is as in the base's own."""
    source = Path(__file__).resolve().parents[2] / "config" / _CONFIGS[place.base]
    raw = yaml.safe_load(source.read_text(encoding="utf-8"))
    raw["http_options"]["port"] = place.port
    args = raw["applications"][0]["args"]
    args |= {
        "state_dir": str(place.state),
        "seed_adapters": None,
        "router": _router(teacher_url),
        "flywheel": {
            "datasets": {"holdout": holdout},
            "routes": {INTENT: {"alias": ALIAS, "gate": {"margin": margin}, "ladder": ["live"]}},
        },
    }
    file = place.root / "deploy.yaml"
    file.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    return file


def _router(teacher_url: str) -> dict[str, Any]:
    examples = [message.prompt for message in messages(_EXAMPLES, seed=99)]
    return {
        "providers": [
            {
                "name": teacher.NAME,
                "base_url": teacher_url,
                "models": [
                    {
                        "id": teacher.MODEL,
                        "capabilities": ["chat"],
                        "input_usd_per_mtok": teacher.INPUT_USD_PER_MTOK,
                        "output_usd_per_mtok": teacher.OUTPUT_USD_PER_MTOK,
                    }
                ],
            }
        ],
        "auto": {
            "frontier": f"{teacher.NAME}/{teacher.MODEL}",
            "intents": [
                {
                    "name": INTENT,
                    "alias": ALIAS,
                    "keywords": [QUESTION.strip(" ?").lower()],
                    "examples": examples,
                }
            ],
        },
        # Who is wrong in more than a quarter of its answers is not asked while somebody better is
        # there. That the base cannot do it was tried, which leaves the frontier; what the adapter
        # can do is for the gate to say.
        "routing": {
            "routes": {INTENT: {"risk": 0.25}},
            "quality": {
                "priors": [{"targets": "base", "intents": INTENT, "mean": 0.05, "strength": 50}]
            },
            "local": {
                "price": {
                    "replica_hour_usd": _REPLICA_HOUR_USD,
                    "output_tokens_per_s": 200,
                    "input_tokens_per_s": 2000,
                }
            },
        },
    }


@contextmanager
def running(place: Place, file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`graftwork serve`, until the block ends. Raises ``DemoFailed`` when it does not come up."""
    command = [sys.executable, "-m", "serving.cli", "serve", "--config", str(file)]
    with place.log.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command, no shell
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        _wait_until_ready(place, process)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(place: Place, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            said = place.log.read_text(errors="replace").strip().splitlines()[-3:]
            raise DemoFailed("the system did not start: " + " / ".join(said))
        try:
            if httpx.get(f"{place.url}/readyz", timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise DemoFailed(f"the system was not ready after {_START_S:.0f} s: see {place.log}")
