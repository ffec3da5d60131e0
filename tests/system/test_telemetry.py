"""What the system tells about itself: traces, logs."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.frontier import FakeFrontier
from tests.system.client import RETURNS_QUESTION, chat, chat_body, decision, eventually, target
from tests.system.collector import Collector, Span
from tests.system.config import FRONTIER_KEY, OPENAI_FRONTIER
from tests.system.running import Running

pytestmark = pytest.mark.system

SERVER = 2
"""OTLP's number of the span kind."""
PATH = "/v1/chat/completions"


def parent() -> tuple[str, str, dict[str, str]]:
    """A client's trace: its id, its span's id, and the header that says so."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    return trace_id, span_id, {"traceparent": f"00-{trace_id}-{span_id}-01"}


def spans(collector: Collector, trace_id: str) -> list[Span]:
    """The spans of a trace, once there are any."""
    return eventually(lambda: collector.of_trace(trace_id), "spans arrive")


def test_span_continues_the_clients_trace(http: httpx.Client, collector: Collector) -> None:
    """One server span per request: the client's child, with GenAI names and our own ids."""
    trace_id, span_id, headers = parent()
    response = http.post(PATH, json=chat_body("auto", RETURNS_QUESTION), headers=headers)
    (span,) = spans(collector, trace_id)
    assert span.parent_id == span_id
    assert span.kind == SERVER
    assert span.resource["service.name"] == "graftwork"
    assert span.attributes["http.request.method"] == "POST"
    assert span.attributes["url.path"] == PATH
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["gen_ai.response.model"] == target(response)
    assert span.attributes["graftwork.decision_id"] == response.headers["x-graftwork-decision-id"]
    assert span.attributes["graftwork.request_id"] == response.headers["x-request-id"]


def test_provider_gets_our_span_as_parent(
    http: httpx.Client, frontier: FakeFrontier, collector: Collector
) -> None:
    """The trace goes on at the frontier, below our span."""
    trace_id, _, headers = parent()
    http.post(PATH, json=chat_body(OPENAI_FRONTIER, "hello"), headers=headers)
    (span,) = spans(collector, trace_id)
    assert frontier.requests[-1].headers["traceparent"] == f"00-{trace_id}-{span.span_id}-01"


def test_refusals_are_traced(http: httpx.Client, collector: Collector) -> None:
    """A refused request has its span too, with its status."""
    trace_id, _, headers = parent()
    http.post(PATH, json=chat_body("nobody", "hello"), headers=headers)
    (span,) = spans(collector, trace_id)
    assert span.attributes["http.response.status_code"] == 404


def test_logs_hold_no_content_and_no_keys(
    system: Running, http: httpx.Client, frontier: FakeFrontier
) -> None:
    """Neither prompts, answers nor keys are in any log, of ours or of Ray and vLLM."""
    phrase = f"zebra{secrets.token_hex(6)}"
    for model in ("auto", OPENAI_FRONTIER):
        chat(http, model, f"say {phrase}")
    http.post(PATH, json={**chat_body("base", "x"), "temperature": phrase})
    http.post(PATH, content=f'{{"model": "base", "messages": "{phrase}'.encode())
    decision(http, chat(http, "base", phrase).headers["x-graftwork-decision-id"])
    logs = all_logs(system)
    assert len(logs) > 3
    for path in logs:
        text = path.read_text(encoding="utf-8", errors="replace")
        assert phrase not in text, path
        assert FRONTIER_KEY not in text, path


def test_logs_are_structured(system: Running) -> None:
    """Every line of every log of ours is a JSON object that says what happened."""
    for path in system.logs.glob("*.jsonl"):
        for line in path.read_text().splitlines():
            assert json.loads(line)["event"], path


def all_logs(system: Running) -> list[Path]:
    """Our own logs, what was printed, and what Ray and vLLM write."""
    ray = Path("/tmp/ray").glob(f"session_*_{system.process.pid}/logs/**/*")
    found = [system.output, *system.logs.glob("*"), *ray]
    return [path for path in found if path.is_file()]


def test_background_work_of_every_process_is_in_the_metrics(http: httpx.Client) -> None:
    """One scrape tells when each job of routers, registry and engines last went well."""
    began = time.time()
    # Other tests kill processes, without which some jobs of the others fail.
    failed = _failures(http)
    jobs = {"heartbeat", "report-usage", "publish", "reconcile", "watch", "expire"}

    def fresh() -> bool:
        """What is due each second has gone well since."""
        rows = _job_rows(http, "graftwork_job_last_success_seconds")
        beats = {process: at for (process, job), at in rows.items() if job == "heartbeat"}
        return len(beats) >= 2 and all(at > began for at in beats.values())

    eventually(fresh, "a router's and an engine's heart beat")
    rows = _job_rows(http, "graftwork_job_last_success_seconds")
    assert jobs <= {job for _, job in rows}
    assert _failures(http) == failed


def _failures(http: httpx.Client) -> dict[tuple[str, str], float]:
    """How often each job failed that ever did."""
    rows = _job_rows(http, "graftwork_job_failures_total")
    return {key: times for key, times in rows.items() if times}


def _job_rows(http: httpx.Client, family: str) -> dict[tuple[str, str], float]:
    """Samples of a family by process and job."""
    text = http.get("/metrics").text
    samples = (s for f in text_string_to_metric_families(text) for s in f.samples)
    return {(s.labels["process"], s.labels["job"]): s.value for s in samples if s.name == family}
