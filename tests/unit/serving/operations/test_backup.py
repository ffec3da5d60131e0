"""Backup, destroy, restore: registry, aliases, adapters and records are what they were."""

from __future__ import annotations

import shutil
import sqlite3
import tarfile
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from adapters.records.subjects import Subjects
from adapters.records.verify import verify as verify_log
from adapters.registry import Registry
from adapters.registry.lifecycle import State
from adapters.registry.records import Plan
from adapters.store.local import LocalStore
from adapters.store.objects import open_store
from router.context.documents.sqlite import SqliteIndex
from serving.cli.main import app
from serving.operations.archive import LIST
from serving.operations.backup import Summary, backup, restore, verify
from serving.operations.places import OperationRefused, Places, read_places
from tests.fakes.adapter_path import AdapterPath
from tests.fakes.corpus import corpus, exchange
from tests.fakes.documents import WIDTH, WordEncoder, document
from tests.fakes.fleet import FakeFleet
from tests.fakes.postgres import NewDatabase
from tests.fakes.records import begin, fill, running_log


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[AdapterPath]:
    """Two aliases, one rolled back, one with a canary; a retired one; decision records."""
    root = tmp_path / "state"
    root.mkdir()
    path = AdapterPath(root, FakeFleet("r0", "r1"))
    await path.push("returns", 1)
    await path.push("returns", 2)
    await path.rollout.rollback("returns", by="test")
    await path.push("extract", 3)
    await path.push("extract", 4, stage="canary", percent=20.0)
    await path.push("gone", 5)
    await path.rollout.retire("gone", by="test")
    await path.idle()
    Subjects(root / "audit")
    with closing(sqlite3.connect(root / "spend.db")) as other:
        other.executescript("CREATE TABLE spend (usd REAL); INSERT INTO spend VALUES (1.5);")
    with running_log(root / "feedback") as feedback, running_log(root / "audit") as log:
        await fill(feedback, 3)
        await fill(log, 20)
        log.add(begin(99))
        await log.flushed()
        yield path
        await path.aclose()


def deploy_file(root: Path, content: str, url: str) -> Path:
    """A deploy file that names these places; the keys are elsewhere, as for an operator."""
    args = {
        "state_dir": str(root),
        "adapters": {"content": content, "database_url": url},
        "router": {"auth": {"keys_file": "/etc/graftwork/keys"}},
    }
    file = root.parent / "deploy.yaml"
    file.write_text(yaml.safe_dump({"applications": [{"name": "graftwork", "args": args}]}))
    return file


def places(system: AdapterPath) -> Places:
    """Where the system keeps what must not be lost."""
    root = system.root
    url = f"sqlite:///{root / 'registry.db'}"
    return read_places(deploy_file(root, str(root / "store"), url))


def state(url: str) -> tuple[Any, ...]:
    """Everything that the registry knows."""
    registry = Registry.open(url)
    try:
        return registry.snapshot(), registry.history(limit=10_000), registry.sightings()
    finally:
        registry.close()


def remove(root: Path) -> None:
    """As a lost disk does it; published versions are read-only."""
    for directory in [root, *(p for p in root.rglob("*") if p.is_dir())]:
        directory.chmod(0o700)
    shutil.rmtree(root)


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a directory that says something: locks are empty."""
    files = (p for p in root.rglob("*") if p.is_file() and p.suffix != ".lock")
    return {str(p.relative_to(root)): p.read_bytes() for p in files}


async def test_what_was_destroyed_comes_back(system: AdapterPath, tmp_path: Path) -> None:
    """Made while the registry runs; after the loss of everything, all of it is identical."""
    where, file = places(system), tmp_path / "backup.tar"
    summary = backup(where, file)
    assert (summary.missing, summary.kind) == ((), "sqlite")
    await system.aclose()
    before, store = state(where.database_url), contents(system.root / "store")
    log, feedback = contents(system.root / "audit"), contents(system.root / "feedback")
    remove(system.root)
    assert restore(where, file) == summary == verify(file)
    assert state(where.database_url) == before
    assert contents(system.root / "store") == store
    assert contents(system.root / "audit") == log
    assert contents(system.root / "feedback") == feedback
    assert verify_log(system.root / "audit").problems == []
    kept = LocalStore(system.root / "store")
    for version in kept.list():
        kept.verify(version.alias, version.digest)
    with closing(sqlite3.connect(system.root / "spend.db")) as other:
        assert other.execute("SELECT usd FROM spend").fetchall() == [(1.5,)]


async def test_the_restored_registry_works_on(system: AdapterPath, tmp_path: Path) -> None:
    """A fresh process resumes on it, rolls back, and publishes."""
    where, file = places(system), tmp_path / "backup.tar"
    backup(where, file)
    live = system.registry.alias("returns").live
    await system.rollout.aclose()
    system.registry.close()
    remove(system.root)
    restore(where, file)
    system.start()
    await system.rollout.resume()
    assert system.registry.alias("returns").live == live
    await system.push("returns", 9)
    assert system.registry.alias("returns").live == system.digest(9)
    await system.rollout.rollback("returns", by="test")
    assert system.registry.alias("returns").live == live


async def test_a_bucket_is_backed_up_and_restored(system: AdapterPath, tmp_path: Path) -> None:
    """The content store may be an object store: versions travel between the two kinds."""
    where, file = places(system), tmp_path / "backup.tar"
    backup(where, file)
    url = (tmp_path / "bucket").as_uri()
    bucket = Places(f"sqlite:///{tmp_path / 'new' / 'registry.db'}", url, tmp_path / "new")
    restore(bucket, file)
    again = tmp_path / "again.tar"
    summary = backup(bucket, again)
    assert not summary.missing
    listed = [(v.alias, v.digest) for v in open_store(url, tmp_path / "cache").list()]
    assert listed == [(v.alias, v.digest) for v in system.store.list()]
    last = Places(f"sqlite:///{tmp_path / 'last' / 'r.db'}", str(tmp_path / "c"), tmp_path / "last")
    restore(last, again)
    assert contents(tmp_path / "c") == contents(system.root / "store")


async def test_what_is_beside_the_registrys_tables_comes_back_beside_them(
    system: AdapterPath, tmp_path: Path
) -> None:
    """Where the registry's database is not in the state directory, as on a cluster."""
    registry, root = tmp_path / "volume", system.root
    registry.mkdir()
    shutil.copyfile(root / "registry.db", registry / "registry.db")
    index = SqliteIndex(registry / "documents.db", WIDTH, writes=True)
    index.put(*document("d1", ["The kettle boils."], WordEncoder()))
    corpus_url = f"sqlite:///{registry / 'flywheel.db'}"
    with corpus(corpus_url) as (exchanges, _):
        kept, _ = exchanges.take(exchange("Is the kettle boiling?"))
    url = f"sqlite:///{registry / 'registry.db'}"
    found = read_places(deploy_file(root, str(root / "store"), url))
    backup(found, tmp_path / "backup.tar")
    index.close()
    remove(registry)
    registry.mkdir()
    restore(found, tmp_path / "backup.tar", force=True)
    again = SqliteIndex(registry / "documents.db", WIDTH, writes=False)
    assert [each.id for each in again.page(None, "", 9)] == ["d1"]
    again.close()
    with corpus(corpus_url) as (exchanges, _):
        assert exchanges.find(kept) is not None


async def test_nothing_is_overwritten_unasked(system: AdapterPath, tmp_path: Path) -> None:
    """A restore over a system that is there is refused, until it is asked for."""
    where, file = places(system), tmp_path / "backup.tar"
    backup(where, file)
    await system.push("later", 6)
    await system.aclose()
    with pytest.raises(OperationRefused, match="already there"):
        restore(where, file)
    assert any(alias.name == "later" for alias in state(where.database_url)[0].aliases)
    restore(where, file, force=True)
    assert not any(alias.name == "later" for alias in state(where.database_url)[0].aliases)


async def test_a_served_version_without_files_is_told(system: AdapterPath, tmp_path: Path) -> None:
    """A store that lost a version that is live makes a backup that says so."""
    live = system.registry.alias("returns").live
    assert live is not None
    system.store.delete("returns", live)
    summary = backup(places(system), tmp_path / "backup.tar")
    assert summary.missing == (f"returns@{live[:12]}",)


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
async def test_a_damaged_backup_changes_nothing(
    system: AdapterPath, tmp_path: Path, at: float
) -> None:
    """One flipped byte, anywhere: refused before anything is touched."""
    where, file = places(system), tmp_path / "backup.tar"
    backup(where, file)
    await system.aclose()
    with tarfile.open(file) as tar:
        names = tar.getnames()
        member = tar.getmember(names[int(at * len(names))])
        offset = member.offset_data + member.size // 2
    damaged = bytearray(file.read_bytes())
    damaged[offset] ^= 1
    file.write_bytes(damaged)
    remove(system.root)
    with pytest.raises(OperationRefused):
        restore(where, file)
    assert not system.root.exists()


async def test_half_a_backup_is_refused(system: AdapterPath, tmp_path: Path) -> None:
    """Cut anywhere, it has no list at its end."""
    file = tmp_path / "backup.tar"
    backup(places(system), file)
    whole = file.read_bytes()
    with tarfile.open(file) as tar:
        last = tar.getmember(LIST)
    for end in (0, last.offset // 3, last.offset, last.offset + 100, last.offset_data + 20):
        file.write_bytes(whole[:end])
        with pytest.raises(OperationRefused):
            verify(file)


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil"])
def test_a_backup_writes_only_where_it_may(tmp_path: Path, name: str) -> None:
    """A tar that somebody else made cannot leave the scratch directory."""
    file = tmp_path / "evil.tar"
    with tarfile.open(file, "w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(OperationRefused, match="no place in a backup"):
        verify(file)


def test_a_link_has_no_place_in_it(tmp_path: Path) -> None:
    """Nor can a link lead out of it."""
    file = tmp_path / "evil.tar"
    with tarfile.open(file, "w") as tar:
        link = tarfile.TarInfo(LIST)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(OperationRefused, match="no place in a backup"):
        verify(file)


def test_without_a_registry_there_is_no_backup(tmp_path: Path) -> None:
    """A wrong path is not taken for an empty registry, and leaves no file behind."""
    where = Places(f"sqlite:///{tmp_path}/no.db", str(tmp_path / "store"), tmp_path)
    with pytest.raises(OperationRefused, match="no registry"):
        backup(where, tmp_path / "backup.tar")
    assert not list(tmp_path.iterdir())


async def test_the_commands(system: AdapterPath, tmp_path: Path) -> None:
    """What a person types, and what stands there after a mistake."""
    where, file = places(system), tmp_path / "backup.tar"
    config = str(system.root.parent / "deploy.yaml")
    await system.aclose()
    run = CliRunner().invoke
    assert run(app, ["backup", str(file), "--config", config]).exit_code == 0
    refused = run(app, ["restore", str(file), "--config", config])
    assert (refused.exit_code, "--force" in refused.output) == (1, True)
    before = state(where.database_url)
    remove(system.root)
    checked = run(app, ["restore", str(file), "--config", config, "--check"])
    assert (checked.exit_code, system.root.exists()) == (0, False)
    assert run(app, ["restore", str(file), "--config", config]).exit_code == 0
    assert state(where.database_url) == before
    missing = run(app, ["backup", str(file), "--config", str(tmp_path / "none.yaml")])
    assert missing.exit_code == 1
    assert "cannot be read" in missing.output


# --- PostgreSQL, where its programs are installed


def test_postgresql_comes_back_too(postgres: NewDatabase, tmp_path: Path) -> None:
    """pg_dump and pg_restore: into an empty database, and over another state when asked."""
    if shutil.which("pg_dump") is None:
        pytest.skip("needs PostgreSQL's pg_dump and pg_restore on the PATH")
    first, second = postgres(), postgres()
    registry = Registry.open(first)
    registry.claim()
    registry.receive("returns", "a" * 64, plan=Plan(), by="test")
    registry.move("returns", "a" * 64, State.CHECKED, by="test")
    registry.close()
    before = state(first)
    file = tmp_path / "backup.tar"
    made = backup(Places(first, str(tmp_path / "store"), tmp_path / "state"), file)
    assert (made.kind, made.missing) == ("postgresql", ())
    target = Places(second, str(tmp_path / "store2"), tmp_path / "state2")
    assert isinstance(restore(target, file), Summary)
    assert state(second) == before
    with pytest.raises(OperationRefused, match="already there"):
        restore(target, file)
    again = Registry.open(second)
    again.claim()
    again.receive("later", "b" * 64, plan=Plan(), by="test")
    again.close()
    restore(target, file, force=True)
    assert state(second) == before
    with pytest.raises(OperationRefused, match="names sqlite"):
        restore(Places(f"sqlite:///{tmp_path}/r.db", str(tmp_path / "s"), tmp_path / "s3"), file)


async def test_a_state_directory_that_serve_was_given(system: AdapterPath, tmp_path: Path) -> None:
    """As the systemd unit does: the file names another, and so has the backup to be told."""
    file = tmp_path / "given.yaml"
    content = str(system.root / "store")
    args = {"state_dir": str(tmp_path / "elsewhere"), "adapters": {"content": content}}
    file.write_text(yaml.safe_dump({"applications": [{"name": "graftwork", "args": args}]}))
    target = tmp_path / "graftwork.tar"
    cli = CliRunner()
    lost = cli.invoke(app, ["backup", str(target), "--config", str(file)])
    assert lost.exit_code == 1
    assert "--state-dir" in lost.stderr
    given = ["--config", str(file), "--state-dir", str(system.root)]
    assert cli.invoke(app, ["backup", str(target), *given]).exit_code == 0
    assert verify(target).versions
    put = cli.invoke(app, ["restore", str(target), "--config", str(file), "--state-dir",
                           str(tmp_path / "new")])  # fmt: skip
    assert put.exit_code == 0, put.output
    assert (tmp_path / "new/registry.db").is_file()


async def test_frozen_datasets_and_erasures_come_back(system: AdapterPath, tmp_path: Path) -> None:
    """The database only names them. Drafts stay behind."""
    root = system.root
    for name in (
        "datasets/aa/train.jsonl",
        "datasets/.aa-draft/train.jsonl",
        "erasures/era_1.json",
    ):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    found = places(system)
    backup(found, tmp_path / "graftwork.tar")
    for name in ("datasets", "erasures"):
        shutil.rmtree(root / name)
    restore(found, tmp_path / "graftwork.tar", force=True)
    assert (root / "datasets/aa/train.jsonl").read_text() == "datasets/aa/train.jsonl"
    assert (root / "erasures/era_1.json").is_file()
    assert not (root / "datasets/.draft").exists()
