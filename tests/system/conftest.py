"""One real system for all of these tests: Ray Serve, HAProxy, vLLM on the CPU, embedded base."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anthropic
import httpx
import openai
import pytest

from serving.embedded import ADAPTERS_DIR
from tests.fakes.frontier import FakeFrontier
from tests.fakes.peft_variants import scaled
from tests.system import running
from tests.system.collector import Collector
from tests.system.config import FRONTIER_KEY, KEY_VARIABLE, write_config
from tests.system.running import Running

TEST_S, CALL_S = 120, 60.0
_LAST = (
    "test_lifecycle.py",
    "test_recovery.py",
    "test_manifests_run.py",
    "test_scale_to_zero.py",
)
"""They stop the system of the others, and start their own: never two at a time."""
_SYSTEM = pytest.StashKey[Running]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bound each test without its fixtures, which have their own bounds; order the systems."""
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in here:
        # A file that says more itself has reasons: its own word must not be overruled.
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TEST_S, func_only=True))
    last = [item for name in _LAST for item in here if item.path.name == name]
    items[:] = [item for item in items if item not in last] + last


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """After failures, what the system itself had to say."""
    found = config.stash.get(_SYSTEM, None)
    if found is not None and terminalreporter.stats.keys() & {"failed", "error"}:
        terminalreporter.section("the system under test")
        terminalreporter.write_line(found.tail())


@pytest.fixture(scope="session")
def frontier_server() -> Iterator[FakeFrontier]:
    """The provider behind both frontier models."""
    with FakeFrontier(api_key=FRONTIER_KEY) as server:
        yield server


@pytest.fixture
def frontier(frontier_server: FakeFrontier) -> FakeFrontier:
    """The provider, with nothing behind it and nothing wrong with it."""
    frontier_server.forget()
    return frontier_server


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Where the system sends its spans."""
    with Collector() as server:
        yield server


@pytest.fixture(scope="session")
def environment(collector: Collector) -> dict[str, str]:
    """What a person sets before `graftwork serve`."""
    return {
        KEY_VARIABLE: FRONTIER_KEY,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }


@pytest.fixture(scope="session")
def system(
    tmp_path_factory: pytest.TempPathFactory,
    frontier_server: FakeFrontier,
    environment: dict[str, str],
    request: pytest.FixtureRequest,
) -> Iterator[Running]:
    """The running system; at the end it is stopped, and must leave nothing behind."""
    home = tmp_path_factory.mktemp("system")
    config = write_config(home / "config.yaml", frontier_server)
    found = running.start(config, home / "state", environment, home / "output.txt")
    request.config.stash[_SYSTEM] = found
    yield found
    if found.process.poll() is None:
        found.stop()


@pytest.fixture
def http(system: Running) -> Iterator[httpx.Client]:
    """Plain HTTP to the front door."""
    with httpx.Client(base_url=system.url, timeout=CALL_S, trust_env=False) as client:
        yield client


@pytest.fixture
def openai_client(system: Running) -> Iterator[openai.OpenAI]:
    """OpenAI's own client, which must not hide failures by trying again."""
    with openai.OpenAI(
        base_url=f"{system.url}/v1", api_key="unused", max_retries=0, timeout=CALL_S
    ) as client:
        yield client


@pytest.fixture
def anthropic_client(system: Running) -> Iterator[anthropic.Anthropic]:
    """Anthropic's own client, which must not hide failures by trying again."""
    with anthropic.Anthropic(
        base_url=system.url, api_key="unused", max_retries=0, timeout=CALL_S
    ) as client:
        yield client


@pytest.fixture
def variants(tmp_path: Path) -> list[Path]:
    """Three versions of the embedded `returns` adapter: as it is, weaker, stronger."""
    source = ADAPTERS_DIR / "returns"
    return [scaled(source, tmp_path / f"x{factor}", factor) for factor in (1.0, 0.5, 2.0)]
