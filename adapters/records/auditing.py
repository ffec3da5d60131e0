"""What an auditor may ask of a log: its records, its checkpoints, proofs. Blocks: for a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from adapters.records import checkpoints, merkle
from adapters.records.checkpoints import Checkpoint, Leaves
from adapters.records.holds import Holds
from adapters.records.line import Kind, Record
from adapters.records.problems import Problem, Verification
from adapters.records.reader import RecordCursor, RecordFilter, RecordReader
from adapters.records.subjects import Subjects
from adapters.records.tree import Incomplete
from adapters.records.verify import Reference, verify
from adapters.records.writer import RecordLog

KINDS = (Kind.BEGIN, Kind.END, Kind.ADMIN, Kind.POLICY, Kind.ERASURE, Kind.CHECKPOINT)
"""Of the records of this log."""


class NoProof(Exception):
    """What is asked cannot be proved; the message says why."""


@dataclass(frozen=True)
class Proof:
    """That a record is a leaf of the tree whose root a checkpoint signed (RFC 6962)."""

    leaf_hash: str
    leaf_index: int
    tree_size: int
    path: Sequence[str]
    root: str
    checkpoint: dict[str, Any]


class Audit:
    """One log's directory, of which this process is a writer."""

    def __init__(self, log: RecordLog) -> None:
        self._log = log
        self._sealer = log.sealer
        self._reader = RecordReader(log.layout, lambda: log.current)
        self._verifying = threading.Lock()
        self.holds = Holds(log.layout)

    def records(
        self,
        kinds: Sequence[Kind],
        subject: str | None,
        since_s: float,
        after: RecordCursor | None,
        limit: int,
    ) -> list[Record]:
        """The oldest that fit. Raises ``OSError``.

        ``subject``: the name that clients gave.
        """
        name = None if subject is None else Subjects(self._log.layout.root).hash(subject)
        wanted = RecordFilter(kinds, name, since_s, after)
        found = islice(self._reader.oldest(wanted), limit)
        return [each.record for _, each in found]

    @property
    def directory(self) -> Path:
        """Where the log is."""
        return self._log.layout.root

    @property
    def name(self) -> str:
        """What tells this log's directory from that of another machine; nobody learns from it."""
        return Subjects(self._log.layout.root).hash("")

    def checkpoint(self) -> Checkpoint:
        """Over all that is on disk now. Raises ``OSError``, ``BadKey``, ``Incomplete``."""
        return self._sealer.signed()

    def keys(self) -> list[dict[str, Any]]:
        """Every key that signed, the one that signs last. Raises ``OSError``, ``BadKey``."""
        found = self._sealer.signer.public_keys()
        current = self._sealer.signer.sign({})["key_id"]
        return [
            {
                **asdict(key),
                "algorithm": "Ed25519",
                "pem": key.pem(),
                "current": key.key_id == current,
            }
            for key in found
        ]

    def verify(self, checkpoint: Checkpoint | None = None) -> Verification:
        """All of it, one at a time. Raises ``Unreadable``."""
        with self._verifying:
            return verify(self._log.layout.root, Reference(checkpoint))

    def check_certificate(self, certificate: dict[str, Any]) -> list[Problem]:
        """Whether an erasure's certificate is one of this log's. Raises ``OSError``, ``BadKey``."""
        keys = {key.key_id: key for key in self._sealer.signer.public_keys()}
        key = keys.get(str(certificate.get("key_id")))
        identity = str(certificate.get("id"))
        if key is None:
            detail = f"{certificate.get('key_id')} is none of this log's keys"
            return [Problem("", None, "keys.json", "replaced", detail)]
        if not key.vouches(certificate):
            detail = f"the certificate {identity} is not what its signature says"
            return [Problem("", None, "certificate", "altered", detail)]
        for _, found in self._reader.oldest(RecordFilter([Kind.ERASURE])):
            if found.record.get("erasure") == identity:
                return []
        return [Problem("", None, "certificate", "removed", f"no record names erasure {identity}")]

    def proof(self, sequence: int, writer: str | None) -> Proof:
        """Of one record; ``writer`` may be left out where only one has this sequence.

        Raises ``NoProof``, ``OSError``, ``BadKey``, ``Incomplete``.
        """
        newest = self.checkpoint()
        spans = [
            each
            for _, added in self._order()
            for each in added
            if each.first <= sequence <= each.last and writer in (None, each.writer)
        ]
        if len({each.writer for each in spans}) > 1:
            names = sorted({each.writer for each in spans})
            raise NoProof(f"{len(names)} writers have a record {sequence}: name one of {names}")
        if not spans:
            raise NoProof(f"there is no record {sequence} of {writer or 'any writer'}")
        index = spans[0].begin + sequence - spans[0].first
        try:
            [leaf] = self._sealer.tree.leaves(index, index + 1)
            path = merkle.inclusion_path(index, newest.tree_size, self._sealer.tree.subtree)
        except Incomplete as error:
            raise NoProof(f"retention removed record {sequence}: {error}") from error
        return Proof(
            leaf.hex(),
            index,
            newest.tree_size,
            _hex(path),
            newest.root,
            dict(newest.document),
        )

    def consistency(self, first: int, second: int | None) -> dict[str, Any]:
        """That the tree of one size goes on in that of another; default: the newest.

        Raises ``NoProof``, ``OSError``, ``BadKey``.
        """
        newest = self.checkpoint()
        size = newest.tree_size if second is None else second
        if not 0 <= first <= size <= newest.tree_size:
            raise NoProof(f"sizes go from 0 to {newest.tree_size}, the smaller one first")
        subtree = self._sealer.tree.subtree
        try:
            path = merkle.consistency_path(first, size, subtree)
            roots = [merkle.frontier_of(each, subtree).root().hex() for each in (first, size)]
        except Incomplete as error:
            raise NoProof(f"retention removed what the proof is made of: {error}") from error
        return {
            "from": first,
            "to": size,
            "from_root": roots[0],
            "to_root": roots[1],
            "path": _hex(path),
            "checkpoint": dict(newest.document),
        }

    def _order(self) -> Iterable[tuple[Checkpoint, list[Leaves]]]:
        lines = [line for _, line in checkpoints.read(self._log.layout).lines]
        return checkpoints.order(lines)


def _hex(nodes: Iterable[bytes]) -> list[str]:
    return [node.hex() for node in nodes]
