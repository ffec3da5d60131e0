r"""What a version is: the digest over its content and the manifest that travels beside it.

The canonical content digest
----------------------------
SHA-256 over the bytes ``graftwork-adapter-v1\n`` followed, for each content file that is present,
in the byte order of its name, by::

    name (UTF-8)  NUL  length in bytes (decimal ASCII)  NUL  content

Content files are exactly ``CONTENT_FILES``, at the top of the directory: the weights, the PEFT
configuration, and tokenizer and chat template files. Every content is the file's bytes, except
``adapter_config.json``, which is made canonical first:

- parsed as a JSON object without duplicate keys and written with sorted keys and no spaces;
- without ``PLACE_FIELDS``, which say where and how training ran and not what the adapter computes.
  ``base_model_name_or_path`` is one of them: PEFT writes whatever path the training machine had.
  Which base an adapter belongs to is proven by shapes and by the manifest's ``base_digest``;
- lists in ``SET_FIELDS`` sorted, since PEFT writes Python sets in an order that changes by run;
- ``rank_pattern`` and ``alpha_pattern`` as lists of pairs in their own order, since the first
  pattern that matches wins.

README, licence, ``_SUCCESS`` and ``graftwork.json`` itself are not content: correcting a model card
or signing a manifest does not make another version.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    ValidationError,
)

from adapters.errors import ManifestError, SignatureError
from adapters.format.files import (
    canonical_json,
    chunks,
    is_regular,
    open_regular,
    parse_json_object,
    read_bounded,
    reason,
)

MANIFEST_FILE = "graftwork.json"
CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
REQUIRED_FILES = (CONFIG_FILE, WEIGHTS_FILE)
CONTENT_FILES = tuple(
    sorted(
        (
            *REQUIRED_FILES,
            "added_tokens.json",
            "chat_template.jinja",
            "chat_template.json",
            "merges.txt",
            "special_tokens_map.json",
            "tokenizer.json",
            "tokenizer.model",
            "tokenizer_config.json",
            "vocab.json",
        )
    )
)
PASSENGER_FILES = ("LICENSE", "LICENSE.md", "LICENSE.txt", "NOTICE", "README.md")
"""Files that the store keeps beside the content without their being part of the digest."""

PLACE_FIELDS = frozenset(
    {
        "auto_mapping",
        "base_model_name_or_path",
        "inference_mode",
        "lora_dropout",
        "peft_version",
        "revision",
        "runtime_config",
    }
)
SET_FIELDS = frozenset({"exclude_modules", "modules_to_save", "target_modules"})
ORDERED_FIELDS = frozenset({"alpha_pattern", "rank_pattern"})

MAX_CONFIG_BYTES = 1 << 20
MAX_MANIFEST_BYTES = 4 << 20
_MAX_INTENTS = 256
_MAX_GOLDEN = 64
_MAX_GOLDEN_CHARACTERS = 8192
_DIGEST_HEAD = b"graftwork-adapter-v1\n"

_Intent = Annotated[str, Field(min_length=1, max_length=128)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Frozen(BaseModel):
    # Unknown fields are refused: a signature covers what this version understands, no more.
    model_config = ConfigDict(frozen=True, extra="forbid")


class Golden(_Frozen):
    """Log probabilities that the trainer measured, to recognise the adapter in the engine."""

    prompt: Annotated[str, Field(max_length=_MAX_GOLDEN_CHARACTERS)]
    logprobs: Annotated[tuple[FiniteFloat, ...], Field(max_length=_MAX_GOLDEN_CHARACTERS)]
    """One per scored token, in nats."""
    tolerance: Annotated[FiniteFloat, Field(gt=0)]
    """Largest absolute difference that still counts as a match, in nats."""


class Signature(_Frozen):
    """An ed25519 signature over the manifest's canonical JSON without this field."""

    algorithm: Literal["ed25519"] = "ed25519"
    value: str
    """Base64 of the 64 signature bytes."""


class Manifest(_Frozen):
    """``graftwork.json``. A pushed one may omit what the server knows; a signed one may not."""

    schema_version: Literal[1] = 1
    alias: str | None = None
    digest: Digest | None = None
    base_digest: Digest | None = None
    """Digest of the base that the adapter was trained on (``adapters.format.base_model``)."""
    base_model: str | None = None
    rank: Annotated[int, Field(ge=1)] | None = None
    """Largest rank of any module."""
    target_modules: tuple[str, ...] = ()
    intents: Annotated[tuple[_Intent, ...], Field(max_length=_MAX_INTENTS)] = ()
    """Routers hold those of every alias."""
    training_dataset: str | None = None
    parent: Digest | None = None
    """Digest of the version that this one was trained from."""
    evaluation: dict[str, JsonValue] = Field(default_factory=dict)
    """How it was tested; ``gate`` has a shape of its own (``adapters.evaluation``)."""
    author: str | None = None
    created_at: AwareDatetime | None = None
    golden: Annotated[tuple[Golden, ...], Field(max_length=_MAX_GOLDEN)] | None = None
    """Each costs the engine a pass, beside what it serves."""
    signature: Signature | None = None


def digest_directory(directory: Path) -> str:
    """The canonical content digest (64 hex digits) of a PEFT directory.

    Raises ``ManifestError``: ``files-missing`` when configuration or weights are not regular files
    there, ``config-unreadable`` when the configuration is not a JSON object.
    """
    present = [name for name in CONTENT_FILES if is_regular(directory / name)]
    missing = [name for name in REQUIRED_FILES if name not in present]
    if missing:
        raise ManifestError(f"{', '.join(missing)} not found", code="files-missing")
    total = hashlib.sha256(_DIGEST_HEAD)
    for name in present:
        if name == CONFIG_FILE:
            content = _canonical_content(directory)
            total.update(_file_head(name, len(content)) + content)
        else:
            _digest_file(total, directory / name)
    return total.hexdigest()


def _canonical_content(directory: Path) -> bytes:
    try:
        return canonical_config(_read_config(directory))
    except ValueError as error:
        raise ManifestError(f"{CONFIG_FILE}: {reason(error)}", code="config-unreadable") from error


def canonical_config(config: Mapping[str, Any]) -> bytes:
    """``adapter_config.json`` as the digest sees it."""
    return canonical_json(
        {key: _canonical_field(key, v) for key, v in config.items() if key not in PLACE_FIELDS}
    )


def read_manifest(directory: Path) -> Manifest | None:
    """The manifest beside the weights, or None; ``ManifestError`` when there is a bad one."""
    path = directory / MANIFEST_FILE
    if not path.exists() and not path.is_symlink():
        return None
    try:
        # JSON mode: a JSON array is a tuple there, and only there, for a strict reader.
        data = canonical_json(parse_json_object(read_bounded(path, MAX_MANIFEST_BYTES)))
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        raise ManifestError(f"{MANIFEST_FILE}: {_first_problem(error)}") from error
    except (OSError, ValueError) as error:
        raise ManifestError(f"{MANIFEST_FILE}: {reason(error)}") from error


def write_manifest(directory: Path, manifest: Manifest) -> Path:
    """Write ``graftwork.json`` and return its path."""
    path = directory / MANIFEST_FILE
    path.write_text(manifest.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")
    return path


def complete_manifest(
    directory: Path,
    alias: str,
    *,
    base_id: str | None = None,
    base_digest: str | None = None,
    author: str | None = None,
    now: datetime | None = None,
) -> Manifest:
    """The directory's manifest with everything filled in that its author left out.

    A signed manifest comes back as it is, since any addition would break the signature.
    """
    given = read_manifest(directory) or Manifest()
    if given.signature is not None:
        return given
    config = _read_config(directory)
    known = {
        "alias": alias,
        "digest": given.digest or digest_directory(directory),
        "base_digest": given.base_digest or base_digest,
        "base_model": given.base_model or base_id,
        "rank": given.rank or largest_rank(config),
        "target_modules": given.target_modules or declared_targets(config),
        "author": given.author or author,
        "created_at": given.created_at or now,
    }
    return given.model_copy(update=known)


def largest_rank(config: Mapping[str, Any]) -> int | None:
    """The largest rank in ``r`` and ``rank_pattern``; None when they are not numbers."""
    patterns = config.get("rank_pattern") or {}
    ranks = [config.get("r"), *(patterns.values() if isinstance(patterns, dict) else ())]
    numbers = [rank for rank in ranks if isinstance(rank, int) and rank > 0]
    return max(numbers, default=None)


def declared_targets(config: Mapping[str, Any]) -> tuple[str, ...]:
    """``target_modules`` as a sorted tuple of names or of one pattern."""
    targets = config.get("target_modules")
    if isinstance(targets, str):
        return (targets,)
    if not isinstance(targets, list):
        return ()
    return tuple(sorted(target for target in targets if isinstance(target, str)))


def sign_manifest(manifest: Manifest, private_key_pem: bytes) -> Manifest:
    """The manifest, signed; it must state alias and digest, or it would vouch for nothing."""
    if manifest.digest is None or manifest.alias is None:
        raise SignatureError("a signed manifest must state alias and digest")
    key = serialization.load_pem_private_key(private_key_pem, password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureError("the private key is not an ed25519 key")
    value = base64.b64encode(key.sign(signed_bytes(manifest))).decode("ascii")
    return manifest.model_copy(update={"signature": Signature(value=value)})


def verify_signature(manifest: Manifest, public_keys: Sequence[str]) -> None:
    """Return when one of the keys signed the manifest; raise ``SignatureError`` otherwise.

    Each key is a PEM public key, or base64 of the 32 raw key bytes.
    """
    if manifest.signature is None:
        raise SignatureError("the manifest is not signed", code="signature-missing")
    if not public_keys:
        raise SignatureError("no public key is configured", code="signature-no-key")
    if manifest.digest is None or manifest.alias is None:
        raise SignatureError("the signed manifest states no alias or no digest")
    signature = _decoded(manifest.signature.value, "signature")
    message = signed_bytes(manifest)
    if not any(_verifies(_public_key(key), signature, message) for key in public_keys):
        raise SignatureError("the signature was not made by a configured key")


def signed_bytes(manifest: Manifest) -> bytes:
    """What a signature covers: canonical JSON of the manifest without nulls and signature."""
    return canonical_json(
        manifest.model_dump(mode="json", exclude={"signature"}, exclude_none=True)
    )


def _verifies(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _public_key(text: str) -> Ed25519PublicKey:
    try:
        if "BEGIN" not in text:
            return Ed25519PublicKey.from_public_bytes(_decoded(text, "public key"))
        key = serialization.load_pem_public_key(text.encode())
    except ValueError as error:
        raise SignatureError(f"a configured public key is unreadable: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise SignatureError("a configured public key is not an ed25519 key")
    return key


def _decoded(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignatureError(f"the {what} is not base64") from error


def _read_config(directory: Path) -> dict[str, Any]:
    try:
        return parse_json_object(read_bounded(directory / CONFIG_FILE, MAX_CONFIG_BYTES))
    except (OSError, ValueError) as error:
        raise ManifestError(f"{CONFIG_FILE}: {reason(error)}", code="config-unreadable") from error


def _canonical_field(key: str, value: Any) -> Any:
    if key in ORDERED_FIELDS and isinstance(value, dict):
        return [[name, item] for name, item in value.items()]
    if key in SET_FIELDS and isinstance(value, list):
        return sorted(value, key=canonical_json)
    return value


def _digest_file(total: hashlib._Hash, path: Path) -> None:
    with open_regular(path) as file:
        size = path.lstat().st_size
        total.update(_file_head(path.name, size))
        for piece in chunks(file):
            total.update(piece)
            size -= len(piece)
    if size != 0:
        raise ManifestError(f"{path.name} changed while it was read", code="content-changed")


def _file_head(name: str, size: int) -> bytes:
    return name.encode() + b"\0" + str(size).encode() + b"\0"


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in problem["loc"])
    return f"{field}: {problem['msg']}"
