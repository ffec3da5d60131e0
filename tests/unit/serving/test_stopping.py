"""How `graftwork serve` ends: who asks once is patient, and what waits longest is waited for."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from serving.bringup.system import environment_of
from serving.cli.serve import Stop
from tests.fakes.deploying import deploy

LOCAL = Path(__file__).resolve().parents[3] / "config" / "local.yaml"
ARGS = "applications.0.args"
COMPOSE = LOCAL.parent / "compose" / "graftwork.yaml"


def test_the_second_signal_is_in_a_hurry() -> None:
    """Not one that follows at once: make passes on what its whole group was sent."""
    times, hurried = iter([10.0, 10.2, 15.0]), list[str]()
    stop = Stop(lambda: next(times))
    stop.hurry = lambda: hurried.append("now")
    stop.handle()
    assert stop.asked.is_set()
    stop.handle()
    assert not hurried
    stop.handle()
    assert hurried == ["now"]


def test_a_signal_before_anything_runs() -> None:
    """There is nothing to hurry yet."""
    times = iter([10.0, 15.0])
    stop = Stop(lambda: next(times))
    stop.handle()
    stop.handle()
    assert stop.asked.is_set()


def test_haproxy_waits_longer_than_the_most_patient_replica() -> None:
    """15 s, as it was, cut the streams that a deployment gives ten minutes to finish."""
    patient = deploy.load(COMPOSE)
    assert patient.drain_s == 620
    assert float(environment_of(patient)["RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"]) > 620
    local = deploy.load(LOCAL)
    assert local.drain_s == 20
    raw = yaml.safe_load(LOCAL.read_text())
    for each in raw["applications"][0]["deployments"]:
        each.pop("graceful_shutdown_timeout_s")
    assert deploy.check(raw, "x").drain_s == pytest.approx(20)  # Ray Serve's own default


def test_standard_error_is_ours() -> None:
    """What goes there comes out of `graftwork serve`; Ray would keep it in files."""
    stderr = {f"{ARGS}.log.destination": "stderr"}
    assert environment_of(deploy.load(LOCAL, stderr))["RAY_LOG_TO_STDERR"] == "1"
    assert "RAY_LOG_TO_STDERR" not in environment_of(deploy.load(LOCAL))
