import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import ManifestError
from adapters.format.base_model import BaseFacts
from adapters.format.files import parse_json_object
from adapters.format.manifest import (
    CONFIG_FILE,
    Golden,
    Manifest,
    canonical_config,
    complete_manifest,
    digest_directory,
    read_manifest,
    sign_manifest,
    write_manifest,
)
from tests.fakes.peft_dirs import good, tiny_base, write_good


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseFacts:
    """A tiny base, read from its files."""
    return tiny_base(tmp_path_factory.mktemp("base"))


def rewrite(directory: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change adapter_config.json."""
    path = directory / CONFIG_FILE
    path.write_text(json.dumps(change(json.loads(path.read_text())), indent=1))


def test_the_digest_is_the_documented_one(tmp_path: Path) -> None:
    """The digest can be computed from the docstring alone; it is a promise to other programs."""
    (tmp_path / "adapter_config.json").write_text('{"r": 4, "inference_mode": true}')
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    (tmp_path / "README.md").write_text("not content")
    expected = hashlib.sha256(
        b"graftwork-adapter-v1\n"
        b'adapter_config.json\x007\x00{"r":4}'
        b"adapter_model.safetensors\x007\x00weights"
    )
    assert digest_directory(tmp_path) == expected.hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        lambda config: dict(reversed(config.items())),
        lambda config: {**config, "base_model_name_or_path": "/another/machine"},
        lambda config: {**config, "peft_version": "0.22.0", "inference_mode": False},
        lambda config: {**config, "target_modules": config["target_modules"][::-1]},
    ],
    ids=["key-order", "places", "versions", "set-order"],
)
def test_what_does_not_change_behaviour_does_not_change_the_digest(
    tmp_path: Path, base: BaseFacts, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """The same adapter saved twice, on two machines, is one version."""
    directory = write_good(tmp_path / "a", base)
    digest = digest_directory(directory)
    rewrite(directory, change)
    assert digest_directory(directory) == digest


@pytest.mark.parametrize(
    "change",
    [
        lambda config: {**config, "lora_alpha": 9},
        lambda config: {**config, "use_rslora": True},
        lambda config: {**config, "target_modules": ["q_proj"]},
        lambda config: {**config, "rank_pattern": {"q_proj": 2}},
    ],
)
def test_what_changes_behaviour_changes_the_digest(
    tmp_path: Path, base: BaseFacts, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """Scale, targets and ranks are part of the content."""
    directory = write_good(tmp_path / "a", base)
    digest = digest_directory(directory)
    rewrite(directory, change)
    assert digest_directory(directory) != digest


def test_the_order_of_patterns_is_content() -> None:
    """The first pattern that matches wins, so two orders are two adapters."""
    one = canonical_config({"rank_pattern": {"q_proj": 2, "layers.0.q_proj": 4}})
    two = canonical_config({"rank_pattern": {"layers.0.q_proj": 4, "q_proj": 2}})
    assert one != two


def test_weights_and_templates_are_content_and_cards_are_not(
    tmp_path: Path, base: BaseFacts
) -> None:
    """A new card or manifest is the same version; new weights or templates are not."""
    directory = write_good(tmp_path / "a", base)
    digest = digest_directory(directory)
    for name in ("README.md", "_SUCCESS", "graftwork.json", "trainer_state.json"):
        (directory / name).write_text("{}")
    assert digest_directory(directory) == digest
    (directory / "chat_template.jinja").write_text("{{ messages }}")
    assert digest_directory(directory) != digest
    assert digest_directory(write_good(tmp_path / "b", base, seed=2)) != digest


def test_one_directory_cannot_pose_as_another(tmp_path: Path) -> None:
    """Names and lengths are hashed too, so bytes cannot move from one file to the next."""
    digests = set()
    for index, (one, two) in enumerate([(b"ab", b"c"), (b"a", b"bc")]):
        directory = tmp_path / str(index)
        directory.mkdir()
        (directory / CONFIG_FILE).write_text("{}")
        (directory / "adapter_model.safetensors").write_bytes(one)
        (directory / "merges.txt").write_bytes(two)
        digests.add(digest_directory(directory))
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("config", "code"),
    [
        (None, "files-missing"),
        ("{", "config-unreadable"),
        ("[]", "config-unreadable"),
        ('{"r":1,"r":2}', "config-unreadable"),
        ('{"a":1e999}', "config-unreadable"),
    ],
)
def test_a_directory_without_a_readable_configuration_has_no_digest(
    tmp_path: Path, config: str | None, code: str
) -> None:
    """Missing or ambiguous configurations are typed errors."""
    (tmp_path / "adapter_model.safetensors").write_bytes(b"x")
    if config is not None:
        (tmp_path / CONFIG_FILE).write_text(config)
    with pytest.raises(ManifestError) as refused:
        digest_directory(tmp_path)
    assert refused.value.code == code


def test_links_are_not_content(tmp_path: Path, base: BaseFacts) -> None:
    """A linked weights file is as good as missing: its target can change."""
    directory = write_good(tmp_path / "a", base)
    weights = directory / "adapter_model.safetensors"
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ManifestError):
        digest_directory(directory)


def test_a_manifest_survives_its_file(tmp_path: Path) -> None:
    """Everything that is written is read back the same."""
    manifest = Manifest(
        alias="returns",
        digest="a" * 64,
        base_digest="b" * 64,
        rank=8,
        target_modules=("q_proj",),
        intents=("returns", "refund"),
        evaluation={"accuracy": 0.93, "n": 200, "slices": {"de": [1, 2]}},
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
        golden=(Golden(prompt="hi", logprobs=(-0.5, -1.25), tolerance=0.05),),
    )
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest


def test_no_manifest_is_none(tmp_path: Path) -> None:
    """A plain PEFT directory needs no manifest."""
    assert read_manifest(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"colour": "red"}',
        '{"schema_version": 2}',
        '{"digest": "abc"}',
        '{"rank": 0}',
        '{"rank": 4, "rank": 8}',
        '{"created_at": "2026-01-01T00:00:00"}',
        '{"golden": [{"prompt": "x", "logprobs": [NaN], "tolerance": 1}]}',
        '{"golden": [{"prompt": "x", "logprobs": [], "tolerance": 0}]}',
    ],
)
def test_a_malformed_manifest_is_a_typed_error(tmp_path: Path, text: str) -> None:
    """Unknown fields, ambiguous keys and impossible values are refused, and the field is named."""
    (tmp_path / "graftwork.json").write_text(text)
    with pytest.raises(ManifestError):
        read_manifest(tmp_path)


def test_completing_keeps_what_the_author_said(tmp_path: Path, base: BaseFacts) -> None:
    """The server fills in only what is missing, and the digest is the content's."""
    adapter = good(base, rank_pattern={"model.layers.0.self_attn.q_proj": 8})
    adapter.manifest = Manifest(author="sme", intents=("returns",))
    directory = adapter.write(tmp_path / "a")
    done = complete_manifest(directory, "returns", base_digest=base.digest, author="pusher")
    assert (done.author, done.intents, done.alias) == ("sme", ("returns",), "returns")
    assert (done.rank, done.target_modules) == (8, ("q_proj", "v_proj"))
    assert (done.digest, done.base_digest) == (digest_directory(directory), base.digest)


def test_a_signature_vouches_for_something(tmp_path: Path) -> None:
    """Alias and digest must be stated before anybody signs."""
    with pytest.raises(ManifestError, match="alias and digest"):
        sign_manifest(Manifest(), b"")


def test_a_hostile_object_with_one_key_twice_is_refused_at_once() -> None:
    """Among so many others: counting each of them would take hours."""
    keys = [f'"{number}":0' for number in range(200_000)]
    text = "{" + ",".join([*keys, keys[-1]]) + "}"
    with pytest.raises(ValueError, match="repeats the key '199999'"):
        parse_json_object(text.encode())


@pytest.mark.parametrize(
    "more",
    [
        {"intents": [f"intent-{number}" for number in range(257)]},
        {"intents": ["x" * 129]},
        {"golden": [{"prompt": "a", "logprobs": [-1.0], "tolerance": 0.1}] * 65},
        {"golden": [{"prompt": "a" * 8193, "logprobs": [-1.0], "tolerance": 0.1}]},
    ],
    ids=["many intents", "a long intent", "many golden prompts", "a long golden prompt"],
)
def test_what_others_have_to_hold_or_to_compute_is_bounded(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    """Routers hold intents, and engines run golden prompts beside what they serve (law 9)."""
    (tmp_path / "graftwork.json").write_text(json.dumps(more))
    with pytest.raises(ManifestError, match=r"graftwork\.json: (intents|golden)"):
        read_manifest(tmp_path)
