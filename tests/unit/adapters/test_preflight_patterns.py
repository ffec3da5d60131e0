"""Own ranks of modules: plain names mean what PEFT takes them for, at any size and however busy."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.format.preflight import preflight
from adapters.format.preflight.modules import MAX_PATTERNS, ModuleValues
from tests.fakes.tiny_adapter import tiny_adapter

PARTS = st.sampled_from(["a", "b", "ab", "a-b", "q_proj", "1", "11", "."])
NAMES = st.lists(PARTS, min_size=1, max_size=6).map("".join)


@given(key=NAMES, module=NAMES)
def test_a_plain_key_means_what_peft_takes_it_for(key: str, module: str) -> None:
    """PEFT and vLLM read every key as an expression; its dots stand for any character."""
    expected = 4 if re.match(rf"(.*\.)?({key})$", module) else None
    assert ModuleValues({key: 4}).value(module) == expected


def test_a_rank_for_each_module_of_a_large_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """As EVA writes them. Where an expression would be up with its time, names are not."""
    kinds = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    modules = [f"model.layers.{layer}.{kind}" for layer in range(71) for kind in kinds]
    monkeypatch.setattr("adapters.format.preflight.modules._MATCH_SECONDS", -1.0)
    values = ModuleValues({module: number for number, module in enumerate(modules)})
    assert [values.value(module) for module in modules] == list(range(len(modules)))
    with pytest.raises(ValueError, match="too long"):
        ModuleValues({r"layers\.\d": 1}).value(modules[0])


def test_more_patterns_than_the_engine_keeps_compiled(tmp_path: Path) -> None:
    """It would compile each anew for each module, in its only loop: 4 s with 560."""
    path = tiny_adapter(tmp_path / "many")
    file = path / "adapter_config.json"
    config = json.loads(file.read_text())
    said = ""
    for number, expected in ((MAX_PATTERNS, True), (MAX_PATTERNS + 1, False)):
        names = {f"layers.{each}.none": 4 for each in range(number)}
        file.write_text(json.dumps({**config, "rank_pattern": names}))
        [found] = [c for c in preflight(path, None).checks if c.name == "rank-pattern"]
        assert found.ok is expected, found
        said = found.found
    assert str(MAX_PATTERNS) in said
