"""Backup and restore of everything that a deployment cannot compute again.

In this order: the registry's database, other databases, the logs, frozen datasets and erasures of
the state directory, then every published version. Versions and datasets never change and are there
before the database names them, so one that is older than the files beside it is complete. A restore
verifies the whole backup, puts files in place, and the registry's database last.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.exc import SQLAlchemyError

from adapters.dataset.datasets import DIRECTORY as DATASETS
from adapters.errors import AdapterError, NotInStore
from adapters.format.manifest import Manifest, read_manifest
from adapters.records.copying import copies
from adapters.registry import database
from adapters.registry.lifecycle import State
from adapters.registry.models import VersionRow
from adapters.store.objects import open_store
from adapters.store.store import VersionStore
from serving.config.settings import DOCUMENTS_FILE, ERASURES, FLYWHEEL_FILE
from serving.operations import databases
from serving.operations.archive import ArchiveWriter, unpack, writing
from serving.operations.places import OperationRefused, Places

LOGS = ("audit", "feedback")
"""Directories of the state directory that hold append-only logs (`adapters/records/`)."""
TREES = (DATASETS, ERASURES)
"""Those whose files are put there whole and never change: nothing else has what is in them."""
SQLITE, POSTGRES = "sqlite", "postgresql"
_BESIDE = (DOCUMENTS_FILE, FLYWHEEL_FILE)
"""Databases in the registry's folder, when that is not the state's."""
_REGISTRY = {SQLITE: "registry.db", POSTGRES: "registry.dump"}
_SERVED = frozenset({State.SHADOW, State.CANARY, State.LIVE, State.SUPERSEDED})


@dataclass(frozen=True)
class Summary:
    """What a backup holds."""

    kind: str
    made_at: str
    versions: int
    files: int
    missing: tuple[str, ...] = ()
    """Versions that the registry serves and the content store does not have."""


def backup(places: Places, target: Path) -> Summary:
    """Write a backup while the system runs. Raises ``OperationRefused``; then there is no file."""
    kind = SQLITE if places.sqlite else POSTGRES
    made_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    facts: dict[str, Any] = {"kind": kind, "made_at": made_at}
    with tempfile.TemporaryDirectory(prefix="graftwork-backup-") as folder:
        scratch = Path(folder)
        served = _served(places)
        with writing(target, facts) as writer:
            _add_databases(writer, places, scratch, kind)
            for name in LOGS:
                (scratch / name).mkdir()
                for file, path in copies(places.state_dir / name, scratch / name):
                    writer.add(f"state/{name}/{file}", path)
            for name in TREES:
                _add_tree(writer, places.state_dir, name, scratch)
            found = _add_versions(writer, places, scratch)
            facts["versions"] = len(found)
            facts["missing"] = sorted(served - found)
            files = len(writer.files)
    return Summary(kind, made_at, len(found), files, tuple(facts["missing"]))


def restore(places: Places, source: Path, *, force: bool = False) -> Summary:
    """Put a backup in place; nothing of Graftwork may run. Raises ``OperationRefused``.

    ``force``: over what is there. Versions that the backup does not have stay.
    """
    with _unpacked(places, source) as (folder, summary):
        _check_target(places, summary.kind, force=force)
        _put_versions(folder / "content", places)
        _put_state(folder / "state", places.state_dir)
        registry = folder / _REGISTRY[summary.kind]
        if places.sqlite is not None:
            databases.put_sqlite(registry, places.sqlite)
            for name in _BESIDE:
                if (folder / name).is_file():
                    databases.put_sqlite(folder / name, places.sqlite.with_name(name))
        else:
            databases.restore_postgres(places.database_url, registry)
    return summary


def verify(source: Path) -> Summary:
    """Read all of a backup and change nothing. Raises ``OperationRefused``."""
    with tempfile.TemporaryDirectory(prefix="graftwork-verify-") as folder:
        return _summary(Path(folder), source)


def _served(places: Places) -> set[str]:
    """Names of the versions that have to have files."""
    if places.sqlite is not None and not places.sqlite.is_file():
        raise OperationRefused(
            f"there is no registry at {places.sqlite}: name the deploy file with --config, and its "
            "--state-dir if `graftwork serve` was given one"
        )
    engine = database.connect(places.database_url)
    try:
        with engine.execution_options(**{database.READ_ONLY: True}).connect() as connection:
            rows = connection.execute(select(VersionRow.name, VersionRow.state)).all()
    except SQLAlchemyError as error:
        raise OperationRefused(f"the registry cannot be read: {error}") from error
    finally:
        engine.dispose()
    return {name for name, state in rows if State(state) in _SERVED}


def _add_databases(writer: ArchiveWriter, places: Places, scratch: Path, kind: str) -> None:
    registry = scratch / _REGISTRY[kind]
    if places.sqlite is not None:
        databases.copy_sqlite(places.sqlite.absolute(), registry)
    else:
        databases.dump_postgres(places.database_url, registry)
    writer.add(registry.name, registry)
    own = places.sqlite.absolute() if places.sqlite else None
    for beside in () if own is None else map(own.with_name, _BESIDE):
        if beside.is_file() and beside.parent != places.state_dir:
            databases.copy_sqlite(beside, scratch / beside.name)
            writer.add(beside.name, scratch / beside.name)
    for path in sorted(places.state_dir.glob("*.db")):
        if path.absolute() != own:
            copy = scratch / f"state-{path.name}"
            databases.copy_sqlite(path.absolute(), copy)
            writer.add(f"state/{path.name}", copy)


def _add_tree(writer: ArchiveWriter, state_dir: Path, name: str, scratch: Path) -> None:
    """Add what is whole in a directory. What an erasure removes meanwhile is not in the backup."""
    for path in sorted((state_dir / name).glob("[!.]*")):  # drafts begin with a dot
        copy = scratch / name / path.name
        copy.parent.mkdir(exist_ok=True)
        try:
            if path.is_dir():
                shutil.copytree(path, copy)
            else:
                shutil.copyfile(path, copy)
        except (FileNotFoundError, shutil.Error):
            if path.exists():
                raise
            continue
        if copy.is_dir():
            writer.add_tree(f"state/{name}/{path.name}", copy)
        else:
            writer.add(f"state/{name}/{path.name}", copy)


def _add_versions(writer: ArchiveWriter, places: Places, scratch: Path) -> set[str]:
    """Add every version of the content store; their names."""
    found: set[str] = set()
    try:
        for files in _store(places, scratch / "list").list():
            # A cache for each, so that a large bucket does not have to fit on this machine at once.
            cache = scratch / files.digest
            try:
                lease = _store(places, cache).lease(files.alias, files.digest)
            except NotInStore:
                continue  # deleted since it was listed
            with lease:
                writer.add_tree(f"content/{files.alias}/{files.digest}", lease.path)
            found.add(f"{files.alias}@{files.digest[:12]}")
            _remove(cache)
    except AdapterError as error:
        raise OperationRefused(
            f"the content store at {places.content} cannot be read: {error}"
        ) from error
    return found


def _store(places: Places, cache: Path) -> VersionStore:
    return open_store(places.content, cache)


def _remove(directory: Path) -> None:
    for path in [directory, *directory.rglob("*")] if directory.is_dir() else []:
        if path.is_dir():
            path.chmod(0o700)
    shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _unpacked(places: Places, source: Path) -> Iterator[tuple[Path, Summary]]:
    """A verified backup in a scratch directory beside the state, where there is room for it."""
    parent = places.state_dir.parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".graftwork-restore-", dir=parent) as folder:
        yield Path(folder), _summary(Path(folder), source)


def _summary(folder: Path, source: Path) -> Summary:
    facts = unpack(source, folder)
    for path in [folder / _REGISTRY[SQLITE], *(folder / "state").glob("*.db")]:
        if path.exists():
            databases.check_sqlite(path)
    versions = sum(1 for _ in _versions(folder / "content"))
    missing = tuple(facts.get("missing", ()))
    return Summary(facts["kind"], facts["made_at"], versions, len(facts["files"]), missing)


def _versions(content: Path) -> Iterator[tuple[str, str, Path]]:
    for path in sorted(content.glob("*/*")):
        yield path.parent.name, path.name, path


def _check_target(places: Places, kind: str, *, force: bool) -> None:
    have = SQLITE if places.sqlite else POSTGRES
    if have != kind:
        raise OperationRefused(
            f"the backup is of {kind} and the deploy file names {have}: change the file"
        )
    if force:
        return
    taken = [path for name in LOGS if (path := places.state_dir / name).exists()]
    if places.sqlite is not None and places.sqlite.exists():
        taken.append(places.sqlite)
    if places.sqlite is None and _has_tables(places):
        taken.append(Path("the database"))
    if taken:
        names = ", ".join(map(str, taken))
        raise OperationRefused(
            f"{names}: already there; move it away, or overwrite it with --force"
        )


def _has_tables(places: Places) -> bool:
    engine = database.connect(places.database_url)
    try:
        return bool(inspect(engine).get_table_names())
    except SQLAlchemyError as error:
        raise OperationRefused(f"the database cannot be reached: {error}") from error
    finally:
        engine.dispose()


def _put_versions(content: Path, places: Places) -> None:
    with tempfile.TemporaryDirectory(prefix="graftwork-restore-") as cache:
        store = _store(places, Path(cache))
        try:
            for alias, digest, path in _versions(content):
                # The store hashes what it takes: a version is what its name says, or refused.
                store.put(path, alias, digest, read_manifest(path) or Manifest())
        except AdapterError as error:
            raise OperationRefused(f"the content store did not take a version: {error}") from error


def _put_state(source: Path, state_dir: Path) -> None:
    if not source.is_dir():
        return
    state_dir.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_dir():
            shutil.copytree(path, state_dir / path.name, dirs_exist_ok=True)
        else:
            databases.put_sqlite(path, state_dir / path.name)
