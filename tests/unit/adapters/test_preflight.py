import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.errors import RejectedError
from adapters.format.base_model import BaseFacts, read_base
from adapters.format.manifest import (
    WEIGHTS_FILE,
    Manifest,
    complete_manifest,
    digest_directory,
    sign_manifest,
    write_manifest,
)
from adapters.format.preflight import CHECK_NAMES, PreflightLimits, Report, preflight
from tests.fakes import peft_dirs
from tests.fakes.peft_dirs import BAD_KINDS, good, write_bad, write_good

EMBEDDED = Path(__file__).parents[3] / "serving" / "embedded"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseFacts:
    """A tiny base, read from its files."""
    return peft_dirs.tiny_base(tmp_path_factory.mktemp("base"))


def failures(report: Report) -> dict[str, str]:
    """The failed checks by name, readable when an assertion shows them."""
    return {check.name: f"{check.found} / {check.expected}" for check in report.failed}


def test_a_good_adapter_passes_every_check(tmp_path: Path, base: BaseFacts) -> None:
    """A valid directory passes, and against a base no check but the manifest's is left out."""
    report = preflight(write_good(tmp_path / "good", base), base, alias="returns")
    assert failures(report) == {}
    assert report.ok
    skipped = {check.name for check in report.checks if check.skipped}
    assert skipped == {
        "manifest-digest",
        "manifest-alias",
        "manifest-facts",
        "manifest-gate",
    }


@pytest.mark.parametrize("kind", BAD_KINDS)
def test_a_bad_adapter_is_refused_by_the_check_that_names_it(
    tmp_path: Path, base: BaseFacts, kind: str
) -> None:
    """Each kind of bad adapter fails its own named check and says what was found and expected."""
    report = preflight(write_bad(tmp_path / "bad", base, kind), base, alias="returns")
    assert not report.ok
    found = {check.name: check for check in report.failed}
    assert BAD_KINDS[kind].check in found, failures(report)
    named = found[BAD_KINDS[kind].check]
    assert named.found
    assert named.expected
    assert named.message


def test_what_zero_3_saves_without_gathering_is_told_apart(tmp_path: Path, base: BaseFacts) -> None:
    """Trainers meet it often, and other sizes are not what is wrong."""
    report = preflight(write_bad(tmp_path / "bad", base, "empty-shards"), base)
    (check,) = [check for check in report.failed if check.name == "tensor-shapes"]
    assert "ZeRO-3" in check.message


def test_every_check_is_proven_by_a_bad_adapter() -> None:
    """No check exists that nothing can fail; names, signature and corda/loftq have own tests."""
    proven = {kind.check for kind in BAD_KINDS.values()}
    own = {"alias-name", "signature", "feature-corda", "feature-loftq"}
    assert set(CHECK_NAMES) - proven == own


@pytest.mark.parametrize("alias", ["auto", "base", "frontier", "tiny-base", "openai", "smart"])
def test_a_name_that_means_something_else_is_refused(
    tmp_path: Path, base: BaseFacts, alias: str
) -> None:
    """Of `model`: reserved, the base's id, a provider's or a virtual model's name."""
    limits = PreflightLimits(taken_names=frozenset({"openai", "smart"}))
    directory = write_good(tmp_path / "good", base)
    report = preflight(directory, base, limits, alias=alias)
    assert set(failures(report)) == {"alias-name"}
    assert repr(alias) in failures(report)["alias-name"]
    assert failures(preflight(directory, base, limits, alias=f"{alias}-2")) == {}


def test_all_failures_are_reported_at_once(tmp_path: Path, base: BaseFacts) -> None:
    """One answer lists every failed check, so that one correction round is enough."""
    adapter = good(base)
    adapter.config.update(r=0, use_dora=True, lora_alpha=-1, peft_type="IA3")
    adapter.extra["adapter_model.bin"] = b"x"
    report = preflight(adapter.write(tmp_path / "bad"), base)
    assert set(failures(report)) >= {"no-pickle", "peft-type", "rank", "alpha", "feature-dora"}
    with pytest.raises(RejectedError) as refused:
        report.raise_if_failed()
    assert {check.name for check in refused.value.failed} == set(failures(report))


def test_a_broken_prerequisite_marks_dependents_as_skipped(tmp_path: Path, base: BaseFacts) -> None:
    """An unreadable configuration is reported once; what needs it is skipped and says why."""
    report = preflight(write_bad(tmp_path / "bad", base, "config-not-json"), base)
    assert set(failures(report)) == {"adapter-config"}
    rank = next(check for check in report.checks if check.name == "rank")
    assert rank.skipped
    assert "adapter-config" in rank.message


def test_a_hostile_number_of_problems_is_bounded(tmp_path: Path, base: BaseFacts) -> None:
    """Thousands of tensors with long names cost the answer a quarter of a megabyte a check."""
    adapter = good(base)
    for number in range(3000):
        adapter.tensors[f"x{number}." + "y" * 400] = np.ones(1)
    report = preflight(adapter.write(tmp_path / "bad"), base)
    (check,) = [check for check in report.failed if check.name == "tensor-names"]
    assert len(check.model_dump_json()) < 400_000
    assert len(check.items) > 1000
    assert check.items[-1].endswith(" more")


def test_a_crash_inside_a_check_is_a_failed_check(tmp_path: Path, base: BaseFacts) -> None:
    """A setting of a type that a check cannot compare fails that check instead of raising."""
    adapter = good(base)
    adapter.config["peft_type"] = "LORA"
    adapter.config["task_type"] = ["unhashable"]
    report = preflight(adapter.write(tmp_path / "bad"), base)
    assert set(failures(report)) == {"task-type"}


def test_a_missing_directory_is_refused_and_not_raised(tmp_path: Path, base: BaseFacts) -> None:
    """Even a directory that is not there gets a report."""
    assert not preflight(tmp_path / "nowhere", base).ok


def test_without_a_base_its_checks_are_skipped(tmp_path: Path, base: BaseFacts) -> None:
    """Offline, everything else is checked and what needs the base is marked as skipped."""
    report = preflight(write_good(tmp_path / "good", base), None)
    assert report.ok
    skipped = {check.name for check in report.checks if check.skipped}
    needs_base = {"module-paths", "layer-range", "tensor-shapes", "vocabulary", "declared-base"}
    assert needs_base <= skipped


@pytest.mark.parametrize(
    "settings",
    [
        {"task_type": None},
        {"init_lora_weights": "eva", "eva_config": {"rho": 2.0}},
        {"init_lora_weights": "gaussian"},
        {"init_lora_weights": False},
        {"use_rslora": True},
        {"base_model_name_or_path": None},
        {"base_model_name_or_path": ""},
        {"base_model_name_or_path": "/home/somebody/models/base"},
        {"base_model_name_or_path": "./out/base"},
        {"base_model_name_or_path": "TINY-base"},
        {"base_model_name_or_path": "unsloth/tiny-base-bnb-4bit"},
        {"base_model_name_or_path": "unsloth/Tiny-Base-unsloth-bnb-4bit"},
        {"base_model_name_or_path": "somebody/tiny_base-GPTQ-Int4"},
        {"base_model_name_or_path": "mlx-community/tiny-base-4bit"},
        {"base_model_name_or_path": "D:\\models\\base"},
        {"base_model_name_or_path": "/root/.cache/huggingface/hub/models--a--b/snapshots/0"},
        {"target_modules": r".*\.(q_proj|v_proj)"},
        {"target_modules": r".*?(?:self_attn).*?(?:q_proj|v_proj).*?"},
        {"target_modules": ["q_proj", "v_proj", "not_in_this_model"]},
        {"target_modules": ["q_proj", "v_proj", "o_proj"], "exclude_modules": ["o_proj"]},
        {"rank_pattern": {r"layers\.\d+\.self_attn\.q_proj": 4}},
        {"alpha_pattern": {"q_proj": 8}},
        {"lora_dropout": 0.1, "future_setting": None},
    ],
)
def test_what_the_engine_serves_is_not_refused(
    tmp_path: Path, base: BaseFacts, settings: dict[str, Any]
) -> None:
    """Settings that change nothing or that the engine honours pass."""
    adapter = good(base)
    adapter.config.update(settings)
    assert failures(preflight(adapter.write(tmp_path / "good"), base)) == {}


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32"])
def test_every_allowed_dtype_passes(tmp_path: Path, base: BaseFacts, dtype: str) -> None:
    """The three dtypes in which adapters are saved are read and pass."""
    adapter = good(base)
    adapter.dtype = dtype
    assert failures(preflight(adapter.write(tmp_path / "good"), base)) == {}


def test_modules_may_have_ranks_of_their_own(tmp_path: Path, base: BaseFacts) -> None:
    """Shapes are compared with the rank that rank_pattern gives to that module."""
    own = {"model.layers.1.self_attn.q_proj": 8}
    adapter = good(base, rank_pattern=own)
    assert failures(preflight(adapter.write(tmp_path / "good"), base)) == {}
    narrow = PreflightLimits(max_lora_rank=4)
    assert set(failures(preflight(tmp_path / "good", base, narrow))) == {"rank-pattern"}


def test_adapters_of_some_layers_pass(tmp_path: Path, base: BaseFacts) -> None:
    """layers_to_transform restricts which modules must have tensors."""
    adapter = good(base)
    adapter.tensors = {key: a for key, a in adapter.tensors.items() if "layers.1." in key}
    assert "target-modules-agree" in failures(preflight(adapter.write(tmp_path / "a"), base))
    adapter.config["layers_to_transform"] = [1]
    assert failures(preflight(adapter.write(tmp_path / "b"), base)) == {}
    adapter.config.update(layers_to_transform=1, layers_pattern="layers")
    assert failures(preflight(adapter.write(tmp_path / "c"), base)) == {}


def test_rslora_scales_by_the_root_of_the_rank(tmp_path: Path, base: BaseFacts) -> None:
    """The largest alpha is smaller-grained with rsLoRA, which divides by less."""
    adapter = good(base, rank=16)
    adapter.config.update(lora_alpha=12_000)
    assert failures(preflight(adapter.write(tmp_path / "a"), base)) == {}
    adapter.config.update(use_rslora=True)
    assert set(failures(preflight(adapter.write(tmp_path / "b"), base))) == {"alpha"}


@pytest.mark.parametrize("setting", ["corda_config", "loftq_config"])
def test_settings_of_base_changing_methods_are_refused(
    tmp_path: Path, base: BaseFacts, setting: str
) -> None:
    """The settings give such a method away even when init_lora_weights was reset."""
    adapter = good(base)
    adapter.config[setting] = {"bits": 4}
    found = failures(preflight(adapter.write(tmp_path / "bad"), base))
    assert set(found) == {f"feature-{setting.removesuffix('_config')}"}


def test_the_base_digest_outranks_every_name(tmp_path: Path, base: BaseFacts) -> None:
    """With the right digest another name passes; with another digest the right name fails."""
    adapter = good(base)
    adapter.config["base_model_name_or_path"] = "somebody/mirror-of-the-base"
    adapter.manifest = Manifest(base_digest=base.digest)
    assert failures(preflight(adapter.write(tmp_path / "a"), base)) == {}
    adapter.config["base_model_name_or_path"] = base.base_id
    adapter.manifest = Manifest(base_digest="2" * 64)
    assert set(failures(preflight(adapter.write(tmp_path / "b"), base))) == {"declared-base"}


@pytest.mark.parametrize(
    "name", ["unsloth/tiny-base-instruct-bnb-4bit", "unsloth/tiny-bnb-4bit", "tiny-base-v2"]
)
def test_another_base_is_refused_with_the_remedies(
    tmp_path: Path, base: BaseFacts, name: str
) -> None:
    """Equal shapes prove no equal model: the answer names the file, the digest and the setting."""
    adapter = good(base)
    adapter.config["base_model_name_or_path"] = name
    report = preflight(adapter.write(tmp_path / "a"), base)
    assert set(failures(report)) == {"declared-base"}
    (check,) = report.failed
    assert all(word in check.message for word in ("graftwork.json", base.digest, "also_known_as"))
    manifest = json.dumps({"base_digest": base.digest})
    (tmp_path / "a" / "graftwork.json").write_text(manifest)
    assert failures(preflight(tmp_path / "a", base)) == {}


def test_a_mirror_whose_shapes_differ_is_refused(tmp_path: Path, base: BaseFacts) -> None:
    """The name alone admits nothing."""
    adapter = good(base)
    adapter.config["base_model_name_or_path"] = "unsloth/tiny-base-bnb-4bit"
    name = next(iter(adapter.tensors))
    adapter.tensors[name] = adapter.tensors[name][:, :-1]
    assert set(failures(preflight(adapter.write(tmp_path / "a"), base))) == {"tensor-shapes"}


def test_other_names_of_the_base_may_be_declared(tmp_path: Path, base: BaseFacts) -> None:
    """also_known_as extends the names that adapters may declare."""
    adapter = good(base)
    adapter.config["base_model_name_or_path"] = "acme/base-v1"
    directory = adapter.write(tmp_path / "a")
    assert set(failures(preflight(directory, base))) == {"declared-base"}
    known = base.model_copy(update={"also_known_as": ("acme/base-v1",)})
    assert failures(preflight(directory, known)) == {}


def test_a_completed_manifest_passes_and_binds_the_content(tmp_path: Path, base: BaseFacts) -> None:
    """What the server writes about a directory agrees with it; one changed bit does not."""
    directory = write_good(tmp_path / "a", base)
    manifest = complete_manifest(
        directory, "returns", base_id=base.base_id, base_digest=base.digest, now=datetime.now(UTC)
    )
    write_manifest(directory, manifest)
    report = preflight(directory, base, alias="returns")
    assert failures(report) == {}
    assert not any(check.skipped for check in report.checks)
    weights = directory / WEIGHTS_FILE
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    assert "manifest-digest" in failures(preflight(directory, base, alias="returns"))


class TestSignature:
    """Signed manifests against configured keys."""

    @pytest.fixture
    def key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.generate()

    @pytest.fixture
    def signed(self, tmp_path: Path, base: BaseFacts, key: Ed25519PrivateKey) -> Path:
        directory = write_good(tmp_path / "signed", base)
        manifest = Manifest(alias="returns", digest=digest_directory(directory))
        write_manifest(directory, sign_manifest(manifest, private_pem(key)))
        return directory

    def test_a_required_signature_must_be_there(self, tmp_path: Path, base: BaseFacts) -> None:
        """An unsigned adapter is refused by a server that demands signatures."""
        directory = write_good(tmp_path / "a", base)
        limits = PreflightLimits(require_signature=True, public_keys=("AAAA",))
        assert set(failures(preflight(directory, base, limits))) == {"signature"}

    def test_the_right_key_is_accepted(
        self, signed: Path, base: BaseFacts, key: Ed25519PrivateKey
    ) -> None:
        """Any one of the configured keys will do."""
        keys = (public_pem(Ed25519PrivateKey.generate()), public_pem(key))
        limits = PreflightLimits(require_signature=True, public_keys=keys)
        assert failures(preflight(signed, base, limits, alias="returns")) == {}

    def test_another_key_is_refused_also_when_optional(self, signed: Path, base: BaseFacts) -> None:
        """A wrong signature is worse than none."""
        limits = PreflightLimits(public_keys=(public_pem(Ed25519PrivateKey.generate()),))
        assert set(failures(preflight(signed, base, limits))) == {"signature"}

    def test_required_without_a_key_refuses(self, signed: Path, base: BaseFacts) -> None:
        """A server that demands signatures but knows no key trusts nobody."""
        limits = PreflightLimits(require_signature=True)
        assert set(failures(preflight(signed, base, limits))) == {"signature"}

    def test_a_changed_manifest_is_refused(
        self, signed: Path, base: BaseFacts, key: Ed25519PrivateKey
    ) -> None:
        """Whoever changes what the manifest says breaks its signature."""
        path = signed / "graftwork.json"
        document = json.loads(path.read_text())
        document["intents"] = ["everything"]
        path.write_text(json.dumps(document))
        limits = PreflightLimits(public_keys=(public_pem(key),))
        assert set(failures(preflight(signed, base, limits))) == {"signature"}


def private_pem(key: Ed25519PrivateKey) -> bytes:
    """A private key as an operator keeps it."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_pem(key: Ed25519PrivateKey) -> str:
    """A public key as it stands in the configuration."""
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


@pytest.mark.parametrize("name", ["returns", "extract"])
def test_the_embedded_adapters_pass(name: str) -> None:
    """The adapters that the project ships pass preflight against the base that it ships."""
    directory = EMBEDDED / "adapters" / name
    if not (directory / WEIGHTS_FILE).exists() or not (EMBEDDED / "base").exists():
        pytest.skip("the embedded model is not built in this checkout")
    report = preflight(directory, read_base(EMBEDDED / "base", "graftwork-retail-4m"), alias=name)
    assert failures(report) == {}
