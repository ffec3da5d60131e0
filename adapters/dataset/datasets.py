"""Datasets: gold answers selected, split and frozen; read back, and rebuilt without a person."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import select

from adapters.dataset import card, files, leaks, ledger
from adapters.dataset.errors import (
    DamagedDataset,
    ErasedDataset,
    Leak,
    NoRoom,
    NothingReviewed,
    TooMany,
    UnknownDataset,
)
from adapters.dataset.frozen import SPLITS, Dataset, Row, Split, dataset_digest, input_digest
from adapters.dataset.models import DatasetRow
from adapters.dataset.selection import GoldSource, Selection, learnable
from adapters.dataset.split import counted, replayed, split
from adapters.flywheel.config import DatasetsConfig
from adapters.flywheel.database import FlywheelStore

DIRECTORY = "datasets"
FROZEN, ERASED = "frozen", "erased"
_log = logging.getLogger("graftwork.datasets")
Told = Callable[[str, str], object]
"""Hears a dataset's digest and its new state."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """One dataset that an erasure touched."""

    digest: str
    rebuilt_as: str | None
    rows: int
    """How many went."""


class Datasets:
    """All datasets of one registry. Methods block and are thread-safe.

    Args:
        store: the loop's database.
        root: where files go, one directory a dataset.
        gold: reviewed answers.
        config: sizes and shares.
        told: hears of each change.
    """

    def __init__(
        self,
        store: FlywheelStore,
        root: Path,
        gold: GoldSource,
        config: DatasetsConfig,
        told: Told = lambda _digest, _state: None,
    ) -> None:
        self._store = store
        self._root = root
        self._gold = gold
        self._config = config
        self._told = told
        # What is held out is read first and added to last: two at once would not see each other.
        self._lock = threading.Lock()
        self.kept = self._count()
        """How many there are that are not erased, at the last change."""
        self.erased = self._count(erased=True)
        """How many are known to have been erased, at the last erasure."""

    # Making

    def freeze(self, selection: Selection) -> Dataset:
        """Freeze gold answers. The same answers make the same dataset, under one name more.

        Raises ``NothingReviewed``, ``TooMany``, ``NoRoom``, ``DamagedDataset`` when what was held
        out before cannot be read, and what the database raises.
        """
        share = self._config.holdout if selection.holdout is None else selection.holdout
        replay = self._config.replay if selection.replay is None else selection.replay
        # Gold is read inside: an erasure comes wholly before, or finds what was made of it.
        with self._lock:
            chosen, left_out = self._selected(selection)
            if not chosen:
                raise NothingReviewed(
                    "No reviewed answers fit: review some exchanges first."
                    + "".join(f" {line}" for line in card.without(left_out))
                )
            held = self._held_rows()
            rows = split(chosen, held, share)
            if replay and selection.intents is not None:
                rows += replayed(self._others(selection), rows, held, replay)
            asked = {
                "intents": selection.intents and list(selection.intents),
                "tenants": selection.tenants and list(selection.tenants),
                "since": selection.since,
                "holdout": share,
                "replay": replay,
                **({"left_out": left_out} if left_out else {}),
            }
            return self._frozen(rows, held, selection.name, "reviews", asked)

    def take_in(
        self,
        name: str,
        rows: Sequence[Row],
        *,
        holdout: float | None = None,
        wanted: Mapping[str, Split] | None = None,
        late: Callable[[int], object] = lambda _place: None,
    ) -> Dataset:
        """Freeze rows that somebody brought, and answers for as their reviewer.

        Args:
            name: what it is called.
            rows: theirs; persons that are known to be in rows of the same content are added.
            holdout: the share that is tested on; None: the configuration's.
            wanted: by a row's digest the split that it had before. What is held out stays so.
            late: told the place of each row that is left out, since a person whose data it
                carries was erased after its time.

        Raises what ``freeze`` raises, and ``ErasedDataset`` for one that was erased.
        """
        if not rows:
            raise NothingReviewed("There is no row in it.")
        self._check_size(len(rows))
        share = self._config.holdout if holdout is None else holdout
        with self._lock:
            with self._store.read() as session:
                # In the lock: an erasure finds what was frozen before it, or is seen here.
                named = ledger.in_time(session, ledger.with_persons(session, rows), late)
            if not named:
                raise NothingReviewed("All of it is data of persons who were erased since.")
            held = self._held_rows()
            chosen = split(named, held, share, wanted)
            return self._frozen(chosen, held, name, "import", {"holdout": share})

    # Reading

    def find(self, digest: str) -> Dataset | None:
        """One, erased or not; None where there never was one. 12 digits are enough."""
        with self._store.read() as session:
            if len(digest) < 64:
                found = session.scalars(
                    select(DatasetRow).where(DatasetRow.digest.startswith(digest, autoescape=True))
                ).all()
                return found[0].shown() if len(found) == 1 and len(digest) >= 12 else None
            row = session.get(DatasetRow, digest)
            return None if row is None else row.shown()

    def listed(self) -> list[Dataset]:
        """All, the newest first."""
        with self._store.read() as session:
            query = select(DatasetRow).order_by(DatasetRow.created_at.desc(), DatasetRow.digest)
            return [row.shown() for row in session.scalars(query)]

    def rows(self, digest: str, split: Split | None = None) -> list[Row]:
        """Rows of one, checked against what was frozen.

        Raises ``UnknownDataset``, ``ErasedDataset`` and ``DamagedDataset``.
        """
        try:
            rows = files.read(self._root, digest, self._hashes(digest))
        except files.Damaged as error:
            self._hashes(digest)  # An erasure may have removed them just now.
            raise DamagedDataset(f"{error}.") from error
        if dataset_digest(rows) != digest:
            raise DamagedDataset(f"Dataset {digest[:12]} has other rows than were frozen.")
        return [row for row in rows if split in {None, row.split}]

    def of_exchange(self, digest: str, exchange_id: str) -> list[Row]:
        """The rows of one that an exchange became. Raises ``DamagedDataset``."""
        try:
            return list(files.of_exchange(self._root, digest, exchange_id))
        except files.Damaged as error:
            raise DamagedDataset(f"{error}.") from error

    def holdout(self, intent: str) -> list[Row]:
        """Every row that the intent's versions are tested on and never trained on.

        Raises ``DamagedDataset``.
        """
        # In the lock: what is held out moves to another dataset while one is rebuilt.
        with self._lock:
            return self._held_rows(intent)

    # Erasing

    def touched(self, subjects: Iterable[str]) -> list[str]:
        """Datasets with data of these persons, by keyed hash."""
        with self._store.read() as session:
            return sorted(ledger.rows_with(session, subjects))

    def without(self, subjects: Iterable[str]) -> list[Rebuilt]:
        """Rebuild each dataset without these persons' rows, and remove its files.

        Other rows keep their split. May be called again after a failure.
        """
        subjects = list(subjects)
        with self._lock:
            with self._store.read() as session:
                touched = ledger.rows_with(session, subjects)
            done = [self._rebuilt(digest, gone) for digest, gone in sorted(touched.items())]
            self._sweep()
            self.kept, self.erased = self._count(), self._count(erased=True)
        for each in done:
            if each.rebuilt_as is not None:
                self._told(each.rebuilt_as, FROZEN)
            self._told(each.digest, ERASED)
        return done

    def sweep(self) -> None:
        """Remove files that are on nobody's record: what a crash left."""
        with self._lock:
            self._sweep()

    # Within

    def _hashes(self, digest: str) -> dict[str, str]:
        """Of its files. Raises ``UnknownDataset`` and ``ErasedDataset``."""
        with self._store.read() as session:
            found = session.get(DatasetRow, digest)
            if found is None:
                raise UnknownDataset(
                    f"There is no dataset {digest!r}. List them: `graftwork datasets list`."
                )
            if found.erased:
                raise ErasedDataset(digest, found.rebuilt_as)
            return dict(found.files)

    def _count(self, *, erased: bool = False) -> int:
        with self._store.read() as session:
            return ledger.count(session, erased=erased)

    def _selected(self, selection: Selection) -> tuple[list[Row], dict[str, int]]:
        """Rows, and how many are left out, by reason."""
        gold = self._gold.gold(selection.intents, selection.tenants, selection.since)
        self._check_size(len(gold))
        return learnable(gold)

    def _others(self, selection: Selection) -> list[Row]:
        """Gold of the intents that were not asked for."""
        gold = self._gold.gold(None, selection.tenants, None)
        rows, _ = learnable(e for e in gold if e.intent not in (selection.intents or ()))
        return rows

    def _check_size(self, rows: int) -> None:
        if rows > self._config.max_rows:
            raise TooMany(
                f"{rows} rows are more than flywheel.datasets.max_rows ({self._config.max_rows}): "
                "select fewer (intents, since)."
            )

    def _held_rows(self, intent: str | None = None) -> list[Row]:
        with self._store.read() as session:
            held = ledger.held(session, intent)
        by_dataset: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
        for each in held:
            by_dataset[each.dataset].add((each.intent, each.exchange_id, each.row))
        return [
            row
            for digest, wanted in sorted(by_dataset.items())
            for row in ledger.wanted_of(self.rows(digest, "test"), wanted)
        ]

    def _frozen(
        self,
        rows: list[Row],
        held: Sequence[Row],
        name: str,
        origin: str,
        selection: Mapping[str, Any],
    ) -> Dataset:
        checks = leaks.check(rows, held)
        if failing := leaks.failed(checks):
            raise Leak("; ".join(f"{each.name}: {each.detail}" for each in failing))
        about = card.about(rows, checks, origin, selection)
        dataset = _dataset(rows, name, about)
        there = self.find(dataset.digest)
        if there is not None and there.erased and origin == "import":
            raise ErasedDataset(there.digest, there.rebuilt_as)
        if there is None and self._count() >= self._config.max_datasets:
            raise TooMany(
                f"There are {self._config.max_datasets} datasets "
                "(flywheel.datasets.max_datasets): allow more."
            )
        answered = {(row.intent, input_digest(row.messages)) for row in held}
        tested = [
            row
            for row in rows
            if row.split == "test"
            and not row.replay
            # What a reviewer once settled is not overruled by a file that somebody brings.
            and (origin == "reviews" or (row.intent, input_digest(row.messages)) not in answered)
        ]
        made = self._put(dataset, rows, tested, origin == "reviews", there)
        self.kept = self._count()
        self._told(made.digest, FROZEN)
        return made

    def _put(
        self,
        dataset: Dataset,
        rows: Sequence[Row],
        tested: Sequence[Row],
        replaces: bool,
        there: Dataset | None,
    ) -> Dataset:
        """Files first, then the record: what is on record can be read."""
        content = files.content_of(
            rows, card.markdown(dataset.digest, dataset.name, dataset.about, dataset.splits)
        )
        if there is None or there.erased:
            self._write(dataset.digest, content)

        def work(session: Any) -> Dataset:
            made = ledger.record(session, dataset, files.hashes_of(content))
            ledger.add_subjects(session, dataset.digest, rows)
            ledger.hold_out(session, dataset.digest, tested, replaces=replaces)
            return made

        return self._store.write(work)

    def _write(self, digest: str, content: Mapping[str, bytes]) -> None:
        try:
            files.write(self._root, digest, content)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise NoRoom("There is no room for the dataset: free some of the disk.") from error
            raise

    def _rebuilt(self, digest: str, gone: set[str]) -> Rebuilt:
        rows = self._readable(digest)
        left = [row for row in rows if row.digest not in gone]
        old = self.find(digest)
        assert old is not None
        new: Dataset | None = None
        content: dict[str, bytes] = {}
        if left:
            checks = leaks.check(left, ())
            about = card.about(left, checks, old.about["origin"], old.about["selection"])
            new = replace(_dataset(left, old.name, about), rebuilt_from=digest, names=old.names)
            content = files.content_of(left, card.markdown(new.digest, new.name, about, new.splits))
            there = self.find(new.digest)
            if there is None or there.erased:
                self._write(new.digest, content)

        rebuilt_as = None if new is None else new.digest

        def work(session: Any) -> None:
            if new is not None:
                ledger.record(session, new, files.hashes_of(content))
                ledger.add_subjects(session, new.digest, left)
            ledger.erase(session, digest, gone, rebuilt_as)
            ledger.forget_erased(session, self._config.max_erased)

        self._store.write(work)
        files.remove(self._root, digest)
        return Rebuilt(digest, rebuilt_as, len(rows) - len(left))

    def _readable(self, digest: str) -> list[Row]:
        """Its rows; none of a damaged one, which goes as a whole: nobody knows what is in it."""
        try:
            return self.rows(digest)
        except DamagedDataset:
            _log.exception("dataset_damaged", extra={"digest": digest})
            return []

    def _sweep(self) -> None:
        def work(session: Any) -> None:
            query = select(DatasetRow.digest).where(DatasetRow.erased.is_(False))
            # As the one writer: another's directory may be about to be put on record.
            files.sweep(self._root, session.scalars(query).all())

        self._store.write(work)


def _dataset(rows: Sequence[Row], name: str, about: Mapping[str, Any]) -> Dataset:
    splits = Counter(row.split for row in rows)
    return Dataset(
        digest=dataset_digest(rows),
        name=name,
        created_at=time.time(),
        counts=counted(rows),
        splits={split: splits[split] for split in SPLITS},
        names=(name,),
        about=about,
    )
