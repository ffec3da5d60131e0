"""Clusters: what is asked alike is together, under a name that lasts, until somebody decides."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from numpy.typing import NDArray

from adapters.corpus import clusters as clusters_module
from adapters.corpus import placing
from adapters.corpus.cluster import Cluster, ClusterState, ClusterTaken, UnknownCluster
from adapters.corpus.cluster_models import ClusterRow
from adapters.corpus.clusters import Clusters
from adapters.corpus.exchange import ExchangeState
from adapters.corpus.exchanges import Exchanges
from adapters.flywheel.database import FlywheelStore
from router.embed.encoder import BgeSmall
from tests.fakes.corpus import corpus, exchange
from tests.fakes.postgres import NewDatabase

DAY = 86400.0
NOW = 20_000 * DAY + 3600
WEATHER = (
    "What will the weather be like in Oslo tomorrow?",
    "Is it going to rain in Oslo on Saturday?",
    "Will it be sunny in Oslo this weekend?",
    "Tell me tomorrow's forecast for Oslo.",
    "How cold does it get in Oslo tonight?",
)
GIFT = (
    "Can I pay with a gift card?",
    "How do I redeem my gift card at checkout?",
    "My gift card code is not accepted.",
    "What is the balance of my gift card?",
    "Do your gift cards expire?",
)
CODE = ("Sort a list of tuples in Python.", "How can I sort a Python dict by its values?")


class Topics:
    """An encoder for which each first word is a topic, and every text a little different."""

    name = "topics/1"
    width = 64

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row a text."""
        found = np.zeros((len(texts), self.width), np.float32)
        for row, text in enumerate(texts):
            own = self._vector(text)
            found[row] = self._vector(text.split()[0]) + 0.3 * own
            found[row] /= np.linalg.norm(found[row])
        return found

    def _vector(self, text: str) -> NDArray[np.float64]:
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
        made = np.random.default_rng(seed).normal(size=self.width)
        return made / float(np.linalg.norm(made))


class Scene:
    """A corpus and its clusters."""

    def __init__(self, exchanges: Exchanges, store: FlywheelStore, encoder: Any) -> None:
        self.exchanges = exchanges
        self.store = store
        self.now = NOW
        self.clusters = Clusters(store, exchanges, encoder, lambda: self.now)

    def ask(self, *texts: str, **fields: Any) -> list[str]:
        """Exchanges that are worth a look; their ids."""
        given = {"signals": ("out_of_scope",), "at": self.now, "intent": "none", **fields}
        return [self.exchanges.take(exchange(text, **given))[0] for text in texts]

    def seen(self) -> list[Cluster]:
        """What there is when nothing is left to do."""
        while self.clusters.tick():
            pass
        return self.clusters.all([ClusterState.OPEN, ClusterState.INTENT])

    def of(self, exchange_id: str) -> str | None:
        """The cluster of an exchange."""
        for each in self.seen():
            if exchange_id in self.clusters.exchanges(each.id):
                return each.id
        return None


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Of an empty database."""
    return f"sqlite:///{tmp_path / 'flywheel.db'}"


@pytest.fixture
def scene(url: str) -> Iterator[Scene]:
    """With an encoder that is quick and knows what belongs together."""
    with corpus(url) as (exchanges, store):
        yield Scene(exchanges, store, Topics())


@pytest.fixture(scope="module")
def real() -> BgeSmall:
    """The encoder that production has."""
    return BgeSmall()


def test_real_sentences_of_one_topic_are_together(url: str, real: BgeSmall) -> None:
    """Two topics, two clusters, each named by one of its own; what is alone is in none."""
    with corpus(url) as (exchanges, store):
        scene = Scene(exchanges, store, real)
        scene.ask(*WEATHER, *GIFT, "Compose a limerick about llamas.")
        found = scene.seen()
        assert sorted(each.volume for each in found) == [5, 5]
        for each in found:
            texts = WEATHER if each.name in WEATHER else GIFT
            assert set(each.examples) == set(texts)


def test_rows_say_how_often_what_it_cost_and_whether_it_grows(scene: Scene) -> None:
    """A duplicate counts on its own day."""
    scene.now = NOW - 8 * DAY
    scene.ask("visa one", "visa two", cost_usd=0.5)
    scene.seen()
    scene.now = NOW
    scene.ask("visa one", cost_usd=0.25)
    scene.ask("visa three", "visa four", "visa five", cost_usd=0.0)
    (found,) = scene.seen()
    assert found.volume == 6
    assert found.cost_usd == pytest.approx(1.25)
    assert found.trend == pytest.approx(1.0)
    assert sum(found.days.values()) == 6
    assert [*found.days.values()][-1] == 4
    assert len(found.days) == 14


def test_what_has_no_sign_or_may_not_be_learned_from_is_left_out(scene: Scene) -> None:
    """Nor what has no question in it."""
    scene.ask("visa one", "visa two", signals=())
    scene.ask("visa three", "visa four", trains=False)
    scene.ask("", " ")
    assert scene.seen() == []
    assert scene.clusters.members == 0


def test_a_sign_that_comes_later_counts(scene: Scene) -> None:
    """Negative feedback on what was captured before."""
    scene.ask("visa one", "visa two", signals=(), decision_id="")
    scene.ask("visa three", decision_id="dec_3", signals=())
    scene.seen()
    scene.exchanges.signal("dec_3", ["negative_feedback"])
    scene.ask("visa four")
    (found,) = scene.seen()
    assert found.volume == 2


def test_newcomers_join_and_ids_last(scene: Scene) -> None:
    """Over many arrivals, each of which may group all anew."""
    (first, *_) = scene.ask("visa one", "visa two", "visa three")
    identity = scene.of(first)
    name = scene.clusters.find(identity or "").name
    for turn in range(12):
        scene.ask(*(f"{topic} {turn} {n}" for topic in ("visa", "bike", "soup") for n in range(3)))
        assert scene.of(first) == identity
    found = scene.seen()
    assert sorted(each.volume for each in found) == [36, 36, 39]
    assert name in {each.name for each in found}
    scene.now += 4000
    scene.ask("visa again")
    assert scene.of(first) == identity


def test_a_restart_changes_nothing(url: str) -> None:
    """Everything is in the database; nothing is looked at twice."""
    with corpus(url) as (exchanges, store):
        scene = Scene(exchanges, store, Topics())
        scene.ask(*(f"visa {n}" for n in range(20)), *(f"bike {n}" for n in range(20)))
        before = scene.seen()
    with corpus(url) as (exchanges, store):
        scene = Scene(exchanges, store, Topics())
        assert not scene.clusters.tick()
        assert scene.seen() == before


def test_two_that_turn_out_to_be_one_keep_the_older_name(scene: Scene) -> None:
    """The younger id leads to it."""
    scene.ask("visa one", "visa two")
    (old,) = scene.seen()
    with scene.store.read() as session:
        mean = session.get_one(ClusterRow, old.id).mean

    def apart(session: Any) -> None:
        session.get_one(ClusterRow, old.id).mean = (-np.frombuffer(mean, np.float32)).tobytes()

    scene.store.write(apart)
    scene.ask("visa three", "visa four", "visa five", "visa six")
    (young,) = (each for each in scene.seen() if each.id != old.id)
    scene.now += 4000
    scene.ask("bike one")
    found = scene.seen()
    assert [each.id for each in found] == [old.id]
    assert found[0].volume == 6
    assert scene.clusters.find(young.id).id == old.id
    assert scene.clusters.history(young.id) == []


def test_one_dismissed_does_not_come_back(scene: Scene) -> None:
    """What comes like it stays with it; it can be shown again."""
    (first, *_) = scene.ask("visa one", "visa two")
    (found,) = scene.seen()
    scene.clusters.dismiss(found.id, "ops")
    scene.ask(*(f"visa again {n}" for n in range(30)), *(f"bike {n}" for n in range(30)))
    scene.now += 4000
    scene.ask("bike last")
    assert [each.volume for each in scene.seen()] == [31]
    (hidden,) = scene.clusters.all([ClusterState.DISMISSED])
    assert hidden.volume == 32
    restored = scene.clusters.restore(found.id, "ops")
    assert restored.state is ClusterState.OPEN
    assert scene.of(first) == found.id
    assert [each.action for each in scene.clusters.history(found.id)] == ["restored", "dismissed"]


def test_an_intent_has_examples_and_its_exchanges_get_it(scene: Scene) -> None:
    """Also those that come later; undone, they get back what they had."""
    (first, *others) = scene.ask("visa one", "visa two", intent="travel")
    (found,) = scene.seen()
    assert scene.clusters.intents.document() == ("", b"")
    made = scene.clusters.intents.make(found.id, "visas", "visas", "ops")
    assert made.exchanges == 2
    digest, document = scene.clusters.intents.document()
    assert hashlib.sha256(document).hexdigest() == digest
    (intent,) = scene.clusters.intents.made()
    assert (intent.name, intent.alias) == ("visas", "visas")
    assert set(intent.examples) == {"visa one", "visa two"}
    (later,) = scene.ask("visa three")
    scene.seen()
    assert set(scene.clusters.wanted_reviews()) == {first, *others, later}
    found_later = scene.exchanges.find(later)
    assert found_later is not None
    assert found_later.intent == "visas"
    scene.exchanges.move([first], ExchangeState.IN_REVIEW)
    assert first not in scene.clusters.wanted_reviews()
    assert scene.clusters.intents.make(found.id, "visas", "visas", "ops").exchanges == 0
    with pytest.raises(ClusterTaken):
        scene.clusters.intents.make(found.id, "other", None, "ops")
    with pytest.raises(ClusterTaken):
        scene.clusters.dismiss(found.id, "ops")
    assert scene.clusters.intents.unmake(found.id, "ops").exchanges == 3
    was = [scene.exchanges.find(each) for each in (first, later)]
    assert [each and each.intent for each in was] == ["travel", "none"]
    assert scene.clusters.intents.document() == ("", b"")
    assert scene.clusters.wanted_reviews() == {}
    with pytest.raises(ClusterTaken):
        scene.clusters.intents.unmake(found.id, "ops")


def test_who_took_consent_back_teaches_nothing(url: str) -> None:
    """Neither a cluster nor an intent that there is already; given again, it counts again."""
    said_no: set[str] = set()
    with corpus(url) as (exchanges, store):
        scene = Scene(exchanges, store, Topics())
        scene.clusters = Clusters(
            store, exchanges, Topics(), lambda: scene.now, lambda tenant: tenant not in said_no
        )
        scene.ask("visa one", "visa two")
        scene.ask("visa three", tenant="other")
        (found,) = scene.seen()
        scene.clusters.intents.make(found.id, "visas", None, "ops")
        before = scene.clusters.intents.document()
        said_no.add("other")
        assert set(scene.clusters.intents.made()[0].examples) == {"visa one", "visa two"}
        scene.ask("bike one", "bike two", tenant="other")
        assert [each.id for each in scene.seen()] == [found.id]
        said_no.clear()
        assert scene.clusters.intents.document() == before


def test_several_clusters_are_one_intent(scene: Scene) -> None:
    """Their examples are told together."""
    scene.ask("visa one", "visa two", "bike one", "bike two")
    for each in scene.seen():
        scene.clusters.intents.make(each.id, "travel", None, "ops")
    (made,) = scene.clusters.intents.made()
    assert set(made.examples) == {"visa one", "visa two", "bike one", "bike two"}


def test_what_is_erased_is_in_no_cluster_and_no_file(url: str, tmp_path: Path) -> None:
    """Its texts, its counts, its examples in intents; other people's stay."""
    with corpus(url) as (exchanges, store):
        scene = Scene(exchanges, store, Topics())
        scene.ask("visa for Zdenka Quist please", subjects=("a" * 64,), count=5)
        scene.ask("visa two", "visa three", "soup one", "soup two")
        large = scene.seen()[0]
        scene.clusters.intents.make(large.id, "visas", None, "ops")
        assert scene.clusters.intents.of_person("Zdenka Quist", "a" * 64) == 1
        exchanges.erase("a" * 64)
        assert scene.clusters.intents.forget("Zdenka Quist", "a" * 64) == 1
        store.compact()
        after = scene.clusters.find(large.id)
        assert after.volume == 2
        assert "Zdenka" not in repr(after) + repr(scene.clusters.intents.made())
        for path in tmp_path.iterdir():
            assert b"Zdenka" not in path.read_bytes(), path
        (soup,) = (each for each in scene.seen() if each.id != large.id)
        assert soup.volume == 2


def test_a_cluster_whose_exchanges_are_gone_is_gone(scene: Scene) -> None:
    """Unless somebody decided on it."""
    scene.ask("visa one", "visa two", subjects=("a" * 64,))
    scene.ask("bike one", "bike two", subjects=("b" * 64,))
    visa, bike = scene.seen()
    scene.clusters.dismiss(bike.id, "ops")
    scene.exchanges.erase("a" * 64)
    scene.exchanges.erase("b" * 64)
    scene.ask("soup one")
    assert scene.seen() == []
    with pytest.raises(UnknownCluster):
        scene.clusters.find(visa.id)
    assert scene.clusters.find(bike.id).volume == 0
    with pytest.raises(ClusterTaken, match="no example"):
        scene.clusters.intents.make(bike.id, "bikes", None, "ops")
    assert scene.clusters.find(bike.id).state is ClusterState.DISMISSED
    with pytest.raises(UnknownCluster):
        scene.clusters.find("clu_nobody")


def test_there_is_room_for_so_many(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go."""
    monkeypatch.setattr(clusters_module, "MAX_MEMBERS", 10)
    scene.ask(*(f"visa {n}" for n in range(8)))
    scene.seen()
    scene.ask(*(f"bike {n}" for n in range(8)))
    assert sorted(each.volume for each in scene.seen()) == [2, 8]
    assert scene.clusters.members == 10


def test_another_encoder_starts_anew(url: str) -> None:
    """Vectors of two models are never compared; what was decided stays."""
    with corpus(url) as (exchanges, store):
        scene = Scene(exchanges, store, Topics())
        scene.ask("visa one", "visa two", "bike one", "bike two")
        visa, bike = scene.seen()
        scene.clusters.intents.make(visa.id, "visas", None, "ops")
        other = Topics()
        other.name, other.width = "topics/2", 32
        scene = Scene(exchanges, store, other)
        found = scene.seen()
        assert visa.id in {each.id for each in found}
        assert bike.id not in {each.id for each in found}
        assert len(scene.clusters.intents.made()) == 1


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_tables_are_what_the_migration_makes(
    kind: str, url: str, request: pytest.FixtureRequest
) -> None:
    """And all of it works on both databases."""
    if kind == "postgresql":
        new: NewDatabase = request.getfixturevalue("postgres")
        url = new()
    with corpus(url) as (exchanges, store):
        with store.read() as session:
            ours = lambda _, name, kind, *__: kind != "table" or name.startswith("cluster")  # noqa: E731
            options = {"compare_type": True, "include_object": ours}
            context = MigrationContext.configure(session.connection(), opts=options)
            assert compare_metadata(context, ClusterRow.metadata) == []
        scene = Scene(exchanges, store, Topics())
        scene.ask(*(f"visa {n}" for n in range(20)), *(f"bike {n}" for n in range(20)))
        first, second = scene.seen()
        scene.clusters.intents.make(first.id, "one", None, "ops")
        scene.clusters.dismiss(second.id, "ops")
        scene.ask(*(f"soup {n}" for n in range(30)))
        assert [each.volume for each in scene.seen()] == [30, 20]


def test_databases_that_fail_change_nothing(scene: Scene, url: str) -> None:
    """A tick that cannot write is done again by the next one."""
    scene.ask("visa one", "visa two")
    other = sqlite3.connect(url.removeprefix("sqlite:///"))
    other.execute(
        "CREATE TRIGGER no BEFORE INSERT ON cluster_members BEGIN SELECT RAISE(ABORT,'x'); END"
    )
    other.commit()
    with pytest.raises(Exception, match="x"):
        scene.seen()
    other.execute("DROP TRIGGER no")
    other.commit()
    other.close()
    assert [each.volume for each in scene.seen()] == [2]


def test_the_history_of_clusters_is_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest lines go when exchanges come."""
    monkeypatch.setattr(placing, "_MOVES_KEPT", 3)
    scene.ask("visa one", "visa two")
    [found] = scene.seen()
    for _ in range(4):
        scene.clusters.dismiss(found.id, "ops")
        scene.clusters.restore(found.id, "ops")
    scene.ask("visa three")
    scene.seen()
    kept = [each.action for each in scene.clusters.history(found.id)]
    assert kept == ["restored", "dismissed", "restored"]
