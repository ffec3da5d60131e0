"""A provider that keeps failing is left alone, and everybody can see why."""

from __future__ import annotations

from pathlib import Path

from adapters.aliases import RoutingTable
from serving.config.settings import Settings
from serving.router.compose import RouterProcess
from tests.fakes.asgi_client import ask
from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier import FakeFrontier

PATH = "/v1/chat/completions"
BODY = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}


async def test_an_open_breaker_is_a_reason(tmp_path: Path) -> None:
    """Not asked again; the dry run names the reason, the metrics have the state."""
    with FakeFrontier() as bad, FakeFrontier() as good:
        bad.misbehave(*[Fault(Kind.STATUS, status=500)] * 9)
        providers = [
            {
                "name": name,
                "base_url": server.openai_url,
                "models": [{"id": "m", "input_usd_per_mtok": price, "output_usd_per_mtok": price}],
            }
            for name, server, price in (("bad", bad, 1), ("good", good, 2))
        ]
        delivery = {"breaker": {"consecutive": 1, "open_s": 100}, "retry": {"same_target": 0}}
        router = {
            "providers": providers,
            "routing": {"frontiers": ["*"]},
            "delivery": delivery,
        }
        settings = Settings.model_validate({"state_dir": tmp_path, "router": router})
        process = RouterProcess(settings, "router-1", {})
        process.holder.apply(RoutingTable(revision=1, base_id="base"))  # there are no rules
        try:
            replies = [await ask(process.door, PATH, BODY) for _ in range(3)]
            dry_run = (await ask(process.door, "/v1/decision", BODY)).json()
            metrics = (await ask(process.door, "/metrics", None)).body.decode()
        finally:
            await process.aclose()
        assert [reply.headers["x-graftwork-attempts"] for reply in replies] == ["2", "1", "1"]
        assert len(bad.requests) == 1
    left_alone = next(c for c in dry_run["candidates"] if c["target"] == "frontier:bad/m")
    assert left_alone["code"] == "unhealthy"
    assert "breaker is open" in left_alone["reason"]
    states = [line for line in metrics.splitlines() if line.startswith("graftwork_breaker_state{")]
    assert any('target="frontier:bad/m"' in line and line.endswith(" 2.0") for line in states)
