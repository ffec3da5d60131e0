"""How access tokens of Google Cloud are had, and the file of a service account."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import BaseModel, ConfigDict, Field, model_validator

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_MAX_BYTES: Final = 64 * 1024


class GoogleAuth(BaseModel):
    """Where access tokens come from: a service account's file, or the machine's metadata server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    service_account_file: Path | None = Field(
        default=None,
        description="JSON key of a service account; a change is taken over within a second",
    )
    metadata_server: bool = Field(
        default=False, description="ask the metadata server that Google's machines have"
    )
    metadata_url: str = Field(
        default="http://metadata.google.internal",
        pattern=r"^http://[^/@\s?#]+$",
        description="where it is",
    )
    scope: str = Field(
        default="https://www.googleapis.com/auth/cloud-platform",
        pattern=r"^\S+(?: \S+)*$",
        description="what a service account's tokens may be used for",
    )

    @model_validator(mode="after")
    def _is_one_way(self) -> Self:
        if self.metadata_server == (self.service_account_file is not None):
            raise ValueError("give service_account_file or metadata_server: true, one of the two")
        return self


class BadAccount(ValueError):
    """A file is no key of a service account; the message never shows what it holds."""


@dataclass(frozen=True, slots=True, repr=False)
class ServiceAccount:
    """Who asks for tokens.

    Attributes:
        email: its name.
        key_id: which of its keys signs; may be empty.
        key: the key.
        token_url: where it asks.
    """

    email: str
    key_id: str
    key: RSAPrivateKey
    token_url: str


def read_service_account(path: Path) -> ServiceAccount:
    """The account of a file as Google Cloud hands it out. Raises ``BadAccount``."""
    try:
        raw = path.read_bytes()[:_MAX_BYTES]
    except OSError as error:
        raise BadAccount(f"file {path} cannot be read") from error
    try:
        found = orjson.loads(raw)
        key = load_pem_private_key(found["private_key"].encode(), password=None)
        email, url = found["client_email"], found["token_uri"]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise BadAccount(f"file {path} is no JSON key of a service account") from None
    if not isinstance(key, RSAPrivateKey) or not isinstance(email, str) or not _is_safe(url):
        raise BadAccount(f"file {path} is no JSON key of a service account that can be used")
    return ServiceAccount(email, str(found.get("private_key_id") or ""), key, url)


def _is_safe(url: object) -> bool:
    """Whether what is signed for an address may be sent there."""
    if not isinstance(url, str):
        return False
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
