"""What can be reached, by whom, and where it listens; health, metrics and documentation."""

from __future__ import annotations

import socket

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.system import processes
from tests.system.client import RETURNS_QUESTION, chat, chat_body
from tests.system.running import Running

pytestmark = pytest.mark.system

FAMILIES = {
    "router": {
        "graftwork_requests",
        "graftwork_stage_seconds",
        "graftwork_overhead_seconds",
        "graftwork_requests_in_flight",
        "graftwork_attempts",
        "graftwork_usage_seconds",
        "graftwork_usage_requests",
        "graftwork_local_price_usd_per_mtok",
        "gen_ai_server_request_duration_seconds",
        "gen_ai_server_time_to_first_token_seconds",
        "gen_ai_client_token_usage",
    },
    "registry": {
        "graftwork_registry_epoch",
        "graftwork_adapter_versions",
        "graftwork_adapter_resident",
        "graftwork_adapter_load_seconds",
        "graftwork_replica_ready",
        "graftwork_staged_bytes",
        "graftwork_staged_versions",
    },
    "engine": {
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:prompt_tokens",
        "vllm:generation_tokens",
        "vllm:time_to_first_token_seconds",
    },
}


@pytest.fixture
def engine(http: httpx.Client) -> str:
    """Where the engine's internal surface listens."""
    (replica,) = http.get("/admin/v1/replicas").json()["data"]
    return str(replica["url"])


def test_the_console_shows_what_was_just_asked(http: httpx.Client) -> None:
    """Through HAProxy: the overview with its split, and a decision in full; one script."""
    asked = chat(http, "auto")
    identity = asked.headers["x-graftwork-decision-id"]
    overview, decision = http.get("/console"), http.get(f"/console/decisions/{identity}")
    assert overview.status_code == decision.status_code == 200
    assert "default-src 'none'" in overview.headers["content-security-policy"]
    assert overview.text.count("<svg") >= 4
    assert identity in decision.text
    assert all(f">{stage}</th>" in decision.text for stage in ("admit", "choose", "target"))
    for page in (overview.text, decision.text):
        assert page.count("<script") == page.count('<script src="/console/console.js"') == 1
    with http.stream("GET", "/console/events") as stream:
        assert next(stream.iter_lines()).startswith(":")


def test_health(http: httpx.Client) -> None:
    """`/healthz` is about the process, `/readyz` about base and committed adapters."""
    assert http.get("/healthz").json() == {"status": "ok"}
    ready = http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["missing"] == []
    assert ready.json()["base"] == "graftwork-retail-4m"
    assert http.head("/healthz").status_code == 200


def test_one_scrape_has_everything(http: httpx.Client) -> None:
    """Router, registry and vLLM are in one scrape that Prometheus can parse."""
    chat(http, "returns")
    with http.stream("POST", "/v1/chat/completions", json=chat_body("base", "x", stream=True)) as r:
        r.read()
    response = http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    families = {f.name: f for f in text_string_to_metric_families(response.text)}
    for process, wanted in FAMILIES.items():
        assert wanted <= families.keys(), process
        for name in wanted:
            labels = {sample.labels["process"] for sample in families[name].samples}
            assert all(label.startswith(process) for label in labels), name


def test_metrics_count_requests(http: httpx.Client) -> None:
    """A request moves the counter of its endpoint, target and status; no content is a label."""

    def counted() -> float:
        families = text_string_to_metric_families(http.get("/metrics").text)
        return sum(
            sample.value
            for family in families
            if family.name == "graftwork_requests"
            for sample in family.samples
            if sample.name == "graftwork_requests_total"
            and sample.labels["target"] == "base"
            and sample.labels["endpoint"] == "/v1/chat/completions"
            and sample.labels["status"] == "200"
        )

    before = counted()
    chat(http, "base", "a parrot called Nimbus")
    assert counted() == before + 1
    assert "Nimbus" not in http.get("/metrics").text


def test_documentation(http: httpx.Client) -> None:
    """Both planes describe themselves, and nothing is fetched from elsewhere for ours."""
    docs = http.get("/docs")
    assert docs.headers["content-type"].startswith("text/html")
    assert "https://" not in docs.text
    assert "/v1/chat/completions" in http.get("/openapi.json").json()["paths"]
    assert http.get("/admin/v1/docs").headers["content-type"].startswith("text/html")
    admin = http.get("/admin/v1/openapi.json").json()["paths"]
    assert {"/admin/v1/adapters/{alias}/versions", "/admin/v1/replicas"} <= admin.keys()


@pytest.mark.parametrize("secret", [None, "wrong"])
def test_engine_refuses_who_does_not_know_its_secret(engine: str, secret: str | None) -> None:
    """Nobody reaches the model, its adapters or its metrics around the router."""
    headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
    calls = [
        ("POST", "/v1/chat/completions", chat_body("graftwork-retail-4m", RETURNS_QUESTION)),
        ("POST", "/v1/load_lora_adapter", {"lora_name": "x", "lora_path": "/"}),
        ("GET", "/internal/adapters", None),
        ("PUT", "/internal/adapters/x@000000000000", {"alias": "x", "digest": "0" * 64}),
        ("DELETE", "/internal/adapters/returns", None),
        ("GET", "/metrics", None),
        ("GET", "/health", None),
    ]
    with httpx.Client(base_url=engine, headers=headers, trust_env=False) as client:
        for method, path, body in calls:
            response = client.request(method, path, json=body)
            assert response.status_code == 401, path


def test_other_internal_surfaces_refuse_too(system: Running) -> None:
    """Every HTTP surface of our own processes but the front door demands a secret."""
    ours = [s for s in processes.listening(system.family()) if "ServeReplica" in s.process]
    refused = []
    for each in ours:
        status = http_status(each.host, each.port, "/internal/state")
        if status is not None:
            refused.append(status)
    # Engine, registry, a router's peers' side; and the router's own door, which has no such route.
    assert sorted(refused) == [401, 401, 401, 404]


def http_status(host: str, port: int, path: str) -> int | None:
    """Status of a GET; None when it is no HTTP/1.1 server, such as Ray's gRPC."""
    try:
        url = f"http://127.0.0.1:{port}{path}" if host in {"::", "0.0.0.0"} else ""
        return httpx.get(
            url or f"http://{host}:{port}{path}", timeout=5, trust_env=False
        ).status_code
    except httpx.HTTPError:
        return None


def test_only_loopback(system: Running, engine: str) -> None:
    """Law 11: whatever speaks HTTP or belongs to vLLM or HAProxy listens on loopback."""
    sockets = processes.listening(system.family())
    assert system.port in {each.port for each in sockets}
    assert int(engine.rpartition(":")[2]) in {each.port for each in sockets}
    ours = [
        each
        for each in sockets
        if any(name in each.process for name in ("haproxy", "VLLM", "ProxyActor", "ServeReplica"))
    ]
    assert len(ours) > 5
    # Ray's own gRPC, which demands Ray's token, is bound by Ray on every interface.
    exposed = [
        each
        for each in ours
        if each.host not in {"127.0.0.1", "::1"}
        and ("VLLM" in each.process or "haproxy" in each.process or speaks_http(each.port))
    ]
    assert not exposed


def speaks_http(port: int) -> bool:
    """Whether a port answers HTTP/1.1 with HTTP/1.1."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.settimeout(2)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(9).startswith(b"HTTP/1.")
    except OSError:
        return False


def test_pages_from_elsewhere_are_refused(http: httpx.Client) -> None:
    """Without keys, a web page must not drive the endpoint through somebody's browser."""
    for headers in ({"host": "evil.example"}, {"origin": "https://evil.example"}):
        for method, path in (("GET", "/v1/models"), ("POST", "/v1/chat/completions")):
            response = http.request(method, path, headers=headers, json={})
            assert response.status_code == 403, (headers, path)
            assert response.json()["error"]["code"] == "host_not_allowed"
    assert http.get("/v1/models", headers={"origin": "http://localhost:3000"}).status_code == 200
