"""What a gate writes into a manifest: its shape, and its way to the routers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.aliases import RoutingTable
from adapters.evaluation import EXAMPLE, GateResult, Tally, gate_result
from adapters.format.base_model import BaseFacts
from adapters.format.files import parse_json_object
from adapters.format.manifest import Manifest
from adapters.format.preflight import preflight
from adapters.publish.table import build_table
from adapters.registry import Plan, Registry
from adapters.registry.lifecycle import State
from tests.fakes.peft_dirs import good, tiny_base

A, B, C = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseFacts:
    """The served base."""
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A fresh registry."""
    opened = Registry.open(f"sqlite:///{tmp_path / 'registry.db'}")
    opened.claim()
    yield opened
    opened.close()


def test_the_documented_shape() -> None:
    """Counts per intent and over all; whatever else was measured is left alone."""
    told = {
        "passed": True,
        "good": 371,
        "judged": 400,
        "p_value": 0.01,
        "intents": {"returns": {"good": 182, "judged": 200, "judge": "sme"}},
    }
    found = gate_result({"gate": told, "accuracy": 0.93})
    assert found is not None
    assert found.overall == Tally(good=371, judged=400)
    assert found.intents == {"returns": Tally(good=182, judged=200)}
    assert gate_result({"gate": parse_json_object(EXAMPLE.encode())}) is not None


@pytest.mark.parametrize("evaluation", [{}, {"accuracy": 0.9}, {"gate": None}])
def test_no_gate_is_none(evaluation: dict[str, Any]) -> None:
    """Manifests from before there were gates stay as they are."""
    assert gate_result(evaluation) is None


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ("passed", "evaluation.gate"),
        ({}, "evaluation.gate.passed"),
        ({"passed": "yes"}, "evaluation.gate.passed"),
        ({"passed": True, "good": 1}, "evaluation.gate"),
        ({"passed": True, "good": 3, "judged": 2}, "evaluation.gate"),
        ({"passed": True, "good": "1", "judged": 2}, "evaluation.gate.good"),
        ({"passed": True, "good": True, "judged": 2}, "evaluation.gate.good"),
        ({"passed": True, "good": -1, "judged": 2}, "evaluation.gate.good"),
        ({"passed": True, "good": 0, "judged": 0}, "evaluation.gate.judged"),
        ({"passed": True, "intents": {"x": {"good": 1}}}, "evaluation.gate.intents.x.judged"),
        ({"passed": True, "intents": {"": {"good": 1, "judged": 1}}}, "evaluation.gate.intents"),
        (
            {"passed": True, "intents": {f"i{n}": {"good": 1, "judged": 1} for n in range(257)}},
            "evaluation.gate.intents",
        ),
    ],
)
def test_a_malformed_result_is_refused_before_the_engine(
    tmp_path: Path, base: BaseFacts, told: Any, field: str
) -> None:
    """By name, with the field, and with what would be right; nothing else is wrong with it."""
    adapter = good(base)
    adapter.manifest = Manifest(evaluation={"gate": told})
    report = preflight(adapter.write(tmp_path / "a"), base)
    failures = [check for check in report.checks if not check.ok]
    assert [check.name for check in failures] == ["manifest-gate"]
    assert field in str(failures[0].found)
    assert "judged" in str(failures[0].expected)


def test_each_version_takes_its_result_to_the_routers(registry: Registry) -> None:
    """Live, candidate, and one without; over the wire as well."""
    results = {
        A: {"gate": {"passed": True, "good": 90, "judged": 100}},
        B: {"gate": {"passed": False, "intents": {"returns": {"good": 1, "judged": 9}}}},
        C: {"accuracy": 0.9},
    }
    for digest, evaluation in results.items():
        registry.receive("returns", digest, plan=Plan(), by="test")
        registry.move("returns", digest, State.CHECKED, by="test")
        manifest = Manifest(evaluation=evaluation).model_dump(mode="json")
        registry.move("returns", digest, State.STORED, by="test", manifest=manifest)
        for state in (State.PREPARING, State.PREPARED):
            registry.move("returns", digest, state, by="test")
    registry.commit("returns", C, by="test")
    registry.commit("returns", A, by="test")
    registry.set_candidate("returns", B, "canary", 5, by="test")
    table = build_table(registry.snapshot(), revision=1, base_id="tiny")
    table = RoutingTable.model_validate_json(table.model_dump_json())
    assert table.aliases["returns"].gates == {
        A: GateResult(passed=True, good=90, judged=100),
        B: GateResult(passed=False, intents={"returns": Tally(good=1, judged=9)}),
    }
    assert set(table.aliases["returns"].versions) == {A, B, C}
