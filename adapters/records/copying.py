"""A copy of a log that is written to: each payload file reaches as far as its records do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adapters.records import payloads
from adapters.records.files import Layout, Segment, is_held
from adapters.records.holds import HOLDS_FILE
from adapters.records.line import read_line
from adapters.records.signing import KEYS_FILE, SIGNING_FILE
from adapters.records.subjects import KEY_FILE
from adapters.records.tree import Tree


def copies(root: Path, scratch: Path) -> Iterator[tuple[str, Path]]:
    """(name below the log's directory, file with its content) of all that cannot be made again.

    A file that is written to meanwhile is copied below ``scratch`` first. Raises ``OSError``.
    """
    layout = Layout(root)
    for name in (KEY_FILE, SIGNING_FILE, KEYS_FILE, HOLDS_FILE):
        if (root / name).exists():
            yield name, root / name
    if layout.checkpoints.exists():
        # First, so that nothing it speaks of is missing.
        kept = scratch / layout.checkpoints.name
        kept.write_bytes(layout.checkpoints.read_bytes())
        yield layout.checkpoints.name, kept
    for path in Tree(layout.tree).files():
        # Appended to, and written over only beyond what the checkpoints say.
        kept = scratch / path.name
        kept.write_bytes(path.read_bytes())
        yield f"{layout.tree.name}/{path.name}", kept
    for segment in layout.found():
        records, kept = layout.records_of(segment), layout.payloads_of(segment)
        if is_held(records):
            records, kept = _copy(layout, segment, scratch)
        yield f"segments/{segment.name}", records
        if kept.exists():
            yield f"payloads/{segment.name}", kept


def _copy(layout: Layout, segment: Segment, scratch: Path) -> tuple[Path, Path]:
    records, kept = scratch / f"records-{segment.name}", scratch / f"payloads-{segment.name}"
    data = layout.records_of(segment).read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    records.write_bytes(whole)
    newest = read_line(whole.rstrip(b"\n").rpartition(b"\n")[2])
    last = -1 if newest is None else newest["sequence"]
    lines = []
    for _, text in payloads.lines(layout.payloads_of(segment)):
        found = payloads.read(text)
        if found is None or found.sequence <= last:
            lines.append(text + b"\n")
    if lines:
        kept.write_bytes(b"".join(lines))
    return records, kept
