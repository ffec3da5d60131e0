"""What every test starts from: a clean environment, no way out to the network, repeatable data."""

from __future__ import annotations

import gc
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests import one_thread  # noqa: F401 - before whatever loads NumPy
from tests.fakes.postgres import (  # noqa: F401 - fixtures
    database_url,
    migrated_postgres,
    pgvector,
    postgres,
    postgres_pool,
)

SETTING_PREFIXES = ("ANTHROPIC_", "GRAFTWORK_", "HF_", "OPENAI_", "OTEL_", "RAY_", "VLLM_")
# Where the files of other projects are that some tests read.
KEPT = {"GRAFTWORK_CRDS", "GRAFTWORK_PGVECTOR"}
SETTING_SUFFIXES = ("_API_KEY", "_PROXY", "_TOKEN")
OUTBOUND_EVENTS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Whoever runs in the background of a script starts deaf to Ctrl-C, and so would every child.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


def pytest_collection_finish() -> None:
    """What is loaded stays: looking through it for garbage would hold the servers of tests up."""
    gc.collect()
    gc.freeze()


class OutboundNetworkError(RuntimeError):
    """A test tried to leave this machine."""


_outbound: list[str] = []


def _is_local(host: object) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if not isinstance(name, str) or name in {"", "localhost", socket.gethostname()}:
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _host_of(event: str, arguments: tuple[object, ...]) -> object:
    if event in {"socket.connect", "socket.sendto"}:
        address = arguments[1]
        return address[0] if isinstance(address, tuple) else None
    return arguments[0]


def _guard(event: str, arguments: tuple[object, ...]) -> None:
    # An audit hook sees every library's sockets, whichever way it opens them.
    if event in OUTBOUND_EVENTS and not _is_local(host := _host_of(event, arguments)):
        _outbound.append(f"{event} to {host}")
        raise OutboundNetworkError(
            f"this test called {event} for {host!r}: tests talk to this machine only;"
            " start a server on 127.0.0.1 that speaks the same protocol (tests/fakes)"
        )


def pytest_configure() -> None:
    """Forget the developer's own settings, also for fixtures that outlive a test."""
    for name in list(os.environ):
        foreign = name.startswith(SETTING_PREFIXES) or name.upper().endswith(SETTING_SUFFIXES)
        if foreign and name not in KEPT:
            del os.environ[name]
    sys.addaudithook(_guard)


@pytest.fixture(autouse=True)
def outbound_attempts() -> Iterator[list[str]]:
    """Fail the test that reached out, even when the code under test swallowed the error."""
    _outbound.clear()
    yield _outbound
    assert not _outbound, f"the test tried to leave this machine: {_outbound}"


@pytest.fixture(autouse=True)
def _same_environment_afterwards() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
