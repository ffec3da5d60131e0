"""No engine while nobody asks: the last is given back, a frontier answers, the next one comes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.fakes.frontier import FakeFrontier
from tests.system import running
from tests.system.client import chat, eventually, target
from tests.system.config import OPENAI_FRONTIER, write_config
from tests.system.running import Running

pytestmark = pytest.mark.system

PATIENCE_S = 240.0


@pytest.fixture
def sleepy(
    tmp_path: Path, frontier_server: FakeFrontier, environment: dict[str, str]
) -> Iterator[Running]:
    """A system that gives its engine back after a few idle seconds."""
    config = write_config(tmp_path / "config.yaml", frontier_server)
    raw = yaml.safe_load(config.read_text(encoding="utf-8"))
    application = raw["applications"][0]
    application["args"]["router"]["auto"]["frontier"] = OPENAI_FRONTIER
    for deployment in application["deployments"]:
        if deployment["name"] == "engine":
            del deployment["num_replicas"]
            deployment["graceful_shutdown_timeout_s"] = 5
            deployment["autoscaling_config"] = {
                "min_replicas": 0,
                "initial_replicas": 0,
                "max_replicas": 1,
                "target_ongoing_requests": 32,
                "upscale_delay_s": 0.5,
                "downscale_delay_s": 5,
                "look_back_period_s": 2,
                "metrics_interval_s": 0.5,
                "policy": {"policy_function": "serving.engine.autoscaling:by_requests_in_flight"},
            }
    config.write_text(yaml.safe_dump(raw), encoding="utf-8")
    found = running.launch(config, tmp_path / "state", environment, tmp_path / "output.txt")
    try:
        yield found
        found.stop()
    finally:
        found.kill()


@pytest.mark.timeout(600)
def test_an_engine_comes_and_goes(sleepy: Running) -> None:
    """From nothing: the frontier at once, the engine with its adapters later; idle again: none."""
    with httpx.Client(base_url=sleepy.url, timeout=60, trust_env=False) as client:

        def engines() -> int:
            answer = client.get("/admin/v1/replicas")
            return len(answer.json()["data"]) if answer.status_code == 200 else 0

        def lives() -> bool:
            assert sleepy.process.poll() is None, sleepy.tail()
            try:
                return client.get("/healthz").status_code == 200
            except httpx.TransportError:
                return False

        eventually(lives, "a router answers", PATIENCE_S)
        assert target(chat(client, "auto")) == f"frontier:{OPENAI_FRONTIER}"
        # One request is enough: nobody else asks while the engine starts.
        eventually(lambda: client.get("/readyz").status_code == 200, "an engine came", PATIENCE_S)
        assert target(chat(client, "auto")).startswith("adapter:returns@")
        base = client.get("/readyz").json()["base"]
        eventually(lambda: engines() == 0, "the idle engine is given back", PATIENCE_S)
        # Its name is still one that clients may use.
        assert base in {model["id"] for model in client.get("/v1/models").json()["data"]}
