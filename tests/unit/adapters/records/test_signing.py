"""Keys: made once, readable by their owner only, rotated so that old trust reaches new keys."""

from __future__ import annotations

import json
import stat
from dataclasses import asdict
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from adapters.records.signing import BadKey, Signer, parse_keys, read_keys, trusted


def test_the_first_start_makes_a_key_that_only_its_owner_reads(tmp_path: Path) -> None:
    """A second process signs with the same one."""
    signed = Signer(tmp_path / "log").sign({"tree_size": 1})
    path = tmp_path / "log" / "signing.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Signer(tmp_path / "log").sign({"tree_size": 1})
    assert again == signed  # Ed25519 is deterministic
    [key] = read_keys(tmp_path / "log")
    assert key.vouches(signed)
    assert not key.vouches({**signed, "tree_size": 2})
    assert not key.vouches({"tree_size": 1})
    assert b"PRIVATE" not in (tmp_path / "log" / "keys.json").read_bytes()


def test_a_key_file_that_is_named_signs_for_several_logs(tmp_path: Path) -> None:
    """Each lists its public half."""
    first = Signer(tmp_path / "one", tmp_path / "key.pem").sign({})
    second = Signer(tmp_path / "two", tmp_path / "key.pem").sign({})
    assert first == second
    assert read_keys(tmp_path / "one")[0].key_id == read_keys(tmp_path / "two")[0].key_id


def test_a_new_key_is_vouched_for_by_the_old_one(tmp_path: Path) -> None:
    """Old ones stay listed; a running process goes on with the new one; who trusts the first key
    trusts the last, and nobody trusts one that somebody just added.
    """
    signer, other = Signer(tmp_path), Signer(tmp_path)
    before = other.sign({"n": 1})
    signer.rotate()
    signer.rotate()
    after = other.sign({"n": 1})
    keys = signer.public_keys()
    assert len({key.key_id for key in keys}) == 3
    assert (before["key_id"], after["key_id"]) == (keys[0].key_id, keys[2].key_id)
    assert keys[0].vouches(before)
    assert keys[2].vouches(after)
    assert list(trusted(keys, keys[:1])) == [key.key_id for key in keys]
    strange = Signer(tmp_path / "elsewhere")
    strange.sign({})
    [forged] = strange.public_keys()
    claimed = parse_keys(json.dumps([{**asdict(forged), "signed_by": keys[0].key_id}]).encode())
    assert list(trusted(claimed, keys[:1])) == [keys[0].key_id]


def test_keys_are_read_in_every_form_that_they_are_handed_out_in(tmp_path: Path) -> None:
    """The file, the API's answer, a row of it, PEM, the digits."""
    signer = Signer(tmp_path)
    [key] = signer.public_keys()
    row = {**asdict(key), "pem": key.pem()}
    listed = json.dumps({"object": "list", "data": [row]})
    texts = (listed, json.dumps(row), key.pem(), key.public_key + "\n")
    for text in ((tmp_path / "keys.json").read_bytes(), *(each.encode() for each in texts)):
        assert [each.key_id for each in parse_keys(text)] == [key.key_id]


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b'[{"key_id":"a","public_key":"zz"}]'])
def test_what_is_no_list_of_keys_is_refused(text: bytes) -> None:
    """Nothing is believed half."""
    with pytest.raises(BadKey):
        parse_keys(text)


def test_another_kind_of_key_is_refused_by_name_of_the_file(tmp_path: Path) -> None:
    """And nothing of it is shown."""
    pem = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path / "other.pem"
    for content in (pem, b"-----BEGIN PRIVATE KEY-----\nnothing\n"):
        path.write_bytes(content)
        with pytest.raises(BadKey, match=r"other\.pem") as refused:
            Signer(tmp_path / "log", path).sign({})
        assert "BEGIN" not in str(refused.value)
