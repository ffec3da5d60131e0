"""Which targets may answer, in which order: nothing that cannot answer blocks (law 3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.aliases import Alias, CandidateVersion, RoutingTable, engine_name
from router.choose.choose import Chooser
from router.choose.learning import Learning
from router.config.auto import AutoConfig
from router.config.providers import Capability, ModelCard, ProviderConfig
from router.config.root import RouterConfig
from router.errors import Gone, InvalidRequest, NotFound
from router.exchange import Exchange
from router.models import list_models
from router.request import Caller, Hints, Intent, Option
from router.targets.directory import Catalog
from router.targets.http_client import HttpClient
from router.wire.endpoint import Endpoint
from tests.fakes.deciding import decide
from tests.fakes.exchanges import BASE_ID, BEFORE, GONE, LIVE, TRIED, exchange, put, replica
from tests.fakes.exchanges import table as table_of

BIG = "cloud/big"
EMBEDDER = "cloud/embedder"


def alias(**fields: object) -> Alias:
    """The alias ``returns``: one version live, one before it, one that is gone."""
    defaults = {
        "name": "returns",
        "live": LIVE,
        "previous": BEFORE,
        "versions": (LIVE, BEFORE, TRIED),
        "retired": (GONE,),
    }
    return Alias.model_validate({**defaults, **fields})


def table(*aliases: Alias) -> RoutingTable:
    """A table with these aliases, and an engine that holds all of their versions."""
    held = (engine_name(a.name, digest) for a in aliases for digest in a.versions)
    return table_of(*aliases, replicas=(replica("r1", *held),))


ANYBODY = Caller("anybody", "default", frozenset())


def chooser(*, default: str | None = None, embeds: bool = True) -> Chooser:
    """One provider with a model that talks and one that embeds; nobody is called."""
    prices = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}
    capability = Capability.EMBEDDINGS if embeds else Capability.CHAT
    provider = ProviderConfig(
        name="cloud",
        base_url="http://127.0.0.1:9/v1",
        models=(
            ModelCard(id="big", **prices),
            ModelCard(id="embedder", capabilities=frozenset({capability}), **prices),
        ),
    )
    config = RouterConfig(auto=AutoConfig(frontier=default), providers=(provider,))
    return Chooser(config, Learning(config.routing))


def consider(found: Exchange, by: Chooser) -> tuple[Option, ...]:
    """The decision, as the pipeline takes it."""
    return decide(found, by)


def name(digest: str) -> str:
    """The target of a version of ``returns``."""
    return f"adapter:{engine_name('returns', digest)}"


def targets(found: Exchange, *, default: str | None = None) -> list[str]:
    """What may answer, best first."""
    return allowed(found, chooser(default=default))


def allowed(found: Exchange, by: Chooser) -> list[str]:
    """What may answer, best first, to this chooser."""
    return [option.target for option in consider(found, by) if option.allowed]


SEEN = table(alias())


def test_the_live_version_answers_for_its_alias() -> None:
    """Live first; when it cannot, the version before, then the base, then the frontier (law 3)."""
    expected = [name(LIVE), name(BEFORE), "base", f"frontier:{BIG}"]
    assert targets(exchange("returns", table=SEEN), default=BIG) == expected
    assert targets(exchange("returns", table=SEEN)) == expected[:-1]


def test_every_option_has_its_reason() -> None:
    """The decision record can say why each candidate is one."""
    options = consider(exchange("returns", table=SEEN), chooser(default=BIG))
    assert all(option.reason for option in options)
    assert options[0].engine_name == engine_name("returns", LIVE)
    assert options[-1].engine_name is None


@pytest.mark.parametrize("fields", [{"live": None, "previous": None}, {"live": None}])
def test_an_alias_without_a_live_version(fields: dict[str, None]) -> None:
    """An alias whose versions are all retired, or not yet committed, still gets an answer."""
    assert targets(exchange("returns", table=table(alias(**fields))))[-1] == "base"


@pytest.mark.parametrize("model", ["base", BASE_ID])
def test_the_base_by_either_name(model: str) -> None:
    """Who names the base gets the base and nothing else."""
    assert targets(exchange(model, table=SEEN), default=BIG) == ["base"]


@pytest.mark.parametrize("taken", ["auto", "base", BASE_ID])
def test_a_name_means_one_thing(taken: str) -> None:
    """An alias from before its name was taken is called by its versions only."""
    seen = table(alias(name=taken))
    assert targets(exchange(taken, table=seen))[0] == "base"
    pinned = f"{taken}@{LIVE[:12]}"
    assert targets(exchange(pinned, table=seen)) == [f"adapter:{pinned}"]
    listed = [each["id"] for each in list_models(seen, Catalog(HttpClient(), {}), [])["data"]]
    assert len(listed) == len(set(listed))
    assert pinned in listed


def test_a_frontier_by_its_name() -> None:
    """Who names a frontier model gets that and nothing else."""
    assert targets(exchange(BIG, table=SEEN)) == [f"frontier:{BIG}"]


@pytest.mark.parametrize("digest", [LIVE, BEFORE, TRIED])
@pytest.mark.parametrize("digits", [12, 64])
def test_a_pinned_version(digest: str, digits: int) -> None:
    """A pin means that version, live or not, and no other version in its place."""
    found = targets(exchange(f"returns@{digest[:digits]}", table=SEEN))
    assert found == [name(digest)]
    loose = exchange(f"returns@{digest[:digits]}", table=SEEN)
    put(loose, hints=Hints(fallback=True))
    assert targets(loose, default=BIG) == [name(digest), "base", f"frontier:{BIG}"]


def test_a_retired_version() -> None:
    """A pin on a version that is gone is an error, unless the client lets the alias answer."""
    found = exchange(f"returns@{GONE[:12]}", table=SEEN)
    with pytest.raises(Gone) as refused:
        consider(found, chooser())
    assert (refused.value.status, refused.value.code) == (410, "version_retired")
    options = consider(put(found, hints=Hints(fallback=True)), chooser())
    assert [option.target for option in options] == [name(LIVE), name(BEFORE), "base"]
    assert "which is retired" in options[0].reason


@pytest.mark.parametrize(
    "model",
    [
        "nobody",
        "returns@",
        "returns@ffffffffffff",
        f"returns@{LIVE[:11]}",
        f"returns@{LIVE[:13]}",
        f"returns@{LIVE}0",
        f"nobody@{LIVE[:12]}",
        f"returns@{LIVE[:12]}@x",
        "cloud/other",
        "Returns",
        " returns",
        "@",
        "adapter:returns",
    ],
)
def test_unknown_names(model: str) -> None:
    """What nothing has is 404 ``model_not_found`` with the field, as OpenAI's clients expect."""
    for endpoint in (Endpoint.CHAT, Endpoint.COMPLETIONS):
        with pytest.raises(NotFound) as refused:
            consider(exchange(model, table=SEEN, endpoint=endpoint), chooser())
        assert (refused.value.status, refused.value.code) == (404, "model_not_found")
        assert refused.value.param == "model"


@given(st.text(min_size=1, max_size=100))
def test_any_name_is_known_or_unknown(model: str) -> None:
    """No name ends in anything but options or ``model_not_found``."""
    try:
        assert targets(exchange(model, table=SEEN))
    except NotFound as error:
        assert error.code == "model_not_found"  # noqa: PT017 - known names may come up


# auto


def asked(intent: Intent, seen: RoutingTable = SEEN) -> Exchange:
    """A request for ``auto`` whose intent is known."""
    return put(exchange(table=seen), intent=intent)


def test_auto_with_an_intent() -> None:
    """The adapter that the configuration names for the intent answers, with its fallbacks."""
    found = targets(asked(Intent("returns", 0.9, "returns")), default=BIG)
    assert found == [name(LIVE), name(BEFORE), "base", f"frontier:{BIG}"]


def test_auto_with_an_intent_that_a_manifest_declares() -> None:
    """A live version's manifest may claim an intent without any configuration."""
    seen = table(alias(intents=("refund",)))
    assert targets(asked(Intent("refund", 0.9), seen))[0] == name(LIVE)
    gone = table(alias(intents=("refund",), live=None, previous=None))
    assert targets(asked(Intent("refund", 0.9), gone)) == ["base"]


@pytest.mark.parametrize("intent", [Intent(), Intent(None, 0.8), Intent("other", 0.9, "nobody")])
def test_auto_without_an_adapter(intent: Intent) -> None:
    """No intent, or one whose adapter is not there, is the base's."""
    assert targets(asked(intent)) == ["base"]


def test_autos_fallbacks_answer_last() -> None:
    """Those that the request names, also what `auto` would not choose: behind what it does."""
    wishes = Hints(fallbacks=("returns", BIG))
    expected = ["base", name(LIVE), name(BEFORE), f"frontier:{BIG}"]
    assert targets(put(asked(Intent()), hints=wishes)) == expected
    options = consider(put(asked(Intent()), hints=wishes), chooser())
    assert [option.target for option in options].count(f"frontier:{BIG}") == 1
    offered = targets(put(asked(Intent()), hints=wishes), default=BIG)
    assert offered == ["base", f"frontier:{BIG}", name(LIVE), name(BEFORE)]


# Canary


def with_canary(percent: float, stage: str = "canary") -> RoutingTable:
    """A table in which a third version is tried."""
    return table(alias(candidates=(CandidateVersion(digest=TRIED, stage=stage, percent=percent),)))


@pytest.mark.parametrize("percent", [1, 10, 50, 90])
def test_a_canary_gets_its_share(percent: float) -> None:
    """Over many requests the share is the configured one, within four standard deviations."""
    seen, count = with_canary(percent), 4000
    hits = sum(
        consider(exchange("returns", table=seen, request_id=f"req_{n}"), CHOOSER)[0].target
        == name(TRIED)
        for n in range(count)
    )
    share = percent / 100
    assert abs(hits / count - share) < 4 * (share * (1 - share) / count) ** 0.5


CHOOSER = chooser()


@pytest.mark.parametrize(("percent", "hit"), [(0, False), (100, True)])
def test_none_and_all(percent: float, hit: bool) -> None:
    """Nothing means nobody and everything means everybody."""
    seen = with_canary(percent)
    for n in range(200):
        found = targets_of(exchange("returns", table=seen, request_id=f"req_{n}"))
        assert (found[0] == name(TRIED)) is hit


def targets_of(found: Exchange) -> list[str]:
    """Like ``targets``, with one chooser for all."""
    return allowed(found, CHOOSER)


def test_a_session_stays_on_its_version() -> None:
    """Within a session every request is answered by the same version, whatever its id."""
    seen, firsts = with_canary(50), set()
    for session in range(20):
        found = {
            targets_of(exchange("returns", table=seen, session=f"s{session}", request_id=f"r{n}"))[
                0
            ]
            for n in range(20)
        }
        assert len(found) == 1
        firsts |= found
    assert firsts == {name(LIVE), name(TRIED)}


def test_a_growing_share_keeps_who_is_in_it() -> None:
    """Raising the share moves nobody back: sessions on the canary stay on it."""

    def members(percent: float) -> set[int]:
        seen = with_canary(percent)
        return {
            n
            for n in range(500)
            if targets_of(exchange("returns", table=seen, session=f"s{n}"))[0] == name(TRIED)
        }

    assert members(5) < members(20) < members(60)


def test_a_canary_that_cannot_answer() -> None:
    """When the canary cannot, the live version answers, then the one before (law 3)."""
    found = targets_of(exchange("returns", table=with_canary(100)))
    assert found == [name(TRIED), name(LIVE), name(BEFORE), "base"]


def test_a_pin_is_no_canary() -> None:
    """Who pins a version never gets another one on trial."""
    found = targets_of(exchange(f"returns@{LIVE[:12]}", table=with_canary(100)))
    assert name(TRIED) not in found


# Shadow


def chosen(model: str, percent: float = 100) -> Exchange:
    """A request whose target is chosen, while a version is in shadow."""
    found = exchange(model, table=with_canary(percent, "shadow"))
    consider(found, CHOOSER)
    return found


def test_a_shadow_answers_nobody() -> None:
    """A version in shadow is no candidate; it is asked beside the chosen one."""
    found = chosen("returns")
    assert name(TRIED) not in targets_of(found)
    option = found.decision.shadow
    assert option is not None
    assert option.target == name(TRIED)
    assert chosen("returns", percent=0).decision.shadow is None


@pytest.mark.parametrize(
    "model", ["base", f"returns@{LIVE[:12]}", f"returns@{LIVE}", f"returns@{TRIED[:12]}"]
)
def test_no_shadow_for_others(model: str) -> None:
    """The base, and versions that a client pinned in any form, are not shadowed."""
    assert chosen(model).decision.shadow is None


# Embeddings


def test_embeddings_go_to_who_embeds() -> None:
    """A base that generates cannot embed: `auto` finds a model that can, and a local name is
    refused, so that the text does not leave for a provider that nobody named.
    """
    found = exchange("auto", table=SEEN, endpoint=Endpoint.EMBEDDINGS)
    assert targets(found) == [f"frontier:{EMBEDDER}"]
    for model in ("base", "returns"):
        with pytest.raises(InvalidRequest, match="cannot embed"):
            targets(exchange(model, table=SEEN, endpoint=Endpoint.EMBEDDINGS))
    with pytest.raises(NotFound):
        targets(exchange("nobody", table=SEEN, endpoint=Endpoint.EMBEDDINGS))
    with pytest.raises(InvalidRequest, match="cannot embed"):
        consider(exchange(table=SEEN, endpoint=Endpoint.EMBEDDINGS), chooser(embeds=False))
