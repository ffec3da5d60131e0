"""An adapter's weights merged into its base: one model that needs no LoRA support to be served.

torch, peft and transformers are imported when it happens: the commands that do not need them start
without.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from adapters.errors import AdapterError
from adapters.format.base_model import read_base
from adapters.format.manifest import MANIFEST_FILE, read_manifest

# What makes text of tokens and back; weights and config.json are written anew.
_BESIDE_WEIGHTS = (
    "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt",
    "chat_template.*", "generation_config.json",
)  # fmt: skip


class CannotMerge(Exception):
    """The message says why and what to do."""


def merge(base: Path, adapter: Path, target: Path) -> None:
    """Write the merged model to ``target``, which must not exist; all of it or nothing.

    ``adapter`` is a PEFT directory with Graftwork's manifest. Raises ``CannotMerge`` when it was
    made for another base, or when the weights do not add up.
    """
    if target.exists():
        raise CannotMerge(f"{target} is there already: name a directory that is not")
    _require_base(base, adapter)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        _write_weights(base, adapter, draft)
        for pattern in _BESIDE_WEIGHTS:
            for path in base.glob(pattern):
                shutil.copyfile(path, draft / path.name)
        if (adapter / MANIFEST_FILE).is_file():
            shutil.copyfile(adapter / MANIFEST_FILE, draft / MANIFEST_FILE)
        draft.chmod(0o755)
        os.replace(draft, target)  # noqa: PTH105 - also where Path.rename would not replace
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _require_base(base: Path, adapter: Path) -> None:
    try:
        found = read_base(base, base.name).digest
        manifest = read_manifest(adapter)
    except AdapterError as error:
        raise CannotMerge(str(error)) from error
    wanted = manifest.base_digest if manifest is not None else None
    if wanted not in {None, found}:
        raise CannotMerge(
            f"the adapter was made for a base with digest {str(wanted)[:12]}, and {base} has "
            f"{found[:12]}: name that base with --base"
        )


def _write_weights(base: Path, adapter: Path, target: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(base, dtype="auto", local_files_only=True)
        # `safe_merge` refuses weights that are no numbers afterwards.
        merged = PeftModel.from_pretrained(model, adapter).merge_and_unload(safe_merge=True)
    except (OSError, ValueError) as error:
        raise CannotMerge(f"{adapter.name} cannot be merged into {base}: {error}") from error
    merged.save_pretrained(target, safe_serialization=True)
