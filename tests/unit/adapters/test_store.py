import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import obstore
import pytest

from adapters.config import StagingSettings
from adapters.errors import (
    BadName,
    CheckResult,
    DigestMismatch,
    NotInStore,
    StoreError,
    StoreFull,
)
from adapters.format.base_model import BaseFacts
from adapters.format.manifest import Manifest, digest_directory, read_manifest
from adapters.store import local as store_module
from adapters.store.local import LocalStore
from adapters.store.objects import ObjectStore, open_store
from adapters.store.staging import StagingArea
from adapters.store.store import VersionStore
from tests.fakes.peft_dirs import tiny_base, write_good

MANIFEST = Manifest(author="test")


def area(root: Path) -> StagingArea:
    """A node's staging area that is never full here."""
    return StagingArea(root, StagingSettings())


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseFacts:
    """A tiny base, read from its files."""
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def directory(tmp_path: Path, base: BaseFacts) -> Path:
    """A good adapter to store."""
    return write_good(tmp_path / "pushed", base)


@pytest.fixture(params=["local", "memory", "file"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], VersionStore]:
    """Opens the same store as a process with the named cache sees it."""
    if request.param == "local":
        return lambda name: open_store(tmp_path / "store", tmp_path / name)
    if request.param == "memory":
        bucket = obstore.store.MemoryStore()
        return lambda name: ObjectStore(bucket, "memory:///", area(tmp_path / name))
    url = (tmp_path / "bucket").as_uri()
    return lambda name: open_store(url, tmp_path / name)


@pytest.fixture
def store(opener: Callable[[str], VersionStore]) -> VersionStore:
    """An empty store of each kind."""
    return opener("cache")


@pytest.fixture
def local(tmp_path: Path) -> LocalStore:
    """An empty local store."""
    return LocalStore(tmp_path / "store")


def test_what_is_put_is_there_for_everybody(
    opener: Callable[[str], VersionStore], directory: Path
) -> None:
    """A second process finds the same content and manifest, with no file too many."""
    digest = digest_directory(directory)
    (directory / "_SUCCESS").touch()
    (directory / "README.md").write_text("card")
    (directory / "trainer_state.json").write_text("{}")
    opener("one").put(directory, "returns", digest, MANIFEST)
    other = opener("two")
    assert other.exists("returns", digest)
    path = other.lease("returns", digest).path
    assert digest_directory(path) == digest
    assert read_manifest(path) == MANIFEST
    assert {item.name for item in path.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "graftwork.json",
        "README.md",
    }
    assert [(files.alias, files.digest) for files in other.list()] == [("returns", digest)]
    assert other.list()[0] == other.files("returns", digest)


def test_putting_twice_changes_nothing(store: VersionStore, directory: Path) -> None:
    """The same content is stored once; the first manifest stays."""
    digest = digest_directory(directory)
    first = store.put(directory, "returns", digest, MANIFEST)
    assert store.put(directory, "returns", digest, Manifest(author="other")) == first
    assert read_manifest(store.lease("returns", digest).path) == MANIFEST


def test_one_content_may_have_two_aliases(store: VersionStore, directory: Path) -> None:
    """Aliases do not share directories: retiring one leaves the other."""
    digest = digest_directory(directory)
    store.put(directory, "returns", digest, MANIFEST)
    store.put(directory, "refunds", digest, MANIFEST)
    store.delete("returns", digest)
    assert not store.exists("returns", digest)
    assert store.lease("refunds", digest).path.is_dir()


def test_content_that_is_not_its_digest_is_refused(store: VersionStore, directory: Path) -> None:
    """A wrong digest stores nothing."""
    with pytest.raises(DigestMismatch):
        store.put(directory, "returns", "0" * 64, MANIFEST)
    assert not store.exists("returns", "0" * 64)
    assert store.list() == []


def test_writers_of_the_same_content_do_not_disturb_each_other(
    opener: Callable[[str], VersionStore], directory: Path
) -> None:
    """Of several writers at once each succeeds, and one copy is there."""
    digest = digest_directory(directory)
    store = opener("shared")
    with ThreadPoolExecutor(4) as pool:
        puts = [pool.submit(store.put, directory, "returns", digest, MANIFEST) for _ in range(8)]
    assert {put.result() for put in puts} == {store.files("returns", digest)}
    path = store.lease("returns", digest).path
    assert digest_directory(path) == digest
    assert [item.name for item in path.parent.iterdir()] == [digest]


def test_what_is_not_there_is_a_typed_error(store: VersionStore) -> None:
    """Asking for an unknown version says so; deleting it is nothing."""
    with pytest.raises(NotInStore):
        store.lease("returns", "0" * 64)
    store.delete("returns", "0" * 64)
    assert store.list() == []


@pytest.mark.parametrize(("alias", "digest"), [("../x", "0" * 64), ("returns", "../../etc")])
def test_names_cannot_leave_the_store(store: VersionStore, alias: str, digest: str) -> None:
    """Names that are not in the grammar never become paths."""
    for ask in (store.lease, store.exists, store.delete, store.files):
        with pytest.raises(BadName):
            ask(alias, digest)


def test_a_deleted_version_can_be_put_again(
    opener: Callable[[str], VersionStore], directory: Path
) -> None:
    """Deletion is complete, also for a process that had it cached."""
    digest = digest_directory(directory)
    store = opener("one")
    store.put(directory, "returns", digest, MANIFEST)
    store.delete("returns", digest)
    assert not opener("two").exists("returns", digest)
    store.put(directory, "returns", digest, MANIFEST)
    assert opener("two").lease("returns", digest).path.is_dir()


def test_stored_versions_are_read_only(local: LocalStore, directory: Path) -> None:
    """Files are 0444 and their directory 0555: weights must not change under a running engine."""
    path = local.put(directory, "returns", digest_directory(directory), MANIFEST).path
    assert stat.S_IMODE(path.stat().st_mode) == 0o555
    assert {stat.S_IMODE(item.stat().st_mode) for item in path.iterdir()} == {0o444}


def test_a_version_appears_at_once(
    local: LocalStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the last byte is verified, no reader sees the version."""
    digest = digest_directory(directory)
    seen = []
    original = Path.rename

    def watched(self: Path, target: Path) -> Path:
        seen.append((local.exists("returns", digest), len(local.list())))
        return original(self, target)

    monkeypatch.setattr(Path, "rename", watched)
    local.put(directory, "returns", digest, MANIFEST)
    assert seen == [(False, 0)]
    assert local.exists("returns", digest)


def test_a_full_disk_leaves_nothing_behind(
    local: LocalStore, directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No room is its own error, and what was half-copied is removed."""

    def full(source: Path, target: Path) -> None:
        (target / "adapter_config.json").write_text("{}")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store_module, "copy_content", full)
    with pytest.raises(StoreFull) as refused:
        local.put(directory, "returns", digest_directory(directory), MANIFEST)
    assert refused.value.remedy
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


def test_leftovers_of_dead_writers_are_swept(local: LocalStore, directory: Path) -> None:
    """Old staging directories go; versions and young staging directories stay."""
    path = local.put(directory, "returns", digest_directory(directory), MANIFEST).path
    for name, age in ((".staging-old", 2), (".trash-old", 2), (".staging-young", 0)):
        leftover = path.parent / name
        leftover.mkdir()
        (leftover / "x").touch()
        for each in (leftover / "x", leftover):
            os.utime(each, (each.stat().st_mtime - age * 3600,) * 2)
    assert local.sweep() == 2
    assert {item.name for item in path.parent.iterdir()} == {path.name, ".staging-young"}


def test_a_writer_that_takes_hours_loses_nothing(local: LocalStore, directory: Path) -> None:
    """As long as it lives nobody sweeps what it writes, however old that looks."""
    swept: list[int] = []

    def slowly(place: Path) -> Manifest:
        store_module.copy_content(directory, place)
        for each in [*place.iterdir(), place]:
            os.utime(each, (0, 0))
        swept.append(LocalStore(local.files("a", "0" * 64).path.parents[2]).sweep())
        return MANIFEST

    digest = digest_directory(directory)
    local.receive(local.files("returns", digest), local.reserve("returns"), slowly)
    assert swept == [0]
    assert local.exists("returns", digest)


def test_a_file_that_grows_is_no_leftover(local: LocalStore) -> None:
    """Where another machine writes, or the file system has no locks, what changed last counts."""
    place = local.reserve("returns")
    (place / "adapter_model.safetensors").touch()
    os.utime(place, (0, 0))
    assert local.sweep() == 0
    os.utime(place / "adapter_model.safetensors", (0, 0))
    assert local.sweep() == 1


def test_verify_notices_a_changed_disk(local: LocalStore, directory: Path) -> None:
    """Bits that rot in the store are found by hashing again."""
    digest = digest_directory(directory)
    path = local.put(directory, "returns", digest, MANIFEST).path
    local.verify("returns", digest)
    weights = path / "adapter_model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(DigestMismatch):
        local.verify("returns", digest)


def test_quarantine_keeps_files_and_reasons(store: VersionStore, directory: Path) -> None:
    """A refused directory moves away as it is, links included, with its reasons beside it."""
    (directory / "link").symlink_to("/etc/passwd")
    reasons: list[CheckResult | str] = [
        CheckResult(name="finite", ok=False, found="NaN", expected="finite"),
        "dropped in",
    ]
    entry = store.quarantine(directory, reasons)
    assert not directory.exists()
    assert (entry / "files" / "link").is_symlink()
    assert '"finite"' in (entry / "reasons.json").read_text()
    assert "dropped in" in (entry / "reasons.json").read_text()
    assert store.list() == []


def test_quarantine_works_across_file_systems(
    local: LocalStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a rename is impossible files are copied, and pipes, which never end, left out."""

    def elsewhere(self: Path, target: Path) -> Path:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    os.mkfifo(directory / "pipe")
    monkeypatch.setattr(Path, "rename", elsewhere)
    entry = local.quarantine(directory, ["reason"])
    assert not directory.exists()
    assert (entry / "files" / "adapter_config.json").exists()
    assert not (entry / "files" / "pipe").exists()


def test_the_quarantine_is_bounded(tmp_path: Path) -> None:
    """Beyond its bound the oldest entries go (law 9)."""
    store = LocalStore(tmp_path / "store", max_quarantined=2)
    for index in range(4):
        (tmp_path / f"bad-{index}").mkdir()
        store.quarantine(tmp_path / f"bad-{index}", [f"reason {index}"])
    kept = sorted((tmp_path / "store" / ".quarantine").iterdir())
    assert ["bad-2" in kept[0].name, "bad-3" in kept[1].name] == [True, True]


class TestObjectStore:
    """What only object storage can do wrong."""

    @pytest.fixture
    def bucket(self) -> obstore.store.MemoryStore:
        """A bucket in memory."""
        return obstore.store.MemoryStore()

    @pytest.fixture
    def key(self, bucket: obstore.store.MemoryStore, directory: Path, tmp_path: Path) -> str:
        """The key of a version that lies in the bucket."""
        digest = digest_directory(directory)
        store = ObjectStore(bucket, "memory:///", area(tmp_path / "writer"))
        return store.put(directory, "returns", digest, MANIFEST).uri.removeprefix("memory:/")

    @pytest.fixture
    def reader(self, bucket: obstore.store.MemoryStore, tmp_path: Path) -> Iterator[ObjectStore]:
        """Another node, with an empty cache."""
        staging = area(tmp_path / "reader")
        yield ObjectStore(bucket, "memory:///", staging, max_version_bytes=1 << 20)
        shutil.rmtree(tmp_path / "reader", ignore_errors=True)

    def test_without_its_manifest_a_version_is_not_there(
        self, bucket: obstore.store.MemoryStore, key: str, reader: ObjectStore, directory: Path
    ) -> None:
        """The manifest is written last: an upload that broke off is invisible and can be redone."""
        digest = digest_directory(directory)
        obstore.delete(bucket, f"{key}/graftwork.json".lstrip("/"))
        assert not reader.exists("returns", digest)
        assert reader.list() == []
        with pytest.raises(NotInStore):
            reader.lease("returns", digest)

    def test_bytes_that_changed_on_the_way_are_refused(
        self, bucket: obstore.store.MemoryStore, key: str, reader: ObjectStore, directory: Path
    ) -> None:
        """What arrives is hashed before anybody may use it."""
        obstore.put(bucket, f"{key}/adapter_model.safetensors".lstrip("/"), b"something else")
        with pytest.raises(DigestMismatch):
            reader.lease("returns", digest_directory(directory))

    def test_a_version_that_is_too_large_is_not_fetched(
        self, bucket: obstore.store.MemoryStore, key: str, reader: ObjectStore, directory: Path
    ) -> None:
        """What the bucket holds cannot fill this machine's disk."""
        obstore.put(bucket, f"{key}/tokenizer.json".lstrip("/"), b"x" * (2 << 20))
        with pytest.raises(StoreError) as refused:
            reader.lease("returns", digest_directory(directory))
        assert refused.value.code == "version-too-large"


def test_an_unknown_url_is_a_typed_error(tmp_path: Path) -> None:
    """A scheme that nobody serves is refused when the store is opened."""
    with pytest.raises(StoreError) as refused:
        open_store("gopher://host/path", tmp_path)
    assert refused.value.code == "store-url"
