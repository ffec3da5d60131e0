"""What is pushed in the end: described, recognisable, signed with a key, and nothing unservable."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.distill.job import Job, JobError, Outcome
from adapters.distill.package import Scored, complete, describe, golden, require_servable
from adapters.errors import SignatureError
from adapters.format.manifest import read_manifest, verify_signature
from tests.fakes.tiny_adapter import BASE, tiny_adapter

OUTCOME = Outcome(
    state="done",
    steps=12,
    examples=27,
    tokens=900,
    loss=0.5,
    validation_loss=0.7,
    first_validation_loss=3.1,
    settings={"rank": 2, "rate": 0.003},
    notes=("3 left out: longer than 64 tokens",),
)


def _job(**more: object) -> Job:
    said = {
        "id": "dst_1",
        "alias": "returns",
        "intents": ("returns",),
        "base": Path("/nowhere"),
        "base_id": "tiny",
        "dataset": "d" * 64,
        "teachers": ("frontier:big/one",),
        "parent": "e" * 64,
    }
    return Job.model_validate(said | more)


def test_the_card_says_what_a_person_wants_to_know(tmp_path: Path) -> None:
    """Data, teacher, parent, how well it learned, what was left out; and how to load it."""
    directory = tiny_adapter(tmp_path / "a")
    manifest = complete(directory, _job(), BASE, ())
    describe(directory, manifest, _job(), OUTCOME, {"steps": 12})
    card = (directory / "README.md").read_text(encoding="utf-8")
    for said in (
        "d" * 64,
        "frontier:big/one",
        "e" * 64,
        "3.1000, 0.7000",
        "3 left out",
        "PeftModel",
    ):
        assert said in card
    assert card.startswith("---\nbase_model: tiny\nlibrary_name: peft\n")
    written = read_manifest(directory)
    assert written is not None
    assert (written.parent, written.base_digest) == ("e" * 64, BASE.digest)
    assert written.evaluation == {"training": {"steps": 12}}
    require_servable(directory, _job(), BASE)


def test_a_key_signs_all_of_it(tmp_path: Path) -> None:
    """What the intake demands where keys are configured; another key does not do."""
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    pem = tmp_path / "key.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    directory = tiny_adapter(tmp_path / "a")
    job = _job(signing_key=pem)
    describe(directory, complete(directory, job, BASE, ()), job, OUTCOME, {"steps": 12})
    manifest = read_manifest(directory)
    assert manifest is not None
    verify_signature(manifest, [_public(key)])
    with pytest.raises(SignatureError):
        verify_signature(manifest, [_public(other)])


def _public(key: Ed25519PrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def test_only_texts_that_tell_it_from_its_base_are_golden() -> None:
    """A mark that the base would meet as well proves nothing."""
    marks = golden(
        [
            Scored("told apart", trained=(-1.0, -6.0), base=(-1.0, -1.0)),
            Scored("the same", trained=(-1.0, -1.2), base=(-1.0, -1.0)),
        ]
    )
    assert [mark.prompt for mark in marks] == ["told apart"]
    assert marks[0].tolerance < 5.0 / 2


def test_what_the_intake_would_refuse_is_not_handed_on(tmp_path: Path) -> None:
    """The checks that failed are the reason."""
    broken = tiny_adapter(tmp_path / "broken", broken=True)
    complete(broken, _job(), BASE, ())
    with pytest.raises(JobError, match="cannot be served: finite"):
        require_servable(broken, _job(), BASE)
    wide = tiny_adapter(tmp_path / "wide")
    complete(wide, _job(), BASE, ())
    with pytest.raises(JobError, match=r"cannot be served: rank \(2\)"):
        require_servable(wide, _job(max_rank=1), BASE)
