"""Published versions and the watched store in a bucket, over S3's own wire protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from adapters.config import WatchSettings
from adapters.errors import NotInStore, StoreError
from adapters.format.manifest import Manifest, digest_directory
from adapters.publish.watch import Watcher
from adapters.registry.lifecycle import State
from adapters.store.objects import open_store
from adapters.store.sources import open_source
from tests.fakes.adapter_path import FAST, AdapterPath
from tests.fakes.fleet import FakeFleet
from tests.fakes.s3 import BUCKET, PAGE, FakeS3, fake_s3
from tests.fakes.tiny_adapter import tiny_adapter

URL = f"s3://{BUCKET}/shop"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeS3]:
    """A bucket that the environment names, as a deployment does it."""
    with fake_s3() as made:
        for name, value in made.environment().items():
            monkeypatch.setenv(name, value)
        yield made


def test_a_version_goes_up_and_comes_down_elsewhere(bucket: FakeS3, tmp_path: Path) -> None:
    """One node puts, another one that never saw it fetches; then it is deleted for both."""
    adapter = tiny_adapter(tmp_path / "adapter", 1)
    digest = digest_directory(adapter)
    here, there = (open_store(URL, tmp_path / node) for node in ("here", "there"))
    files = here.put(adapter, "returns", digest, Manifest())
    assert files.uri == f"{URL}/versions/returns/{digest}"
    assert all(key.startswith(f"shop/versions/returns/{digest}/") for key in bucket.objects)
    assert digest_directory(there.lease("returns", digest).path) == digest
    assert there.size("returns", digest) == sum(map(len, bucket.objects.values()))
    assert [each.digest for each in there.list()] == [digest]
    there.delete("returns", digest)
    assert bucket.objects == {}
    with pytest.raises(NotInStore):
        open_store(URL, tmp_path / "third").lease("returns", digest)


def test_a_listing_has_pages(bucket: FakeS3, tmp_path: Path) -> None:
    """More versions than one page of keys: none is left out."""
    store = open_store(URL, tmp_path / "cache")
    digests = []
    for seed in range(PAGE + 1):
        adapter = tiny_adapter(tmp_path / str(seed), seed)
        digests.append(digest_directory(adapter))
        store.put(adapter, "returns", digests[-1], Manifest())
    assert [each.digest for each in store.list()] == sorted(digests)


def test_a_bucket_that_cuts_bytes_is_noticed(bucket: FakeS3, tmp_path: Path) -> None:
    """What comes down is hashed before anybody may use it."""
    adapter = tiny_adapter(tmp_path / "adapter", 1)
    digest = digest_directory(adapter)
    open_store(URL, tmp_path / "here").put(adapter, "returns", digest, Manifest())
    weights = next(key for key in bucket.objects if key.endswith("adapter_model.safetensors"))
    bucket.objects[weights] = bucket.objects[weights][:-4] + b"\0\0\0\0"
    with pytest.raises(StoreError):
        open_store(URL, tmp_path / "there").lease("returns", digest)


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[AdapterPath]:
    """The adapter path behind the watch."""
    made = AdapterPath(tmp_path, FakeFleet("r0"), FAST)
    yield made
    await made.aclose()


async def test_a_finished_prefix_is_published_and_a_bad_one_marked(
    bucket: FakeS3, path: AdapterPath, tmp_path: Path
) -> None:
    """The watch lists, downloads, publishes; it writes the reasons beside what is bad."""
    source = open_source(f"{URL}/drop", max_files=20, max_bytes=100_000, max_entries=50)
    config = path.config.model_copy(update={"watch": WatchSettings()})
    taking = tmp_path / "taking"
    watcher = Watcher(
        path.rollout, path.registry, config, path.events, scratch=taking, source=source
    )
    for name, broken in (("good", False), ("bad", True)):
        for file in tiny_adapter(tmp_path / "drop" / name, 1, broken=broken).iterdir():
            bucket.objects[f"shop/drop/{name}/v1/{file.name}"] = file.read_bytes()
        bucket.objects[f"shop/drop/{name}/v1/_SUCCESS"] = b""
    for _ in range(2):
        await watcher.look()
        await watcher.settled()
        await path.idle()
    states = {v.alias: v.state for v in path.registry.versions()}
    assert states == {"good": State.LIVE, "bad": State.REJECTED}
    marks = [key for key in bucket.objects if key.endswith(".rejected.json")]
    assert marks == ["shop/drop/bad/v1.rejected.json"]
    takes = [r for r in bucket.requests if r.startswith("GET") and "good/v1/adapter_model" in r]
    assert len(takes) == 1, "content is taken once"
