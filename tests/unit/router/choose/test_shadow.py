"""Law 5 for those who answer in secret: what must not be asked is not asked in secret either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.aliases import CandidateVersion, Replica, RoutingTable, engine_name
from router.exchange import Exchange
from router.request import Caller, Intent, Needs
from tests.fakes.deciding import chooser, decide, returns
from tests.fakes.engine import FakeEngine, Says
from tests.fakes.exchanges import BASE_ID, BEFORE, LIVE, TRIED, exchange, put, replica
from tests.fakes.exchanges import table as table_of
from tests.fakes.router_process import router
from tests.fakes.sending import until

NEW = engine_name("returns", TRIED)
NAMES = tuple(engine_name("returns", digest) for digest in (LIVE, BEFORE, TRIED))
IN_SHADOW = returns(candidates=(CandidateVersion(digest=TRIED, stage="shadow", percent=100),))
ASKED = {"model": "returns", "messages": [{"role": "user", "content": "hi"}]}


def rule(**fields: Any) -> dict[str, Any]:
    """A policy that denies one thing."""
    return {"rules": [{"name": "no", "effect": "deny", **fields}]}


def seen(*resident: str) -> RoutingTable:
    """A table with a version in shadow, and one engine."""
    return table_of(IN_SHADOW, replicas=(replica("r1", *resident),))


def shadow(found: Exchange, **config: Any) -> str | None:
    """Who would answer in secret."""
    decide(found, chooser(**config))
    option = found.decision.shadow
    return None if option is None else option.target


def test_who_may_answer_may_answer_in_secret() -> None:
    """Without a rule against it."""
    assert shadow(exchange("returns", table=seen(*NAMES))) == f"adapter:{NEW}"


@pytest.mark.parametrize(
    "denied",
    [
        {"targets": [f"adapter:{NEW}"]},
        {"targets": [f"adapter:{NEW}"], "tenants": ["acme"]},
        {"targets": [f"adapter:{NEW}"], "keys": ["web"]},
        {"targets": [f"adapter:{NEW}"], "intents": ["none"]},
        {"targets": [f"adapter:{NEW}"], "regions": ["eu"]},
    ],
    ids=lambda denied: next(reversed(denied)),
)
def test_what_policy_forbids_is_not_asked_in_secret(denied: dict[str, Any]) -> None:
    """A rule about targets, tenants, keys, intents or regions."""
    caller = Caller("web", "acme", frozenset())
    found = exchange("returns", table=seen(*NAMES), caller=caller)
    local = {"local": {"regions": ["eu"]}}
    assert shadow(found, policy=rule(**denied), routing=local) is None
    assert found.decision.first is not None


def test_nobody_is_allowed_by_default_only(tmp_path: Path) -> None:
    """Where rules have to allow, a version that none names is not asked."""
    rules = {
        "default": "deny",
        "rules": [{"name": "live", "effect": "allow", "targets": [f"adapter:{NAMES[0]}"]}],
    }
    assert shadow(exchange("returns", table=seen(*NAMES)), policy=rules) is None


def test_who_cannot_do_it_is_not_asked_in_secret() -> None:
    """For `auto` the capabilities of the base count for all of its versions."""
    needs = Needs(features=frozenset({"vision"}))
    found = put(exchange(table=seen(*NAMES)), intent=Intent("returns", 1.0, "returns"), needs=needs)
    assert shadow(found) is None


def test_who_is_nowhere_is_not_asked_in_secret() -> None:
    """No engine holds it."""
    assert shadow(exchange("returns", table=seen(*NAMES[:2]))) is None


async def called(tmp_path: Path, says: dict[str, Says], **config: Any) -> list[str]:
    """The models that the engine was asked for by one request, the secret one included."""
    async with FakeEngine({BASE_ID: Says(), **says}) as engine:
        places = (Replica(id="r1", url=engine.url, secret="s", resident=frozenset(NAMES)),)
        table = RoutingTable(
            revision=1, base_id=BASE_ID, aliases={"returns": IN_SHADOW}, replicas=places
        )
        async with router(tmp_path, config, table) as (client, process):
            response = await client.post("/v1/chat/completions", json=ASKED)
            assert response.status_code == 200, response.text
            await until(lambda: not process._shadow._tasks)
            return engine.asked()


async def test_a_forbidden_shadow_hears_nothing(tmp_path: Path) -> None:
    """Through the whole router: the engine is never asked for the forbidden version."""
    says = {name: Says() for name in NAMES}
    assert NEW in await called(tmp_path / "free", says)
    forbidden = rule(targets=[f"adapter:{NEW}"])
    assert await called(tmp_path / "bound", says, policy=forbidden) == [NAMES[0]]


async def test_a_shadow_is_compared_with_its_own_alias_only(tmp_path: Path) -> None:
    """When another target answered in the live version's place there is nothing to compare."""
    says = {NAMES[0]: Says(status=500), NAMES[1]: Says(), NEW: Says()}
    retry = {"retry": {"backoff_s": 0.001, "backoff_max_s": 0.002}}
    assert NEW not in await called(tmp_path, says, delivery=retry)


async def test_a_secret_call_that_breaks_is_counted_and_harms_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The client has its answer; the version is not blamed; the log says why, in nobody's words."""

    def breaks(*_: object) -> None:
        raise RuntimeError("what somebody said")

    async with FakeEngine({BASE_ID: Says(), **{name: Says() for name in NAMES}}) as engine:
        places = (Replica(id="r1", url=engine.url, secret="s", resident=frozenset(NAMES)),)
        table = RoutingTable(
            revision=1, base_id=BASE_ID, aliases={"returns": IN_SHADOW}, replicas=places
        )
        async with router(tmp_path, {}, table) as (client, process):
            process._shadow._on_compared = breaks
            response = await client.post("/v1/chat/completions", json=ASKED)
            assert response.status_code == 200
            await until(lambda: process._shadow.failed == 1 and not process._shadow.under_way)
            scraped = (await client.get("/metrics")).text
    assert "graftwork_shadows_failed" in scraped
    assert f"a secret call of adapter:{NEW} broke: RuntimeError" in caplog.text
    assert "what somebody said" not in caplog.text
