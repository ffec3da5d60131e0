"""Health, readiness, metrics."""

from __future__ import annotations

from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.contract.client import chat, client, push, until
from tests.fakes.whole_system import System, whole_system


def test_a_cold_adapter_is_listed_not_missing(tmp_path: Path) -> None:
    """One live alias more than fits: still ready, and the cold one is still answered."""
    engine = {"max_loras": 1, "max_cpu_loras": 2}
    with whole_system(tmp_path, replicas=1, engine=engine) as system, client(system) as http:
        pushed = [push(http, f"alias{number}", number) for number in range(3)]
        answer = http.get("/readyz")
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert said["missing"] == []
        assert len(said["cold"]) == 1
        assert set(said["cold"]) < {each.name for each in pushed}
        for each in pushed:
            assert chat(http, each.alias).status_code == 200


def test_the_process_is_well(keyed: System) -> None:
    """Without a key, also by HEAD."""
    assert httpx.get(f"{keyed.url}/healthz").json()["status"] == "ok"
    assert httpx.head(f"{keyed.url}/healthz").status_code == 200


def test_ready_with_the_base_and_every_adapter_that_fits(keyed: System, ops: httpx.Client) -> None:
    """Nothing is missing."""
    push(ops, "fits", 1)
    answer = httpx.get(f"{keyed.url}/readyz")
    assert answer.status_code == 200
    assert answer.json()["missing"] == []
    assert answer.json()["base"] == "tiny"


def test_metrics_can_be_read_by_prometheus(ops: httpx.Client, app: httpx.Client) -> None:
    """By who may: an operator, not an application."""
    chat(app, "tiny")

    def counted() -> bool:
        """A request is measured last of all, when its answer has left."""
        answer = ops.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        families = {family.name for family in text_string_to_metric_families(answer.text)}
        return {"graftwork_requests", "graftwork_requests_in_flight"} <= families

    until(counted)
    assert app.get("/metrics").status_code == 403
