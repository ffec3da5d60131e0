"""Every dialect passes the whole fault suite: the law of the outcome is the same for all."""

from __future__ import annotations

import asyncio

import pytest

from router.config.providers import ProviderConfig
from router.wire.dialects import DIALECTS
from tests.fakes.frontier_answers import CHAT, MESSAGES, RESPONSES
from tests.fakes.standins import STANDINS, provider
from tests.faults.cases import CASES, Case
from tests.faults.matrix import Result, cells, run

pytestmark = pytest.mark.timeout(300)  # all that it takes is in what the first of them waits for


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Every cell, asked once; the tests look at what came."""
    return asyncio.run(run(tmp_path_factory.mktemp("matrix"), cells(CASES)))


def test_every_dialect_has_a_standin() -> None:
    """A new file of ``router/wire/dialects`` is not done before it is in the matrix."""
    assert STANDINS.keys() == DIALECTS.keys()


@pytest.mark.parametrize("dialect", STANDINS)
def test_every_api_that_a_dialect_answers_is_tried(dialect: str) -> None:
    """Those of generated talk; completions go the way of chat."""
    standin = STANDINS[dialect]
    config = ProviderConfig.model_validate(provider(dialect, dialect, None, ["m"]))
    answered = config.endpoints(config.models[0])
    assert set(standin.paths) == {CHAT, MESSAGES, RESPONSES} & {each.value for each in answered}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("dialect", STANDINS)
def test_every_fault_is_answered_or_ends_with_an_error(
    result: Result, dialect: str, case: Case
) -> None:
    """By every API, whole and streamed, with somebody who could answer in its place and without."""
    rows = [row for row in result.rows if (row.cell.dialect, row.cell.case) == (dialect, case)]
    assert len(rows) == 4 * (1 if case.dear else len(STANDINS[dialect].paths))
    assert [str(row) for row in rows if row.problem()] == []


def test_streams_that_break_go_on_elsewhere(result: Result) -> None:
    """By every API, from every dialect to the next: nobody has to begin anew."""
    rescued = {
        (row.cell.dialect, row.cell.path)
        for row in result.rows
        if row.outcome is not None and row.outcome.facts.get("rescued")
    }
    assert rescued == {(name, path) for name, each in STANDINS.items() for path in each.paths}


def test_patience_that_a_provider_asks_for_is_passed_on(result: Result) -> None:
    """``Retry-After`` reaches the client that nobody else can answer."""
    asked = [
        row.outcome.facts["retry_after"]
        for row in result.rows
        if "Retry-After 60" in row.cell.case.name and row.cell.fallback is None and row.outcome
    ]
    assert len(asked) == 2 * 2 * sum(len(each.paths) for each in STANDINS.values())
    assert all(50 <= float(seconds) <= 66 for seconds in asked)


def test_nothing_is_left_behind(result: Result) -> None:
    """No connection, no call, no part of a budget; nothing that nobody foresaw was logged."""
    assert result.left_behind == {}
    assert result.logged == []


def test_what_clients_were_told_is_what_was_booked(result: Result) -> None:
    """Retries, fallbacks and streams that broke included (law 7)."""
    told = sum(row.outcome.facts["cost_usd"] for row in result.rows if row.outcome is not None)
    assert result.cost_usd == pytest.approx(told, abs=1e-7)


def test_keys_are_nowhere(result: Result) -> None:
    """Every error repeated the provider's key: no answer, file or log has it, nor a part of it."""
    assert result.leaks == []
