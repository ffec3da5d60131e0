"""What a version was made of, as it is shown: written down when it was packaged, read anew now."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.aliases import engine_name
from adapters.dataset.frozen import Row
from adapters.distill.lineage import Lineage, Origin
from adapters.distill.ports import GateReports, NothingToTrain, TrainingData
from adapters.records.line import with_iso
from adapters.registry import Registry, VersionRecord

_FEWEST = 12
"""Digits that name a dataset; a manifest may say anything."""
GATE_FILE = "gate.json"
LINEAGE_FILE = "lineage.json"


class Origins:
    """Answers what versions were made of. Methods block."""

    def __init__(
        self, registry: Registry, lineage: Lineage, data: TrainingData, gates: GateReports
    ) -> None:
        self._registry = registry
        self._lineage = lineage
        self._data = data
        self._gates = gates

    def of(self, alias: str, reference: str | None = None) -> dict[str, Any]:
        """A version's; without ``reference`` the live one's, else the newest one's.

        Raises ``UnknownAlias``, ``UnknownVersion``.
        """
        return self.shown(self._version(alias, reference))

    def reports(self, alias: str, digest: str) -> dict[str, bytes]:
        """What goes into an export beside the files: lineage and gate report."""
        shown = self.of(alias, digest)
        gate = self._gates.report(alias, digest)
        # The rows' texts stay here, and so do the ids of exchanges.
        shown["rows"] = [row["row"] for row in shown["rows"]]
        found = {LINEAGE_FILE: shown, GATE_FILE: None if gate is None else dict(gate)}
        return {
            name: json.dumps(content, indent=2, sort_keys=True, default=str).encode() + b"\n"
            for name, content in found.items()
            if content is not None
        }

    def shown(self, version: VersionRecord) -> dict[str, Any]:
        """As the contract has it, and more."""
        manifest = version.manifest
        origin = self._lineage.of(version.alias, version.digest)
        dataset = origin.dataset if origin else manifest.get("training_dataset")
        rows, erased = self._rows(dataset)
        parents = origin.parents if origin else tuple(filter(None, [manifest.get("parent")]))
        gate = self._gates.summary(version.alias, version.digest)
        return {
            "version": version.name,
            "alias": version.alias,
            "digest": version.digest,
            "state": version.state.value,
            "author": version.author,
            "base": manifest.get("base_model") or (origin.base if origin else None),
            "base_digest": version.base or None,
            "intents": list(manifest.get("intents") or ()),
            "distillation": origin.distillation if origin else None,
            "settings": dict(origin.settings) if origin else {},
            "dataset": dataset,
            "erased": erased,
            "splits": dict(origin.splits) if origin else dict(Counter(r.split for r in rows)),
            "rows": [_row(row) for row in rows],
            "reviewers": sorted(_reviewers(origin, rows)),
            "teacher": _teacher(origin, rows),
            "teachers": dict(origin.teachers) if origin else _teachers(rows),
            "gate": None if gate is None else with_iso(gate, "at"),
            "parents": [engine_name(version.alias, digest) for digest in parents],
        }

    def _version(self, alias: str, reference: str | None) -> VersionRecord:
        row = self._registry.alias(alias)
        reference = reference or row.live
        if reference is not None:
            return self._registry.version(alias, reference)
        return self._registry.versions(alias)[-1]

    def _rows(self, dataset: str | None) -> tuple[Sequence[Row], bool]:
        """The dataset's, and whether they were erased."""
        found = self._data.known(dataset) if dataset and len(dataset) >= _FEWEST else None
        if found is None:
            return (), False
        try:
            return self._data.rows(found.digest), False
        except NothingToTrain:
            return (), True


def _row(row: Row) -> dict[str, Any]:
    return {
        "row": row.digest,
        "exchange": row.exchange_id,
        "split": row.split,
        "intent": row.intent,
        "provenance": row.provenance,
        "reviewers": list(row.reviewers),
        "teacher": row.teacher or None,
    }


def _reviewers(origin: Origin | None, rows: Sequence[Row]) -> set[str]:
    return set(origin.reviewers) if origin else {name for row in rows for name in row.reviewers}


def _teachers(rows: Sequence[Row]) -> dict[str, int]:
    return dict(Counter(row.teacher for row in rows if row.teacher))


def _teacher(origin: Origin | None, rows: Sequence[Row]) -> str | None:
    teachers: Mapping[str, int] = origin.teachers if origin else _teachers(rows)
    return max(teachers, key=lambda name: teachers[name], default=None)
