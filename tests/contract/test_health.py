"""Health, readiness, metrics."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.contract.client import chat, push
from tests.fakes.whole_system import System


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
    answer = ops.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"graftwork_requests", "graftwork_requests_in_flight"} <= families
    assert app.get("/metrics").status_code == 403
