"""What vLLM's LoRA kernels are shown: what was measured for this engine, or nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.format.base_model import read_base
from adapters.format.safetensors import read_header
from serving.cli.main import app
from serving.config.settings import Settings
from serving.embedded import BASE_DIR, BASE_MODEL_ID
from serving.engine.kernels import choice, files
from serving.engine.kernels.files import EXPAND, SHRINK, Wanted, lay_out, put
from serving.engine.kernels.shapes import Shape, shapes
from serving.engine.warm import idle_adapter

QWEN = {
    f"model.layers.{layer}.{name}": size
    for layer in range(2)
    for name, size in {
        "self_attn.q_proj": (3584, 3584),
        "self_attn.k_proj": (512, 3584),
        "self_attn.v_proj": (512, 3584),
        "self_attn.o_proj": (3584, 3584),
        "mlp.gate_proj": (18944, 3584),
        "mlp.up_proj": (18944, 3584),
        "mlp.down_proj": (3584, 18944),
    }.items()
}
CARD = "NVIDIA H100 80GB HBM3"
WANTED = Wanted(CARD, 8, 16, (Shape(1, 64, 64), Shape(3, 64, 32)))
SETTING: files.Setting = {"block_m": 16, "block_n": 16, "block_k": 64, "split_k": 8}


def write_for(wanted: Wanted, folder: Path, shapes_there: tuple[Shape, ...] | None = None) -> None:
    """Settings for these shapes, as `graftwork tune` writes them."""
    for kernel in (SHRINK, EXPAND):
        table: files.Table = {}
        for shape in wanted.shapes if shapes_there is None else shapes_there:
            put(table, wanted.keys(kernel, shape), 64, SETTING)
        files.write(folder / wanted.file(kernel), table)


def test_linears_that_vllm_serves_as_one_are_slices_of_one() -> None:
    """Qwen2.5-7B's, whole and on four GPUs."""
    assert shapes(QWEN) == [
        Shape(1, 3584, 3584),
        Shape(1, 18944, 3584),
        Shape(2, 3584, 18944),
        Shape(3, 3584, 3584),
    ]
    assert shapes(QWEN, tensor_parallel=4) == [
        Shape(1, 896, 3584),
        Shape(1, 4736, 3584),
        Shape(2, 3584, 4736),
        Shape(3, 3584, 896),
    ]


def test_the_file_has_the_name_and_the_keys_that_vllm_looks_for(tmp_path: Path) -> None:
    """``[adapters + 1][slices][tokens][k][n]``, k and n swapped between the two kernels."""
    write_for(WANTED, tmp_path)
    shrink = json.loads((tmp_path / "NVIDIA_H100_80GB_HBM3_SHRINK.json").read_text())
    assert shrink["9"]["3"]["64"]["64"]["16"] == SETTING
    expand = json.loads((tmp_path / "NVIDIA_H100_80GB_HBM3_EXPAND_TRUE.json").read_text())
    assert expand["9"]["3"]["64"]["16"]["32"] == SETTING


def test_only_what_fits_exactly_is_shown(tmp_path: Path) -> None:
    """vLLM takes the nearest, however far, and dies where a number of slices is missing."""
    measured, into = tmp_path / "measured", tmp_path / "engine"
    other = Wanted(CARD, 8, 16, (*WANTED.shapes, Shape(1, 999, 9)))
    write_for(other, measured)
    assert lay_out(WANTED, measured, into) == into
    shown = json.loads((into / WANTED.file(SHRINK)).read_text())
    assert "999" not in json.dumps(shown)


@pytest.mark.parametrize(
    "engine",
    [
        Wanted("NVIDIA A100", 8, 16, WANTED.shapes),
        Wanted(CARD, 4, 16, WANTED.shapes),
        Wanted(CARD, 8, 64, WANTED.shapes),
        Wanted(CARD, 8, 16, (*WANTED.shapes, Shape(2, 64, 64))),
    ],
    ids=["card", "adapters", "rank", "shape"],
)
def test_another_engine_is_shown_nothing(tmp_path: Path, engine: Wanted) -> None:
    """Of another card, slots, rank, or with a matrix that nobody measured."""
    write_for(WANTED, tmp_path / "measured")
    assert lay_out(engine, tmp_path / "measured", tmp_path / "engine") is None
    assert not (tmp_path / "engine").exists()


def test_measuring_again_keeps_what_is_known_of_other_shapes() -> None:
    """Two models on one card share its file."""
    keys = [WANTED.keys(SHRINK, shape) for shape in WANTED.shapes]
    old: files.Table = {}
    put(old, keys[0], 64, SETTING)
    put(old, keys[1], 64, SETTING)
    new: files.Table = {}
    put(new, keys[0], 64, {**SETTING, "split_k": 4})
    both = files.merged(old, new)
    assert files.settings(both, keys[0])[64]["split_k"] == 4
    assert files.settings(both, keys[1])[64]["split_k"] == 8


def test_the_operators_own_folder_goes_before(tmp_path: Path) -> None:
    """Who set vLLM's variable wants that."""
    settings = Settings(state_dir=tmp_path)
    base = read_base(BASE_DIR, BASE_MODEL_ID)
    write_for(choice.wanted(settings, base, CARD), choice.measured(settings))
    environment = {files.ENVIRONMENT: "/mine"}
    assert choice.choose(settings, base, CARD, environment) == Path("/mine")
    environment = {}
    folder = choice.choose(settings, base, CARD, environment)
    assert environment == {files.ENVIRONMENT: str(folder)}


def test_a_broken_file_is_told(tmp_path: Path) -> None:
    """The engine then starts with vLLM's own settings, and says so."""
    (tmp_path / WANTED.file(SHRINK)).write_text("[]")
    with pytest.raises(ValueError, match="no table of kernel settings"):
        lay_out(WANTED, tmp_path, tmp_path / "engine")


def test_caches_are_kept_below_the_state(tmp_path: Path) -> None:
    """And where the operator wants them."""
    environment = {"TRITON_CACHE_DIR": "/mine"}
    choice.keep_caches(Settings(state_dir=tmp_path), environment)
    assert environment == {
        "TRITON_CACHE_DIR": "/mine",
        "VLLM_CACHE_ROOT": str(tmp_path / "compiled" / "vllm"),
    }


def test_the_idle_adapter_fits_the_base(tmp_path: Path) -> None:
    """Of zeros, on one of its linears."""
    base = read_base(BASE_DIR, BASE_MODEL_ID)
    found = read_header(idle_adapter(base, tmp_path) / "adapter_model.safetensors")
    assert len(found.tensors) == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # vLLM's imports
def test_without_a_gpu_there_is_nothing_to_tune() -> None:
    """It says so, and fails."""
    done = CliRunner().invoke(app, ["tune"])
    assert (done.exit_code, "no CUDA GPU" in done.stderr) == (1, True)
