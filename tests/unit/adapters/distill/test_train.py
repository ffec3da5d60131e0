"""The arithmetic of a step, on a base of some thousand weights, in a process that may import torch.

One process does it all: importing torch costs seconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.tiny_base import tiny_base

SCRIPT = Path(__file__).with_name("train_script.py")
ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script computed."""
    base = tiny_base(tmp_path_factory.mktemp("train") / "base")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(base)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": ""},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_packed_examples_do_not_see_each_other(found: dict[str, Any]) -> None:
    """The loss and the gradient of a packed row are those of its examples one by one."""
    assert found["packed"] == pytest.approx(found["alone"], rel=1e-5)
    assert found["packed_weights_apart"] < 1e-5
    assert found["neighbour_matters_without_mask"] > 1e-3, "the test could not fail otherwise"


def test_padding_changes_nothing(found: dict[str, Any]) -> None:
    """Rows of a padded batch have the losses that they have alone."""
    assert found["padded"] == pytest.approx(found["alone"], rel=1e-5)


def test_only_answers_are_trained(found: dict[str, Any]) -> None:
    """The loss is transformers' own with every prompt token's label masked."""
    assert found["alone"] == pytest.approx(found["transformers"], rel=1e-5)


def test_accumulated_batches_are_one_large_one(found: dict[str, Any]) -> None:
    """The mean is over tokens, not over batches of unequal size."""
    assert found["accumulated_weights_apart"] < 1e-5


def test_logits_are_those_of_the_whole_model(found: dict[str, Any]) -> None:
    """Decoder and head alone are used only where they are the model."""
    assert found["shortcut"] is True
    assert found["shortcut_of_a_scaling_model"] is False


def test_a_teacher_moves_the_student_towards_its_distribution(found: dict[str, Any]) -> None:
    """With equal answers, the second choice of the teacher becomes likelier with it than without;
    the distance of a distribution from itself is nothing.
    """
    assert found["second_choice_with"] > 2 * found["second_choice_without"]
    assert abs(found["distance_from_itself"]) < 1e-4


def test_an_adapter_to_go_on_from(found: dict[str, Any]) -> None:
    """A successor begins with its parent's weights."""
    assert found["parent_apart"] < 1e-6
    assert found["anew_apart"] > 1e-2


def test_a_base_in_bfloat16_learns_the_same(found: dict[str, Any]) -> None:
    """Rounding moves the loss little, and the LoRA, kept in float32, learns."""
    assert found["in_bfloat16"] == pytest.approx(found["alone"], rel=0.03)
    assert found["in_bfloat16_trained"] < found["in_bfloat16"] / 2
