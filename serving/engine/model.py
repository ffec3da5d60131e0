"""Where the base model's files are, and what clients call it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from serving.config.settings import EMBEDDED, SMOLLM2, BaseSettings
from serving.embedded import BASE_DIR, BASE_MODEL_ID
from serving.smollm2 import HUB_ID, MODEL_ID
from serving.smollm2.prepared import CannotPrepare, prepare, ready

_PATTERNS = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "tokenizer*")


class ModelMissing(Exception):
    """The base model cannot be found; the message says what to do."""


def base_id(base: BaseSettings) -> str:
    """The id under which clients reach the base."""
    if base.id:
        return base.id
    if base.model == EMBEDDED:
        return BASE_MODEL_ID
    if base.model == SMOLLM2:
        return MODEL_ID
    path = Path(base.model)
    return path.resolve().name if path.is_dir() else base.model


def other_names(base: BaseSettings) -> tuple[str, ...]:
    """Names besides its id under which adapters may declare the base."""
    if base.model == SMOLLM2:
        return (*base.also_known_as, HUB_ID)
    hub = () if base.model == EMBEDDED or local_directory(base) is not None else (base.model,)
    return (*base.also_known_as, *hub)


def looks_local(model: str) -> bool:
    """True when ``model`` can only mean a directory, not a Hugging Face id."""
    return model.startswith(("/", "./", "../", "~")) or model.count("/") > 1


def local_directory(base: BaseSettings) -> Path | None:
    """The model's directory when it needs no download, else None. Raises ``ModelMissing``."""
    if base.model == EMBEDDED:
        return BASE_DIR
    if base.model == SMOLLM2:
        return ready()
    path = Path(base.model).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelMissing(f"{path} has no config.json: name a Hugging Face model directory")
        return path.resolve()
    if looks_local(base.model):
        raise ModelMissing(f"no model directory at {path}: check --model / base.model")
    return None


def prepared(say: Callable[[str], object] = lambda _text: None) -> Path:
    """SmolLM2's directory, made when it is not there. Raises ``ModelMissing``."""
    try:
        return prepare(say)
    except CannotPrepare as error:
        raise ModelMissing(str(error)) from error


def model_directory(base: BaseSettings) -> Path:
    """The model's directory, downloaded when it is a Hugging Face id. Raises ``ModelMissing``."""
    local = local_directory(base)
    if local is not None:
        return local
    if base.model == SMOLLM2:
        return prepared()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(base.model, revision=base.revision, allow_patterns=list(_PATTERNS))
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, ValueError, OSError) as error:
        raise ModelMissing(
            f"cannot get {base.model!r} from the Hugging Face hub ({error}): check the id, the "
            "network and HF_TOKEN, or name a local directory"
        ) from error
