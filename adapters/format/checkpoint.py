"""What trainers write around an adapter: where in a folder it lies, and which files it is made of.

Trainers leave more than PEFT's two files: optimizer and random states, earlier checkpoints, logs,
images, whole merged models, other adapters. None of that is needed to serve the adapter, so it is
left out: not copied, not stored, never unpickled. What might change the adapter's answers, or run
code, is not left out but kept in view, for preflight to refuse by name.

Everything here looks at names alone.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from adapters.format.files import few, walk
from adapters.format.manifest import (
    CONFIG_FILE,
    CONTENT_FILES,
    MANIFEST_FILE,
    PASSENGER_FILES,
    WEIGHTS_FILE,
)

MAX_ENTRIES = 10_000
"""Files and directories of a trainer's folder that are looked at."""

MOST_NAMED = 100
"""Of what is wrong with a folder: who made it with thousands need not read them all."""

ADAPTER_FILES = frozenset({*CONTENT_FILES, *PASSENGER_FILES, MANIFEST_FILE, "_SUCCESS"})
"""What a version is made of, and what may mark it as finished; all at the top of its directory."""

_STATE_FILES = re.compile(
    r"""(
      (optimizer|optim|scheduler|lr_scheduler|scaler|grad_scaler)[\w.-]*\.(pt|pth|bin)
    | (rng_state|random_states?|sampler|dataloader|dl_state_dict|custom_checkpoint)[\w.-]*
      \.(pt|pth|bin|pkl)
    | [\w.-]*(optim|model)_states\.pt | zero_to_fp32\.py | latest(_\w+)?
    | (training_args|train_args|args)\.(bin|pt|json|yaml) | (trainer|training|recipe)_state[\w.-]*
    | [\w.-]*\.distcp | \.metadata
    | (v_head|value_head)\.(bin|safetensors)
    | (tokenization|configuration|modeling|processing|image_processing)_\w+\.py
    | events\.out\.tfevents\.[\w.@-]+
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_WHOLE_MODELS = re.compile(
    r"""(
      (\w{1,8}-)?(pytorch_)?model(-\d+-of-\d+)?\.(safetensors|bin)
    | (tf_model\.h5|flax_model\.msgpack|consolidated[\w.-]*\.(pth|safetensors)) | [\w.-]+\.gguf
    )""",
    re.VERBOSE | re.IGNORECASE,
)
# torchtune writes its own pickle beside PEFT's file; without the latter it is worth a word.
_SECOND_COPIES = re.compile(r"adapter_(model|\d+)\.pt", re.IGNORECASE)
_CHECKPOINT = re.compile(
    r"(last-|best-|tmp-)?(checkpoint|ckpt|epoch|step|global_step|iter)([-_.]?(\d+|best|last|latest|final))?",
    re.IGNORECASE,
)
_STATE_FOLDERS = re.compile(
    r"""(
      global_step\d+ | (optimizer|pytorch_model_fsdp|fsdp|distcp)[\w-]*
    | runs | wandb | mlruns | logs? | tb | tensorboard | lightning_logs | aim | trackio
    | \.\w[\w.-]* | __\w+ | images | figures | plots | assets | samples | completions
    | recipe_state | evals? | evaluation | results | last_run_prepared | merged | original
    | base_model
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_HARMLESS = re.compile(
    r"""(
      [\w.@-]*\.(md|rst|txt|json|jsonl|jinja|model|yaml|yml|toml|cfg|ini|lock|csv|tsv|parquet|sum|tiktoken|spm|vocab)
    | [\w.@-]*\.(log|out|err|html|css|svg|png|jpg|jpeg|gif|webp|bmp|ico|pdf|ipynb|metadata)
    | LICENSE | NOTICE | \.gitattributes | \.gitignore | \.gitkeep
    )""",
    re.VERBOSE | re.IGNORECASE,
)


_PEFT_WRITES = "Push the directory that PEFT's save_pretrained wrote."
# What other programs write where an adapter was expected, and what to do about it.
_OTHER_FORMATS: Mapping[str, str] = {
    r"(\d+_)?adapters\.(safetensors|npz)": "That is MLX's own format: convert it to PEFT's.",
    r"adapter_model\.(bin|pt)": "A pickle is never read: save the adapter again with"
    " safe_serialization=True.",
    r"adapter_\d+\.(pt|safetensors)": "That is torchtune's own format: save it with torchtune's"
    " Hugging Face checkpointer, which writes PEFT's files.",
    r"(pytorch_lora_weights|[\w.-]*lora[\w.-]*)\.safetensors": "A single LoRA file is kohya's or"
    " diffusers' format, which image models use.",
    r"[\w.-]+\.gguf": "GGUF is llama.cpp's format: push what it was converted from.",
    r"(\w+-)?(pytorch_)?model(-\d+-of-\d+)?\.(safetensors|bin)": "That is a whole model: push the"
    " adapter that was trained, or serve the model as a base.",
}


@dataclass(frozen=True)
class Selection:
    """Which part of a folder is the adapter. Paths are POSIX, relative to the folder."""

    root: str
    """The adapter's directory; empty for the folder itself."""
    kept: tuple[str, ...]
    """Files of the adapter, and those that preflight has to judge."""
    extras: tuple[str, ...]
    """Harmless files beside the adapter, such as an image; they count towards its size."""
    state: tuple[str, ...]
    """What training needed and serving does not; as if it were not there."""
    candidates: tuple[str, ...]
    """When it cannot be told which directory is meant: all of them. Else empty."""

    @property
    def ambiguity(self) -> str:
        """What to do when there are several adapters; empty when it is clear which is meant."""
        if not self.candidates:
            return ""
        shown = few((each or "the top directory" for each in self.candidates), MOST_NAMED)
        return f"it holds {len(self.candidates)} adapters: push one of them by itself: {shown}"

    @property
    def taken(self) -> frozenset[str]:
        """Files that count: those of the adapter, harmless and suspicious ones."""
        return frozenset((*self.kept, *self.extras))

    @property
    def left_out(self) -> tuple[str, ...]:
        """Everything that is not taken."""
        return tuple(sorted((*self.extras, *self.state)))


def select(names: Iterable[str], alias: str | None = None) -> Selection:
    """Find the adapter among the files of a folder.

    It is the folder itself when that holds one; else the only sub-directory that does, where
    earlier checkpoints count only if there is nothing else. Of several adapters the one is meant
    whose directory is named like ``alias``.
    """
    files = sorted(names)
    found = _adapter_directories(files)
    root, candidates = _chosen(found, alias)
    others = frozenset(found) - {"", root}
    is_whole = _in(root, WEIGHTS_FILE) in files
    sorted_out: dict[str, list[str]] = {"kept": [], "extras": [], "state": []}
    for name in files:
        sorted_out[_kind(name, root, others, is_whole)].append(name)
    return Selection(root, candidates=candidates, **{k: tuple(v) for k, v in sorted_out.items()})


def is_training_state(name: str) -> bool:
    """Whether a file is of no use to serving wherever it lies: optimizer, random state, logs."""
    path = PurePosixPath(name)
    in_state = any(re.fullmatch(r"global_step\d+", part) for part in path.parts[:-1])
    return in_state or _STATE_FILES.fullmatch(path.name) is not None


def advice(names: Iterable[str]) -> str:
    """What to push instead, by what is there where PEFT's files should be."""
    there = sorted({PurePosixPath(name).name for name in names})
    for pattern, remedy in _OTHER_FORMATS.items():
        if any(re.fullmatch(pattern, name, re.IGNORECASE) for name in there):
            return f"{remedy} {_PEFT_WRITES}"
    return _PEFT_WRITES


def is_left_out(name: str) -> bool:
    """Whether a link of this name is nobody's loss: training state, or a place in its folders."""
    return is_training_state(name) or _in_trainers_folder(name)


def find_adapter(directory: Path, alias: str | None = None) -> Path:
    """The directory of the adapter in a trainer's folder; the folder itself when in doubt.

    Raises ``OSError`` when the folder cannot be read.
    """
    return directory / selection_of(directory, alias).root


def selection_of(directory: Path, alias: str | None = None) -> Selection:
    """``select`` over a directory's files, links and the like included. Raises ``OSError``."""
    entries = walk(directory, MAX_ENTRIES)
    return select((entry.relative for entry in entries if not entry.is_directory), alias)


def _adapter_directories(files: list[str]) -> list[str]:
    """Directories with a configuration; where there are any with weights too, only those."""
    there = set(files)
    found = [
        name.removesuffix(CONFIG_FILE).rstrip("/")
        for name in files
        if PurePosixPath(name).name == CONFIG_FILE
    ]
    whole = [each for each in found if _in(each, WEIGHTS_FILE) in there]
    return whole or found


def _in(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def _chosen(found: list[str], alias: str | None) -> tuple[str, tuple[str, ...]]:
    """The adapter's directory, or the top and all that come into question."""
    named = [each for each in found if alias is not None and PurePosixPath(each).name == alias]
    if "" in found:
        # PEFT writes its default adapter here and others below: which one does the name mean?
        beside = [each for each in named if each == alias]
        return "", ("", *beside) if beside else ()
    final = [each for each in found if not _is_checkpoint(each)]
    for group in (named, final, found):
        there = frozenset(group)
        outermost = [each for each in group if not _is_below(each, there)]
        if len(outermost) == 1:
            return outermost[0], ()
        if outermost:
            return "", tuple(outermost)
    return "", ()


def _is_checkpoint(directory: str) -> bool:
    return any(_CHECKPOINT.fullmatch(part) for part in PurePosixPath(directory).parts)


def _is_below(path: str, others: Container[str]) -> bool:
    parts = path.split("/")
    return any("/".join(parts[:depth]) in others for depth in range(1, len(parts)))


def _kind(name: str, root: str, others: Container[str], root_is_whole: bool) -> str:
    """Which part of the selection a file is."""
    inside = name.removeprefix(f"{root}/") if root else name
    if (root and inside == name) or _is_below(name, others) or _in_trainers_folder(inside):
        return "state"
    if inside in ADAPTER_FILES:
        return "kept"
    base_name = PurePosixPath(inside).name
    if is_training_state(inside) or _WHOLE_MODELS.fullmatch(base_name):
        return "state"
    if root_is_whole and _SECOND_COPIES.fullmatch(base_name):
        return "state"
    return "extras" if _HARMLESS.fullmatch(base_name) else "kept"


def _in_trainers_folder(inside: str) -> bool:
    """Below such a folder, or a link to one in its place."""
    parts = PurePosixPath(inside).parts
    return any(_STATE_FOLDERS.fullmatch(part) or _CHECKPOINT.fullmatch(part) for part in parts)
