"""What stands for a person in records: a keyed hash; who has the log alone learns no name."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from adapters.atomic import write_file

KEY_FILE: Final = "subjects.key"
_KEY_BYTES = 32


class Subjects:
    """Hashes subjects under the key of one log's directory, which its processes share.

    Raises ``OSError`` when the key can be neither read nor made.
    """

    def __init__(self, root: Path) -> None:
        self.key = _read(root / KEY_FILE)

    @classmethod
    def under(cls, key: bytes) -> Self:
        """Under a key that another process keeps."""
        made = cls.__new__(cls)
        made.key = key
        return made

    def hash(self, subject: str) -> str:
        """HMAC-SHA256, hexadecimal."""
        text = subject.encode("utf-8", "replace")
        return hmac.digest(self.key, text, hashlib.sha256).hex()


def _read(path: Path) -> bytes:
    while True:
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            _make(path)
            continue
        if len(key) != _KEY_BYTES:
            raise OSError(f"{path} is no key of {_KEY_BYTES} bytes")
        return key


def _make(path: Path) -> None:
    """Whichever process is first makes it; the others find it whole."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        write_file(path, secrets.token_bytes(_KEY_BYTES), replace=False)
