"""Whether a machine and a configuration will work together: each finding with its remedy."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
from sqlalchemy.exc import SQLAlchemyError
from yarl import URL

from adapters.errors import AdapterError
from adapters.registry import database
from router.config.google import GoogleAuth
from router.config.providers import Capability, MissingKey, ProviderConfig, read_key
from router.errors import TargetUnavailable
from router.targets.base import Call
from router.targets.frontier import way_of
from router.targets.google_tokens import AccessTokens
from router.targets.http_client import HttpClient, json_headers
from router.wire.endpoint import Endpoint
from router.wire.upstream_error import read_error
from serving.bringup.preconditions import STATE_REMEDY, available_memory_mib, writable
from serving.config.deploy import Deploy
from serving.engine.model import ModelMissing, local_directory

_GIB: Final = 1 << 30
_LEAST_DISK: Final = 5 * _GIB
_LEAST_MEMORY: Final = 3 * _GIB
_ENOUGH_CORES: Final = 2
_CALL_S: Final = 20.0
_SKEW_S: Final = 30.0
"""Signed requests, budgets' windows and checkpoints bear no more."""
_DRIVER_S: Final = 20.0
_OLD_DAYS: Final = 365
"""Of lists of prices."""


class Grade(StrEnum):
    """What a finding means."""

    OK = "ok"
    WARN = "warn"
    """It works, but not as one would like."""
    FAIL = "fail"
    """It will not work."""


@dataclass(frozen=True)
class Diagnosis:
    """One thing that was looked at."""

    what: str
    grade: Grade
    detail: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return {**asdict(self), "grade": self.grade.value}


def examine(
    deploy: Deploy, environ: Mapping[str, str], *, is_free: Callable[[str, int], bool], calls: bool
) -> Iterator[Diagnosis]:
    """Look at everything, one after the other.

    Args:
        deploy: what would be served.
        environ: where keys are.
        is_free: whether a port is.
        calls: ask each provider for one token, which may cost a fraction of a cent.
    """
    yield _cores()
    yield _memory()
    yield _disk(deploy.settings.state_dir)
    yield from _driver(deploy)
    yield _model(deploy)
    yield _port(deploy, is_free)
    yield _database(deploy)
    yield _store(deploy)
    for provider in deploy.settings.router.providers:
        yield from _provider(provider, environ, calls=calls)
        yield from prices_of(provider, datetime.now(UTC).date())


# The machine


def _cores() -> Diagnosis:
    cores = len(os.sched_getaffinity(0))
    grade = Grade.OK if cores >= _ENOUGH_CORES else Grade.WARN
    remedy = "" if grade is Grade.OK else "Router and engine share it: give them two or more."
    return Diagnosis("cores", grade, f"{cores} to run on", remedy)


def _memory(meminfo: Path = Path("/proc/meminfo")) -> Diagnosis:
    free = (available_memory_mib(meminfo) or 0) << 20
    if free >= _LEAST_MEMORY:
        return Diagnosis("memory", Grade.OK, f"{free / _GIB:.1f} GiB available")
    detail = f"{free / _GIB:.1f} GiB available, {_LEAST_MEMORY // _GIB} are needed"
    return Diagnosis("memory", Grade.FAIL, detail, "Close something, or use a larger machine.")


def _disk(state_dir: Path) -> Diagnosis:
    place = writable(state_dir)
    if place is None:
        detail = f"{state_dir.absolute()} cannot be written by this user"
        return Diagnosis("disk", Grade.FAIL, detail, STATE_REMEDY)
    free = shutil.disk_usage(place).free
    if free >= _LEAST_DISK:
        return Diagnosis("disk", Grade.OK, f"{free / _GIB:.0f} GiB free for {state_dir}")
    detail = f"{free / _GIB:.1f} GiB free for {state_dir}"
    remedy = "Without room for records nothing is answered (law 8): free some, or move state_dir."
    return Diagnosis("disk", Grade.WARN, detail, remedy)


def _driver(deploy: Deploy) -> Iterator[Diagnosis]:
    """Of GPUs, where the configuration asks for some."""
    wanted = any(
        (each.get("ray_actor_options") or {}).get("num_gpus")
        for application in deploy.raw.get("applications", ())
        for each in application.get("deployments", ())
    )
    if not wanted:
        return
    program = shutil.which("nvidia-smi")
    if program is None:
        yield Diagnosis(
            "driver", Grade.FAIL, "nvidia-smi is not here", "Install NVIDIA's driver, or EXTRA=cpu."
        )
        return
    query = ["--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        found = subprocess.run(  # noqa: S603 - its path is known, its arguments are ours
            [program, *query], capture_output=True, text=True, timeout=_DRIVER_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        remedy = "Load the driver's kernel module; `dmesg | grep -i nvrm` may say why it is not."
        yield Diagnosis("driver", Grade.FAIL, f"nvidia-smi fails: {error}", remedy)
        return
    for line in found.stdout.strip().splitlines():
        yield Diagnosis("driver", Grade.OK, line)


def _model(deploy: Deploy) -> Diagnosis:
    base = deploy.settings.base
    try:
        where = local_directory(base)
    except ModelMissing as error:
        return Diagnosis("base", Grade.FAIL, str(error), "Set base.model.")
    if where is not None:
        return Diagnosis("base", Grade.OK, f"{base.model}, in {where}")
    detail = f"{base.model} is fetched when the engine starts"
    return Diagnosis("base", Grade.WARN, detail, "Needs the network, and HF_TOKEN if it is gated.")


def _port(deploy: Deploy, is_free: Callable[[str, int], bool]) -> Diagnosis:
    where = f"{deploy.host}:{deploy.port}"
    if is_free(deploy.host, deploy.port):
        return Diagnosis("port", Grade.OK, f"{where} is free")
    if _is_ours(deploy):
        return Diagnosis("port", Grade.OK, f"Graftwork listens on {where} already")
    remedy = "Stop what listens there, or choose another with --port."
    return Diagnosis("port", Grade.FAIL, f"{where} is taken", remedy)


def _is_ours(deploy: Deploy) -> bool:
    host = "127.0.0.1" if deploy.host in {"0.0.0.0", "::"} else deploy.host  # noqa: S104 - asked of
    try:
        answer = httpx.get(f"http://{host}:{deploy.port}/healthz", timeout=2, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200 and "x-request-id" in answer.headers


# Stores


def _database(deploy: Deploy) -> Diagnosis:
    url = deploy.settings.adapters_here().database_url or ""
    kind, _, place = url.partition("://")
    shown = place.rpartition("@")[2]
    if kind == "sqlite":
        return _sqlite(Path(url.removeprefix("sqlite:///")))
    began = time.time()
    try:
        engine = database.connect(url)
        with engine.connect() as connection:
            told = connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())")
            there = float(told.scalar_one())
        engine.dispose()
    except (AdapterError, SQLAlchemyError) as error:
        remedy = "Check adapters.database_url, the server, and that its user may create tables."
        return Diagnosis("database", Grade.FAIL, f"{shown}: {_one_line(error)}", remedy)
    skew = there - (began + time.time()) / 2
    return _clock("database", f"{shown} answers", skew)


def _sqlite(file: Path) -> Diagnosis:
    """What is not there yet is made at the start."""
    if writable(file.parent) is None:
        return Diagnosis("database", Grade.FAIL, f"{file.parent} cannot be written", STATE_REMEDY)
    try:
        if file.exists():
            with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as there:
                there.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except (OSError, sqlite3.Error) as error:
        remedy = "Put a backup in its place (`graftwork restore`), or name another state_dir."
        return Diagnosis("database", Grade.FAIL, f"{file}: {_one_line(error)}", remedy)
    return Diagnosis("database", Grade.OK, f"SQLite in {file}")


def _store(deploy: Deploy) -> Diagnosis:
    store = deploy.settings.adapters_here().content or ""
    if "://" not in store:
        return Diagnosis("store", Grade.OK, store)
    try:
        import obstore
        from obstore.store import from_url

        opened = from_url(store)
        next(iter(obstore.list(opened, chunk_size=1)), None)
    except Exception as error:  # noqa: BLE001 - whatever a store's client raises
        remedy = "Check adapters.content and the credentials in the environment."
        return Diagnosis("store", Grade.FAIL, f"{store}: {_one_line(error)}", remedy)
    return Diagnosis("store", Grade.OK, f"{store} answers")


# Providers


def _provider(
    config: ProviderConfig, environ: Mapping[str, str], *, calls: bool
) -> Iterator[Diagnosis]:
    what = f"provider {config.name}"
    try:
        key = read_key(config, environ)
    except MissingKey as error:
        yield Diagnosis(what, Grade.FAIL, str(error), "Set it, and start again.")
        return
    if not calls:
        yield Diagnosis(what, Grade.OK, "its key is there; not called (--no-calls)")
        return
    card = next((c for c in config.models if c.native & {Endpoint.CHAT, Endpoint.MESSAGES}), None)
    if card is None:
        yield Diagnosis(what, Grade.OK, "its key is there; no model of it chats")
        return
    if config.google_auth is not None:
        try:
            key = asyncio.run(_access_token(config, config.google_auth))
        except TargetUnavailable as error:
            remedy = "Check the account, its key, and whether this machine may reach Google's."
            yield Diagnosis(what, Grade.FAIL, error.message, remedy)
            return
    messages = Capability.CHAT not in card.capabilities
    endpoint = Endpoint.MESSAGES if messages else Endpoint.CHAT
    body: dict[str, Any] = {"model": card.id, "messages": [{"role": "user", "content": "Hi"}]}
    body["max_tokens" if messages else config.max_tokens_field] = 1
    call = Call(endpoint, body, stream=False, request_id="doctor", timeout_s=_CALL_S)
    asked = config.api.ask(call, config.traits(card))
    payload, url = orjson.dumps(asked.body), config.url(asked.wire.endpoint, card.id)
    headers = {**json_headers(), **config.api.headers(), **config.headers}
    headers |= config.proof(key, url, payload)
    began = time.time()
    try:
        answer = asyncio.run(_answer(config, url, headers, payload))
    except TargetUnavailable as error:
        remedy = "Check base_url, DNS, `egress`, and whether this machine may reach it."
        yield Diagnosis(what, Grade.FAIL, f"{error.message.rstrip('.')}: {url}", remedy)
        return
    yield _answered(what, card.id, answer)
    there = _time_of(answer.date)
    skew = 0.0 if there is None else there - (began + time.time()) / 2
    if abs(skew) > _SKEW_S:
        yield _clock("clock", f"{config.name} says it is another time", skew)


@dataclass(frozen=True)
class _Answer:
    status: int
    content: bytes
    date: str
    took_s: float


async def _answer(
    config: ProviderConfig, url: str, headers: Mapping[str, str], payload: bytes
) -> _Answer:
    """As the router asks: through the proxy and with the certificates that are configured.

    Raises ``TargetUnavailable``.
    """
    began = time.monotonic()
    async with HttpClient() as client:
        answer = await client.post(
            URL(url, encoded=True),
            headers,
            payload,
            target=f"frontier:{config.name}",
            connect_timeout_s=_CALL_S,
            timeout_s=_CALL_S,
            way=way_of(config.egress),
        )
        content = await answer.error_body()
    date = answer.headers.get("date", "")
    return _Answer(answer.status, content, date, time.monotonic() - began)


def _time_of(date: str) -> float | None:
    """Seconds since the epoch; None for what is no date of HTTP's."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def prices_of(config: ProviderConfig, today: date) -> Iterator[Diagnosis]:
    """Those that nobody configured, and from when they are."""
    lists = {card.id: config.price_list(card) for card in config.models}
    listed = [model for model, prices in lists.items() if prices is not None]
    prices = next((each for each in lists.values() if each is not None), None)
    if prices is None:
        return
    detail = f"of {', '.join(listed)}: as {prices.page} said on {prices.read}"
    is_old = (today - prices.read).days > _OLD_DAYS
    remedy = "Look them up and set input_usd_per_mtok and output_usd_per_mtok." if is_old else ""
    yield Diagnosis(f"prices {config.name}", Grade.WARN if is_old else Grade.OK, detail, remedy)


async def _access_token(config: ProviderConfig, auth: GoogleAuth) -> str:
    async with HttpClient() as client:
        way = way_of(config.egress)
        return await AccessTokens(client, auth, config.name, way=way).take()


def _answered(what: str, model: str, answer: _Answer) -> Diagnosis:
    status = answer.status
    if status == 200:
        return Diagnosis(what, Grade.OK, f"{model} answers in {answer.took_s:.1f} s")
    is_ours = status != 200 and read_error(status, answer.content).is_ours
    if is_ours or status in {401, 403}:  # what it says may repeat parts of the key
        return Diagnosis(
            what, Grade.FAIL, f"{status}: it does not accept the key", "Make a new one there."
        )
    if status == 404:
        remedy = "Check the model's id and base_url."
        return Diagnosis(what, Grade.FAIL, f"404 for {model}", remedy)
    if status == 429:
        remedy = "Its limits or its account's credit are used up."
        return Diagnosis(what, Grade.WARN, "429: the key is known, and limited", remedy)
    return Diagnosis(
        what, Grade.WARN, f"{status} for a one-token call of {model}", "Try it by hand."
    )


def _clock(what: str, detail: str, skew_s: float) -> Diagnosis:
    if abs(skew_s) <= _SKEW_S:
        return Diagnosis(what, Grade.OK, detail)
    remedy = "Have this machine's clock set by NTP (`timedatectl set-ntp true`)."
    return Diagnosis(what, Grade.WARN, f"{detail}; its clock differs by {skew_s:+.0f} s", remedy)


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
