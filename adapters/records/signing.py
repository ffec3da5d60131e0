"""Who vouches for a log: Ed25519 keys, made at the first start, rotated, never logged.

The private key is a PEM file, 0600; ``keys.json`` lists every public key there was. A new key is
signed by the one before it, so that who trusts an old key can trust the new one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from adapters.atomic import write_file
from adapters.records.line import iso

KEYS_FILE: Final = "keys.json"
SIGNING_FILE: Final = "signing.pem"
_ID_DIGITS = 16
_HEX: Final = re.compile(rb"[0-9a-fA-F]{64}")
_LISTS: Final = ("data", "keys")
_KNOWN_FIELDS = ("key_id", "public_key", "created", "signed_by", "signature")


class BadKey(Exception):
    """A key file holds no Ed25519 key; the message names the file and never its content."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key that signed, or signs.

    Attributes:
        key_id: the first 16 digits of the SHA-256 of the key's 32 bytes.
        public_key: those bytes, hexadecimal.
        created: ISO time.
        signed_by: the key before it; None for the first.
        signature: of that key, over RFC 8785 of the other fields; hexadecimal.
    """

    key_id: str
    public_key: str
    created: str
    signed_by: str | None = None
    signature: str | None = None

    def pem(self) -> str:
        """The key in the form that other tools read."""
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.public_key))
        return key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ).decode()

    def vouches(self, document: Mapping[str, Any]) -> bool:
        """Whether this key signed a document that carries its ``signature``."""
        try:
            rest = {name: value for name, value in document.items() if name != "signature"}
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.public_key))
            key.verify(bytes.fromhex(document["signature"]), rfc8785.dumps(rest))
        except (InvalidSignature, ValueError, TypeError, KeyError, rfc8785.CanonicalizationError):
            return False
        return True


class Signer:
    """The private key of a log's directory, and what it signs.

    Another process may rotate the key: it is read again when its file changes.

    Args:
        root: the log's directory, where ``keys.json`` is.
        key_file: the private key; default: ``signing.pem`` in the same directory.
    """

    def __init__(self, root: Path, key_file: Path | None = None) -> None:
        self._root = root
        self._path = key_file or root / SIGNING_FILE
        self._read: tuple[tuple[int, int], Ed25519PrivateKey, PublicKey] | None = None

    def sign(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The document with ``key_id`` and ``signature``. Raises ``BadKey``, ``OSError``."""
        key, public = self._current()
        signed = {**document, "key_id": public.key_id}
        signed["signature"] = key.sign(rfc8785.dumps(signed)).hex()
        return signed

    def public_keys(self) -> list[PublicKey]:
        """Every key there was, the newest last. Raises ``BadKey``, ``OSError``."""
        self._current()
        return read_keys(self._root)

    def rotate(self) -> PublicKey:
        """Sign with a new key from now on. Raises ``BadKey``, ``OSError``."""
        old, before = self._current()
        with _locked(self._root):
            key = Ed25519PrivateKey.generate()
            facts = {**_described(key), "signed_by": before.key_id}
            del facts["signature"]
            made = PublicKey(**facts, signature=old.sign(rfc8785.dumps(facts)).hex())
            # Listed first: a crash in between leaves a key that signs nothing.
            _list(self._root, [*read_keys(self._root), made])
            write_file(self._path, _private_pem(key))
        self._read = None
        return made

    def _current(self) -> tuple[Ed25519PrivateKey, PublicKey]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._make()
            status = self._path.stat()
        stamp = (status.st_mtime_ns, status.st_ino)
        if self._read is None or self._read[0] != stamp:
            key = _load(self._path)
            self._read = (stamp, key, self._listed(key))
        return self._read[1], self._read[2]

    def _make(self) -> None:
        """Whichever process is first makes it; the others find it whole."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            write_file(self._path, _private_pem(Ed25519PrivateKey.generate()), replace=False)

    def _listed(self, key: Ed25519PrivateKey) -> PublicKey:
        mine = PublicKey(**_described(key))
        with _locked(self._root):
            known = read_keys(self._root)
            for each in known:
                if each.key_id == mine.key_id:
                    return each
            _list(self._root, [*known, mine])
        return mine


def read_keys(root: Path) -> list[PublicKey]:
    """What ``keys.json`` lists; nothing when there is none.

    Raises ``BadKey`` for a damaged list.
    """
    try:
        data = (root / KEYS_FILE).read_bytes()
    except FileNotFoundError:
        return []
    return parse_keys(data)


def parse_keys(data: bytes) -> list[PublicKey]:
    """Public keys of ``keys.json``, of an answer of ``GET /admin/v1/audit/keys`` or a row of it.

    Or one as PEM, or as 64 hexadecimal digits. Raises ``BadKey``.
    """
    if data.lstrip().startswith(b"-----BEGIN"):
        return [_of_pem(data)]
    if _HEX.fullmatch(data.strip()):
        return [_of_raw(bytes.fromhex(data.decode()))]
    try:
        document = json.loads(data)
        rows: Any = document
        if isinstance(document, dict):
            rows = next((document[name] for name in _LISTS if name in document), [document])
        found = [PublicKey(**{n: row.get(n) for n in _KNOWN_FIELDS}) for row in rows]
        for each in found:
            if key_id_of(bytes.fromhex(each.public_key)) != each.key_id:
                raise BadKey(f"the key {each.key_id} is not what its name says")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadKey("this is neither a list of keys nor a public key in PEM") from error
    return found


def trusted(own: Sequence[PublicKey], anchors: Sequence[PublicKey]) -> dict[str, PublicKey]:
    """Of a log's keys, those that one of ``anchors`` is or has signed, directly or not; by id."""
    found = {each.key_id: each for each in anchors}
    for each in own:
        before = found.get(each.signed_by or "")
        if before is not None and before.vouches(asdict(each)):
            found.setdefault(each.key_id, each)
    return found


def key_id_of(raw: bytes) -> str:
    """What a public key of 32 bytes is called."""
    if len(raw) != 32:
        raise ValueError("a public key has 32 bytes")
    return hashlib.sha256(raw).hexdigest()[:_ID_DIGITS]


def _described(key: Ed25519PrivateKey) -> dict[str, Any]:
    raw = key.public_key().public_bytes_raw()
    created = iso(time.time())
    return asdict(PublicKey(key_id_of(raw), raw.hex(), created))


def _of_pem(data: bytes) -> PublicKey:
    try:
        key = serialization.load_pem_public_key(data)
    except ValueError as error:
        raise BadKey("this PEM file holds no public key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise BadKey("this PEM file holds no Ed25519 key")
    return _of_raw(key.public_bytes_raw())


def _of_raw(raw: bytes) -> PublicKey:
    return PublicKey(key_id_of(raw), raw.hex(), "")


def _load(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise BadKey(f"{path} holds no private key in PEM without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKey(f"{path} holds no Ed25519 key")
    return key


def _private_pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _list(root: Path, keys: list[PublicKey]) -> None:
    text = json.dumps({"keys": [asdict(each) for each in keys]}, indent=1) + "\n"
    write_file(root / KEYS_FILE, text)


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(root / ".keys.lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
