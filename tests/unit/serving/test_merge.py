"""A merged export is a plain model that computes what the base with the adapter computes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from serving.embedded import ADAPTERS_DIR, BASE_DIR
from serving.merge import CannotMerge, merge
from tests.fakes.tiny_adapter import tiny_adapter

# In a process of its own: importing torch and transformers costs memory and warnings.
COMPARE = """
import sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from pathlib import Path
from serving.merge import merge
base, adapter, target = map(Path, sys.argv[1:])
merge(base, adapter, target)
tokens = AutoTokenizer.from_pretrained(target)("How do I return a lamp?", return_tensors="pt")
def logits(model):
    with torch.inference_mode():
        return model.eval().float()(**tokens).logits
plain = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
alone = logits(plain)
both = logits(PeftModel.from_pretrained(plain, adapter))
merged = logits(AutoModelForCausalLM.from_pretrained(target, dtype="auto"))
print((merged - both).abs().max().item(), (merged - alone).abs().max().item())
"""


@pytest.mark.timeout(300)
def test_a_merged_model_computes_the_same(tmp_path: Path) -> None:
    """transformers loads it without peft; its logits are the adapter's, not the base's."""
    target = tmp_path / "merged"
    command = [sys.executable, "-c", COMPARE, BASE_DIR, ADAPTERS_DIR / "returns", target]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    error, effect = map(float, done.stdout.split()[-2:])
    assert effect > 1.0
    assert error < 0.02 * effect
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        path.name for path in target.iterdir()
    }
    assert not [path for path in tmp_path.iterdir() if path != target], "nothing half-done is left"


def test_another_base_is_refused(tmp_path: Path) -> None:
    """The manifest says what the adapter was trained on."""
    adapter = tiny_adapter(tmp_path / "adapter", manifest={"base_digest": "c" * 64})
    with pytest.raises(CannotMerge, match="made for a base with digest cccccccccccc"):
        merge(BASE_DIR, adapter, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A directory that is there is somebody's."""
    adapter = tiny_adapter(tmp_path / "adapter")
    (tmp_path / "merged").mkdir()
    with pytest.raises(CannotMerge, match="is there already"):
        merge(BASE_DIR, adapter, tmp_path / "merged")


def test_a_base_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """One line, not a stack trace."""
    adapter = tiny_adapter(tmp_path / "adapter")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text(json.dumps({}))
    with pytest.raises(CannotMerge):
        merge(tmp_path / "base", adapter, tmp_path / "merged")
