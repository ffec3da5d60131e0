"""Datasets: frozen under their content, split by groups, held out for ever, rebuilt, verified."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.corpus.exchanges import Exchanges
from adapters.dataset import files
from adapters.dataset.bringing import Bringing, Importer
from adapters.dataset.datasets import DIRECTORY, Datasets
from adapters.dataset.errors import (
    DamagedDataset,
    ErasedDataset,
    NothingReviewed,
    TooMany,
    UnknownDataset,
)
from adapters.dataset.frozen import Row, dataset_digest
from adapters.dataset.gold_rows import row_of
from adapters.dataset.groups import grouped, masked
from adapters.dataset.leaks import check, failed
from adapters.dataset.selection import Selection
from adapters.dataset.split import split
from adapters.flywheel.config import DatasetsConfig
from adapters.flywheel.database import FlywheelStore
from adapters.review.gold import Gold

_WORDS = (
    *("return", "swap", "parcel", "kettle", "lamp", "chair", "window", "delay", "price"),
    *("stamp", "letter", "garden", "river"),
)


class Answers:
    """Gold answers, as reviews would give them."""

    def __init__(self) -> None:
        self.all: list[Gold] = []

    def gold(
        self,
        intents: Sequence[str] | None = None,
        tenants: Sequence[str] | None = None,
        since: float | None = None,
    ) -> list[Gold]:
        return [
            each
            for each in self.all
            if (intents is None or each.intent in intents)
            and (tenants is None or each.tenant in tenants)
            and (since is None or each.at >= since)
        ]


def gold(number: int, text: str | None = None, **more: Any) -> Gold:
    """One gold answer; texts of different numbers are of different templates."""
    chance = random.Random(number)
    words = " ".join(chance.choice(_WORDS) for _ in range(9))
    facts: dict[str, Any] = {
        "exchange_id": f"exc_{number:032x}",
        "at": 1000.0 + number,
        "settled_at": 2000.0 + number,
        "intent": "returns",
        "tenant": "shop",
        "session": "",
        "messages": ({"role": "user", "content": text or words},),
        "answer": f"answer {number}",
        "provenance": "human",
        "reviewers": ("alice",),
        "teacher": "frontier:cloud/big",
    }
    return Gold(**{**facts, **more})


@pytest.fixture
def answers() -> Answers:
    """None yet."""
    return Answers()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FlywheelStore]:
    """The loop's database."""

    def as_writer(work: Callable[[], object]) -> None:
        work()

    made = FlywheelStore.open(f"sqlite:///{tmp_path / 'flywheel.db'}", as_writer)
    yield made
    made.close()


@pytest.fixture
def datasets(tmp_path: Path, store: FlywheelStore, answers: Answers) -> Datasets:
    """The room."""
    return Datasets(store, tmp_path / DIRECTORY, answers, DatasetsConfig(max_rows=500))


def test_the_same_answers_are_the_same_dataset(datasets: Datasets, answers: Answers) -> None:
    """Over names, times and orders; each name is kept."""
    answers.all = [gold(number) for number in range(20)]
    first = datasets.freeze(Selection("one"))
    answers.all.reverse()
    second = datasets.freeze(Selection("two", holdout=0.2))
    assert first.digest == second.digest
    assert second.names == ("one", "two")
    assert first.splits == {"train": 16, "test": 4}
    assert first.counts == {"returns": 20}
    assert [each.digest for each in datasets.listed()] == [first.digest]
    assert datasets.kept == 1


def test_gold_once_held_out_stays_held_out(datasets: Datasets, answers: Answers) -> None:
    """Under other names, other shares, in a growing set, and when it comes again from a file."""
    answers.all = [gold(number) for number in range(10)]
    tested = {
        row.exchange_id for row in datasets.rows(datasets.freeze(Selection("a")).digest, "test")
    }
    assert len(tested) == 2
    answers.all += [gold(number) for number in range(10, 40)]
    second = datasets.freeze(Selection("b", holdout=0.5))
    later = {row.exchange_id for row in datasets.rows(second.digest, "test")}
    assert tested < later
    assert len(later) == 20
    third = datasets.freeze(Selection("c", holdout=0.0))
    assert {row.exchange_id for row in datasets.rows(third.digest, "test")} == later
    brought = [
        replace(row, exchange_id=f"imp_{row.exchange_id}") for row in datasets.rows(third.digest)
    ]
    fourth = datasets.take_in("d", brought, wanted={row.digest: "train" for row in brought})
    assert fourth.digest == third.digest
    assert {row.exchange_id for row in datasets.holdout("returns")} == later


def test_what_resembles_a_held_out_row_is_not_trained_on(
    datasets: Datasets, answers: Answers
) -> None:
    """A new row of its template or conversation, and a near-duplicate of it."""
    long = "how do I send back the lamp that arrived broken with parcel 12"
    answers.all = [gold(1, f"{long}", session="s1"), gold(2, "which chairs do you sell in blue")]
    first = datasets.freeze(Selection("a", holdout=0.5))
    [tested] = datasets.rows(first.digest, "test")
    text = str(tested.messages[0]["content"])
    slip = text.replace("arrived", "arived").replace("chairs", "chair")
    near = [
        gold(3, f"Hi, {text} please"),
        gold(4, f"{text.upper()}!"),
        gold(5, slip),
        gold(6, text.replace("12", "4711")),
        *([gold(7, session="s1")] if tested.conversation else []),
    ]
    answers.all += near
    second = datasets.freeze(Selection("b"))
    trained = {row.exchange_id for row in datasets.rows(second.digest, "train")}
    assert trained.isdisjoint({tested.exchange_id, *(each.exchange_id for each in near)})


def test_a_correction_by_review_counts_and_one_by_file_does_not(
    datasets: Datasets, answers: Answers
) -> None:
    """The holdout's answer to a question is the reviewers' newest, never a file's."""
    answers.all = [gold(1), gold(2)]
    first = datasets.freeze(Selection("a", holdout=0.5))
    [tested] = datasets.rows(first.digest, "test")
    number = int(tested.exchange_id[-1])
    answers.all[number - 1] = gold(number, answer="better")
    second = datasets.freeze(Selection("b"))
    assert [row.answer for row in datasets.holdout("returns")] == ["better"]
    poisoned = [
        row_of(replace(each, answer="wrong", exchange_id=f"imp_{each.exchange_id}"))
        for each in answers.all
    ]
    datasets.take_in("c", poisoned)
    assert [row.answer for row in datasets.holdout("returns")] == ["better"]
    assert second.digest != first.digest


@pytest.mark.parametrize(("number", "splits"), [(1, (1, 0)), (2, (1, 1)), (3, (2, 1))])
def test_few_rows(
    datasets: Datasets, answers: Answers, number: int, splits: tuple[int, int]
) -> None:
    """One row trains; of two groups one is tested on; the card warns."""
    answers.all = [gold(each) for each in range(number)]
    made = datasets.freeze(Selection("few"))
    assert (made.splits["train"], made.splits["test"]) == splits
    assert any("to train on" in warning for warning in made.about["warnings"])
    assert any("to test on" in warning for warning in made.about["warnings"])


def test_rows_of_one_template_or_conversation_stay_together(
    datasets: Datasets, answers: Answers
) -> None:
    """Digits and placeholders masked; one template alone cannot be tested on."""
    answers.all = [gold(n, f"Where is order {n * 977}, [PERSON]?") for n in range(8)]
    assert datasets.freeze(Selection("one template")).splits == {"train": 8, "test": 0}
    answers.all += [gold(n, session="long talk") for n in range(20, 26)]
    made = datasets.freeze(Selection("two", holdout=0.4))
    assert made.splits == {"train": 8, "test": 6}


def test_nothing_reviewed_and_too_much(datasets: Datasets, answers: Answers) -> None:
    """Neither makes a dataset."""
    with pytest.raises(NothingReviewed):
        datasets.freeze(Selection("none"))
    with pytest.raises(NothingReviewed):
        datasets.take_in("none", [])
    answers.all = [gold(number) for number in range(501)]
    with pytest.raises(TooMany, match="max_rows"):
        datasets.freeze(Selection("many"))
    assert datasets.listed() == []


def test_there_is_a_limit_of_datasets(
    tmp_path: Path, store: FlywheelStore, answers: Answers
) -> None:
    """One that is there already is no new one."""
    room = Datasets(store, tmp_path / DIRECTORY, answers, DatasetsConfig(max_datasets=1))
    answers.all = [gold(1), gold(2)]
    room.freeze(Selection("a"))
    room.freeze(Selection("again"))
    answers.all.append(gold(3))
    with pytest.raises(TooMany, match="max_datasets"):
        room.freeze(Selection("b"))


def test_replay_mixes_in_other_intents_and_never_what_is_held_out(
    datasets: Datasets, answers: Answers
) -> None:
    """Of all that trains it is the share that was asked for."""
    answers.all = [gold(number, intent="billing") for number in range(100, 130)]
    before = datasets.freeze(Selection("billing"))
    tested = {row.exchange_id for row in datasets.rows(before.digest, "test")}
    answers.all += [gold(number) for number in range(20)]
    made = datasets.freeze(Selection("returns", intents=("returns",), replay=0.2))
    rows = datasets.rows(made.digest)
    mixed = [row for row in rows if row.replay]
    assert len(mixed) == 4
    assert {row.intent for row in mixed} == {"billing"}
    assert {row.split for row in mixed} == {"train"}
    assert tested.isdisjoint({row.exchange_id for row in mixed})
    assert made.counts == {"billing": 4, "returns": 20}


def test_an_erasure_rebuilds_and_keeps_splits(
    datasets: Datasets, answers: Answers, store: FlywheelStore, tmp_path: Path
) -> None:
    """The erased one names its successor, has no files, and what was held out stays so."""
    answers.all = [gold(n, subjects=("s" * 64,) if n < 5 else ()) for n in range(30)]
    old = datasets.freeze(Selection("a"))
    tested = {r.exchange_id for r in datasets.rows(old.digest, "test") if not r.subjects}
    assert datasets.touched(["s" * 64]) == [old.digest]
    [done] = datasets.without(["s" * 64])
    assert (done.digest, done.rows) == (old.digest, 5)
    assert done.rebuilt_as is not None
    with pytest.raises(ErasedDataset, match=done.rebuilt_as):
        datasets.rows(old.digest)
    assert [path.name for path in (tmp_path / DIRECTORY).iterdir()] == [done.rebuilt_as]
    new = datasets.find(done.rebuilt_as)
    assert new is not None
    assert (new.name, new.rebuilt_from, sum(new.splits.values())) == ("a", old.digest, 25)
    assert {r.exchange_id for r in datasets.rows(new.digest, "test")} == tested
    assert {r.exchange_id for r in datasets.holdout("returns")} == tested
    assert datasets.without(["s" * 64]) == []
    found = datasets.find(old.digest)
    assert found is not None
    assert found.rebuilt_as == new.digest
    # Its content cannot come back from a file that somebody kept.
    brought = [row_of(each) for each in answers.all]
    with pytest.raises(ErasedDataset):
        datasets.take_in("kept", brought, holdout=0.2)


def test_of_a_dataset_of_one_person_nothing_is_left(
    datasets: Datasets, answers: Answers, tmp_path: Path
) -> None:
    """It names no successor."""
    answers.all = [gold(n, subjects=("s" * 64,)) for n in range(3)]
    old = datasets.freeze(Selection("a"))
    [done] = datasets.without(["s" * 64])
    assert done.rebuilt_as is None
    assert datasets.kept == 0
    assert datasets.holdout("returns") == []
    assert list((tmp_path / DIRECTORY).iterdir()) == []
    with pytest.raises(ErasedDataset):
        datasets.rows(old.digest)


def test_a_person_is_found_in_what_came_back_from_a_file(
    datasets: Datasets, answers: Answers
) -> None:
    """An export names nobody; the same content is known to be hers."""
    answers.all = [gold(n, subjects=("s" * 64,) if n == 1 else ()) for n in range(6)]
    old = datasets.freeze(Selection("a"))
    bare = [
        replace(row, subjects=()) for row in datasets.rows(old.digest) if row.answer != "answer 2"
    ]
    new = datasets.take_in("b", bare)
    assert new.digest != old.digest
    assert datasets.touched(["s" * 64]) == sorted([old.digest, new.digest])


def test_changed_files_are_noticed(datasets: Datasets, answers: Answers, tmp_path: Path) -> None:
    """One byte, one line less, or no file; unknown digests are unknown."""
    answers.all = [gold(number) for number in range(6)]
    made = datasets.freeze(Selection("a"))
    path = tmp_path / DIRECTORY / made.digest / "train.jsonl"
    whole = path.read_bytes()
    for changed in (whole.replace(b"answer", b"ansver", 1), whole.split(b"\n", 1)[1], None):
        if changed is None:
            path.unlink()
        else:
            path.write_bytes(changed)
        with pytest.raises(DamagedDataset):
            datasets.rows(made.digest)
    with pytest.raises(UnknownDataset):
        datasets.rows("0" * 64)


def test_what_a_crash_left_is_swept(datasets: Datasets, answers: Answers, tmp_path: Path) -> None:
    """Drafts and directories that nobody put on record."""
    answers.all = [gold(number) for number in range(6)]
    made = datasets.freeze(Selection("a"))
    for name in ("f" * 64, ".draft"):
        (tmp_path / DIRECTORY / name).mkdir()
    datasets.sweep()
    assert [path.name for path in (tmp_path / DIRECTORY).iterdir()] == [made.digest]
    assert datasets.rows(made.digest)


def test_the_sweep_waits_for_who_writes(
    datasets: Datasets, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that is about to be put on record is not swept, whatever thread sweeps."""
    written, sweeps = files.write, list[threading.Thread]()

    def swept_meanwhile(root: Path, digest: str, content: Mapping[str, bytes]) -> None:
        written(root, digest, content)
        sweeps.append(threading.Thread(target=datasets.sweep))
        sweeps[0].start()
        sweeps[0].join(0.5)

    monkeypatch.setattr(files, "write", swept_meanwhile)
    answers.all = [gold(number) for number in range(6)]
    made = datasets.freeze(Selection("a"))
    sweeps[0].join()
    assert len(datasets.rows(made.digest)) == 6


def test_of_what_was_erased_the_newest_are_known(
    tmp_path: Path, store: FlywheelStore, answers: Answers
) -> None:
    """The table of what is gone has a bound too."""
    room = Datasets(store, tmp_path / DIRECTORY, answers, DatasetsConfig(max_erased=2))
    gone = []
    for number in range(4):
        answers.all = [gold(number, subjects=(f"{number}" * 64,))]
        gone.append(room.freeze(Selection("a")).digest)
        room.without([f"{number}" * 64])
    assert [room.find(digest) is not None for digest in gone] == [False, False, True, True]
    assert room.erased == 2


def test_what_an_exchange_became_is_found(
    datasets: Datasets, answers: Answers, tmp_path: Path
) -> None:
    """By the lines that name it: a page that shows a request does not read whole datasets."""
    answers.all = [gold(number, text=f"of {gold(3).exchange_id}? no {number}") for number in (3, 7)]
    answers.all += [gold(number) for number in range(10, 16)]
    made = datasets.freeze(Selection("a"))
    [found] = datasets.of_exchange(made.digest, gold(3).exchange_id)
    assert found in datasets.rows(made.digest)
    assert datasets.of_exchange(made.digest, "exc_nothing") == []
    assert datasets.of_exchange("0" * 64, gold(3).exchange_id) == []
    path = tmp_path / DIRECTORY / made.digest / f"{found.split}.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"messages"', b'"massages"'))
    with pytest.raises(DamagedDataset):
        datasets.of_exchange(made.digest, gold(3).exchange_id)


def test_what_is_no_dataset_does_not_stop_the_sweep(
    datasets: Datasets, answers: Answers, tmp_path: Path
) -> None:
    """A file, or a link, that somebody put beside them: an erasure sweeps too, and must end."""
    answers.all = [gold(number) for number in range(6)]
    made = datasets.freeze(Selection("a"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / DIRECTORY / ".DS_Store").write_bytes(b"x")
    (tmp_path / DIRECTORY / "link").symlink_to(tmp_path / "elsewhere")
    datasets.sweep()
    assert [path.name for path in (tmp_path / DIRECTORY).iterdir()] == [made.digest]
    assert (tmp_path / "elsewhere").is_dir()


def test_who_reads_while_a_person_is_erased_is_told_so(
    datasets: Datasets, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files go between two looks: that is no damage."""
    answers.all = [gold(n, subjects=("s" * 64,) if n < 3 else ()) for n in range(20)]
    old = datasets.freeze(Selection("a"))
    read = files.read
    gone: list[str] = []

    def overtaken(root: Path, digest: str, hashes: Mapping[str, str]) -> list[Row]:
        if not gone:
            gone.append(digest)
            datasets.without(["s" * 64])
        return read(root, digest, hashes)

    monkeypatch.setattr(files, "read", overtaken)
    with pytest.raises(ErasedDataset):
        datasets.rows(old.digest)
    assert datasets.holdout("returns")


def test_rows_of_a_person_who_was_erased_are_not_brought_back(
    datasets: Datasets, answers: Answers, store: FlywheelStore
) -> None:
    """Whatever file they come from, as long as they are older than the erasure; newer ones are."""
    person, other = "s" * 64, "t" * 64
    told = [gold(n, at=time.time() - 60, subjects=((person, other)[n % 2],)) for n in range(12)]
    rows = [row_of(each) for each in told]
    Exchanges(store).erase(person)
    late: list[int] = []
    made = datasets.take_in("kept", rows, late=late.append)
    assert late == [0, 2, 4, 6, 8, 10]
    assert {name for row in datasets.rows(made.digest) for name in row.subjects} == {other}
    with pytest.raises(NothingReviewed, match="erased since"):
        datasets.take_in("only", rows[::2])
    new = [replace(row, at=time.time() + 60) for row in rows[::2]]
    assert sum(datasets.take_in("new", new).splits.values()) == 6


async def test_a_person_may_be_erased_while_a_file_is_read(
    datasets: Datasets, store: FlywheelStore
) -> None:
    """Lines that were read before are data of before, and the answer names them."""

    async def redact(value: Any, persons: Sequence[str]) -> Any:
        if "line 3" in str(value):
            Exchanges(store).erase("hash of Jane")
        return value

    lines = [{"prompt": f"line {n}", "completion": f"answer {n}"} for n in range(1, 5)]
    told = [{**line, **({"user": "Jane"} if n < 2 else {})} for n, line in enumerate(lines)]
    raw = b"\n".join(json.dumps(each).encode() for each in told)
    importer = Importer(datasets, redact, "hash of {}".format)
    taken = await importer.take(raw, Bringing("a", "ann", "shop", "prompt_completion", "returns"))
    assert [each.line for each in taken.rejected] == [1, 2]
    assert {each.reason for each in taken.rejected} == {
        "a person whose data it carries was erased since"
    }
    kept = datasets.rows(taken.dataset.digest)
    assert sorted(row.answer for row in kept) == ["answer 3", "answer 4"]


_texts = st.lists(st.sampled_from(_WORDS), min_size=1, max_size=4).map(" ".join)
_golds = st.lists(
    st.builds(
        gold,
        st.integers(0, 10_000),
        _texts,
        session=st.sampled_from(["", "", "a", "b"]),
        intent=st.sampled_from(["returns", "billing"]),
    ),
    min_size=1,
    max_size=40,
    unique_by=lambda each: each.exchange_id,
)


def _rows(golds: list[Gold]) -> list[Row]:
    return [row_of(each) for each in golds]


@given(_golds, st.floats(0, 0.9), st.randoms())
def test_no_group_is_torn_and_order_does_not_matter(
    golds: list[Gold], share: float, chance: random.Random
) -> None:
    """Whatever rows there are: the checks of the card find nothing, and the digest is theirs."""
    rows = split(_rows(golds), (), share)
    assert failed(check(rows, ())) == []
    groups: dict[int, set[str]] = {}
    for row, number in zip(rows, grouped(rows), strict=True):
        groups.setdefault(number, set()).add(row.split)
    assert all(len(splits) == 1 for splits in groups.values())
    shuffled = [*golds]
    chance.shuffle(shuffled)
    assert dataset_digest(split(_rows(shuffled), (), share)) == dataset_digest(rows)


@given(_golds, _golds, st.floats(0, 0.9), st.floats(0, 0.9))
def test_a_holdout_only_grows(
    first: list[Gold], more: list[Gold], share: float, later: float
) -> None:
    """None of it trains later; what resembles it does not either."""
    held = [row for row in split(_rows(first), (), share) if row.split == "test"]
    ids = {row.exchange_id for row in held}
    both = [*first, *(g for g in more if g.exchange_id not in {f.exchange_id for f in first})]
    rows = split(_rows(both), held, later)
    assert ids <= {row.exchange_id for row in rows if row.split == "test"}
    assert failed(check(rows, held)) == []


@given(_golds, st.floats(0, 0.9))
def test_splitting_again_changes_nothing(golds: list[Gold], share: float) -> None:
    """So answers are frozen under the same digest again, though their holdout is kept now."""
    rows = split(_rows(golds), (), share)
    held = [row for row in rows if row.split == "test"]
    assert dataset_digest(split(_rows(golds), held, share)) == dataset_digest(rows)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("Order 12, please!", "order 99817 please"),
        ("Write to [EMAIL_1] at 10:30", "write to [EMAIL] at 9:15."),
        ("\uff2frder \uff11\uff12 please", "order 7 please"),
    ],
)
def test_templates(one: str, two: str) -> None:
    """Numbers, placeholders, case, spaces, punctuation and width are masked."""
    assert masked(one) == masked(two)
