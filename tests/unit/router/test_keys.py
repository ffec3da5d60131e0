"""Who a key belongs to, and what it may do."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import yaml

from adapters.aliases import RoutingTable
from router.admit.keys import LOCAL, Keyring, KeysFile, hash_key, load_keys, new_key
from router.config.auth import ApiKey, AuthConfig, KeyScope
from router.errors import Forbidden, Unauthenticated
from tests.fakes.router_process import router

SECRET = "gw-secret"
OWNER = ApiKey(
    name="app", sha256=hash_key(SECRET), scopes=frozenset({KeyScope.INFERENCE}), tenant="shop"
)


def test_new_keys_are_long_and_never_the_same() -> None:
    """A key has 256 bits of entropy, so that a plain hash is safe to store."""
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith("gw-") and len(key) >= 46 for key in keys)


@pytest.mark.parametrize(
    ("authorization", "x_api_key"),
    [
        (f"Bearer {SECRET}", None),
        (f"bearer {SECRET}", None),
        (f"BEARER  {SECRET} ", None),
        (None, SECRET),
        ("Basic dXNlcjpwYXNz", SECRET),
    ],
)
def test_a_key_is_found(authorization: str | None, x_api_key: str | None) -> None:
    """OpenAI's and Anthropic's ways of sending a key both work, in any case of the scheme."""
    caller = Keyring([OWNER]).identify(authorization, x_api_key)
    assert (caller.name, caller.tenant) == ("app", "shop")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", SECRET, f"Basic {SECRET}"])
def test_no_key(header: str | None) -> None:
    """Without a key the answer says how to send one."""
    with pytest.raises(Unauthenticated) as refused:
        Keyring([OWNER]).identify(header, None)
    assert refused.value.code == "missing_api_key"


@pytest.mark.parametrize("key", ["gw-other", hash_key(SECRET), "ümlaut", "\x00", "x" * 100_000])
def test_a_wrong_key(key: str) -> None:
    """Any other text is refused, the stored hash itself too, and is not repeated."""
    with pytest.raises(Unauthenticated) as refused:
        Keyring([OWNER]).identify(f"Bearer {key}", None)
    assert refused.value.code == "invalid_api_key"
    assert key not in str(refused.value)


def test_without_keys_everybody_is_local() -> None:
    """An open process knows one caller, who may do everything (law 11)."""
    ring = Keyring([])
    assert ring.is_open
    assert ring.identify("Bearer anything", None) is LOCAL
    assert not Keyring([OWNER]).is_open


def test_scopes() -> None:
    """A key does only what its scopes say."""
    ring = Keyring([OWNER])
    caller = ring.identify(f"Bearer {SECRET}", None)
    ring.authorize(caller, KeyScope.INFERENCE)
    for scope in (KeyScope.ADMIN, KeyScope.REVIEWER, KeyScope.AUDITOR):
        with pytest.raises(Forbidden, match=scope.value):
            ring.authorize(caller, scope)
    for scope in KeyScope:
        ring.authorize(LOCAL, scope)


def test_keys_files(tmp_path: Path) -> None:
    """Keys in a YAML or JSON file are added to those in the configuration."""
    rows = [{"name": "other", "sha256": "a" * 64, "scopes": ["admin"]}]
    for name, text in (("keys.yaml", yaml.safe_dump(rows)), ("keys.json", json.dumps(rows))):
        (tmp_path / name).write_text(text)
        keys = load_keys(AuthConfig(keys=(OWNER,), keys_file=tmp_path / name))
        assert [key.name for key in keys] == ["app", "other"]


@pytest.mark.parametrize("text", ["", "a: 1", "[1]", "[{name: x}]", "a: [", "\x00", "[null]"])
def test_broken_keys_files(tmp_path: Path, text: str) -> None:
    """Whatever is wrong with a keys file is one kind of error."""
    file = tmp_path / "keys.yaml"
    file.write_text(text)
    with pytest.raises(ValueError):  # noqa: PT011 - pydantic's own message differs
        load_keys(AuthConfig(keys_file=file))


def test_names_are_distinct(tmp_path: Path) -> None:
    """Two keys of one name could not be told apart in a log."""
    file = tmp_path / "keys.json"
    file.write_text(json.dumps([{"name": "app", "sha256": "a" * 64}]))
    with pytest.raises(ValueError, match="distinct names"):
        load_keys(AuthConfig(keys=(OWNER,), keys_file=file))


def test_the_ring_keeps_no_key() -> None:
    """What is held in memory is hashes and names, never a key."""
    assert SECRET not in repr(vars(Keyring([OWNER])))


def _row(name: str) -> dict[str, object]:
    return {"name": name, "sha256": hash_key(name), "scopes": ["inference"]}


def test_keys_may_lie_in_several_files_of_a_directory(tmp_path: Path) -> None:
    """A cluster mounts one Secret for applications and another for operators side by side."""
    (tmp_path / "application.yaml").write_text(yaml.safe_dump([_row("app")]))
    (tmp_path / "admin.json").write_text(json.dumps([_row("operator")]))
    # The kubelet's own bookkeeping in a mounted Secret.
    (tmp_path / "..data").mkdir()
    found = load_keys(AuthConfig(keys_file=tmp_path))
    assert [key.name for key in found] == ["operator", "app"]


def test_a_keys_file_without_keys_does_not_open_everything(tmp_path: Path) -> None:
    """An empty Secret is a mistake, and not the wish to have no keys."""
    (tmp_path / "keys.yaml").write_text("[]")
    for place in (tmp_path, tmp_path / "keys.yaml"):
        with pytest.raises(ValueError, match="holds no key"):
            load_keys(AuthConfig(keys_file=place))


# Rotation


def test_keys_change_while_it_runs(tmp_path: Path) -> None:
    """A new row counts and a removed one stops counting at the next look, without a restart."""
    file = tmp_path / "keys.yaml"
    file.write_text(yaml.safe_dump([_row("old")]))
    config = AuthConfig(keys=(OWNER,), keys_file=file)
    ring = Keyring(load_keys(config))
    watch = KeysFile(config, ring)
    watch.look()
    assert ring.identify("Bearer old", None).name == "old"
    file.write_text(yaml.safe_dump([_row("new-one")]))
    watch.look()
    assert ring.identify(None, "new-one").name == "new-one"
    assert ring.identify(f"Bearer {SECRET}", None).name == "app", "those of the settings stay"
    with pytest.raises(Unauthenticated):
        ring.identify("Bearer old", None)


def test_a_swapped_secret_is_noticed(tmp_path: Path) -> None:
    """A cluster swaps a directory behind a link: names and sizes stay, the files are others."""
    for number, name in (("1", "aaa"), ("2", "bbb")):
        (tmp_path / number).mkdir()
        (tmp_path / number / "keys.yaml").write_text(yaml.safe_dump([_row(name)]))
    link = tmp_path / "mounted"
    link.symlink_to("1")
    config = AuthConfig(keys_file=link)
    ring = Keyring(load_keys(config))
    watch = KeysFile(config, ring)
    link.unlink()
    link.symlink_to("2")
    watch.look()
    assert ring.identify("Bearer bbb", None).name == "bbb"


def test_no_key_left_shuts_the_door(tmp_path: Path) -> None:
    """Taking the last key away locks everybody out; it never opens the server (law 11)."""
    file = tmp_path / "keys.yaml"
    file.write_text(yaml.safe_dump([_row("only")]))
    config = AuthConfig(keys_file=file)
    ring = Keyring(load_keys(config))
    watch = KeysFile(config, ring)
    file.write_text("[]")
    watch.look()
    assert not ring.is_open
    for key in ("Bearer only", None):
        with pytest.raises(Unauthenticated):
            ring.identify(key, None)


@pytest.mark.parametrize("text", ["a: [", "[{name: x}]", None])
def test_an_unreadable_file_changes_nothing(tmp_path: Path, text: str | None) -> None:
    """Half a file, or none for a moment, is told and tried again; the last keys count meanwhile."""
    file = tmp_path / "keys.yaml"
    file.write_text(yaml.safe_dump([_row("old")]))
    config = AuthConfig(keys_file=file)
    ring = Keyring(load_keys(config))
    watch = KeysFile(config, ring)
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    with pytest.raises((ValueError, OSError)):
        watch.look()
    assert ring.identify("Bearer old", None).name == "old"
    file.write_text(yaml.safe_dump([_row("brand-new")]))
    watch.look()
    assert ring.identify("Bearer brand-new", None).name == "brand-new"


async def test_a_running_router_takes_new_keys(tmp_path: Path) -> None:
    """The wiring too: a key that was removed is refused by a running router within seconds."""
    file = tmp_path / "keys.yaml"
    file.write_text(yaml.safe_dump([_row("old")]))
    config = {"auth": {"keys_file": str(file)}}
    async with router(tmp_path, config, RoutingTable(revision=1)) as (client, _):
        held = {"authorization": "Bearer old"}
        assert (await client.get("/v1/models", headers=held)).status_code == 200
        file.write_text(yaml.safe_dump([_row("another")]))
        async with asyncio.timeout(60):
            while (  # noqa: ASYNC110 - only asking tells
                await client.get("/v1/models", headers=held)
            ).status_code != 401:
                await asyncio.sleep(0.05)
        assert (await client.get("/v1/models", headers={"x-api-key": "another"})).status_code == 200
