"""The matrix: every dialect, every fault, every API, streamed and not, alone and with a fallback.

One router stands before one stand-in per dialect (``tests/fakes/standins.py``); requests come in at
the door and go through every stage. Each cell asks a model of its own: no breaker knows another.
The fallback is another dialect's provider, so that streams are also joined over dialects.
``python -m benchmarks.faults`` prints the table.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from adapters.aliases import RoutingTable
from serving.config.settings import Settings
from serving.router.compose import RouterProcess
from tests.fakes.asgi_client import Reply, ask
from tests.fakes.faults import Kind
from tests.fakes.frontier import FakeFrontier
from tests.fakes.frontier_answers import CHAT, MESSAGES, RESPONSES
from tests.fakes.standins import STANDINS, TEXT, environment, provider
from tests.faults.cases import Case
from tests.faults.judging import (
    ANSWERED,
    ARGUMENTS,
    BROKEN,
    REFUSED,
    TOOL,
    Outcome,
    Wrong,
    judge,
)
from tests.faults.watching import errors_logged, seen_below, seen_in, seldom_collected

WORDS: Final = 7
HASTE_S: Final = 0.7
"""The timeouts of what hangs; the others' are so long that a slow machine makes no difference."""
DEADLINE_S: Final = 60.0
AT_ONCE: Final = 40
_BUDGET: Final = {"name": "all", "window": "total", "requests": 10**6, "tokens": 10**9, "usd": 1e6}
_DELIVERY: Final[Mapping[str, Any]] = {
    "retry": {"backoff_s": 0.01, "budget_per_s": 1000, "budget_burst": 1000},
    "breaker": {"consecutive": 1000, "min_calls": 1000},
    "max_answer_bytes": 1024 * 1024,
}
_PATIENCE: Final = {"x-graftwork-timeout-ms": "45000"}
_FINISHES: Final = {"stop", "end_turn", "completed"}
_CALLS: Final = {"tool_calls", "tool_use", "completed"}


@dataclass(frozen=True)
class Cell:
    """One request, and who is asked."""

    dialect: str
    case: Case
    path: str
    stream: bool
    fallback: str | None
    """The dialect of who could answer in its place."""

    @property
    def model(self) -> str:
        """Of nobody else."""
        how = f"{self.path.rpartition('/')[2]}-{self.stream:d}-{self.fallback or 'alone'}"
        return re.sub(r"\W+", "-", f"{self.case.name}-{how}")

    @property
    def provider(self) -> str:
        """The one that has the model."""
        how = "gone" if self.case.fault is None else "hasty" if self.case.hasty else "patient"
        return f"{self.dialect}-{how}"

    def body(self) -> dict[str, Any]:
        """What is asked."""
        fault = "" if self.case.fault is None else json.dumps(asdict(self.case.fault))
        prompt = f"call {TOOL} [[{fault}]]"
        body: dict[str, Any] = {
            "model": f"{self.provider}/{self.model}",
            "stream": self.stream,
            ("max_output_tokens" if self.path == RESPONSES else "max_tokens"): 50,
        }
        if self.path == RESPONSES:
            body |= {"input": prompt, "store": False}
        else:
            body["messages"] = [{"role": "user", "content": prompt}]
        if self.path == CHAT and self.stream:
            body["stream_options"] = {"include_usage": True}
        if self.case.tools:
            body["tools"] = [tool(self.path)]
        if self.fallback is not None:
            body["graftwork"] = {"fallbacks": [f"{self.fallback}-well/m"]}
        return body


def tool(path: str) -> dict[str, Any]:
    """A tool, as each API describes one."""
    schema = {"type": "object", "properties": {"sku": {"type": "string"}}}
    head = {"name": TOOL, "description": "Look up a thing."}
    if path == MESSAGES:
        return {**head, "input_schema": schema}
    if path == RESPONSES:
        return {**head, "type": "function", "parameters": schema}
    return {"type": "function", "function": {**head, "parameters": schema}}


@dataclass(frozen=True)
class Row:
    """What came of one cell."""

    cell: Cell
    outcome: Outcome | None
    wrong: str | None
    seconds: float

    def problem(self) -> str | None:
        """What of the law is broken; None: nothing."""
        if self.outcome is None:
            return self.wrong
        case, kind = self.cell.case, self.outcome.kind
        expected = self._expected()
        if kind not in expected:
            return f"{kind} with {self.outcome.status}, not {expected}"
        if kind == ANSWERED:
            return self._problem_of_an_answer(self.outcome)
        if not self._text.startswith(self.outcome.said.text):
            return f"it had said {self.outcome.said.text!r}"
        if case.final and self.outcome.facts["attempts"] != 1:
            return f"{self.outcome.facts['attempts']} attempts for what is refused everywhere"
        if kind == REFUSED and self.outcome.status != case.status:
            return f"status {self.outcome.status}, not {case.status}"
        return None

    def _expected(self) -> set[str]:
        """What may come of it, whatever the dialect and the API."""
        case, cell = self.cell.case, self.cell
        expected = {ANSWERED}
        if case.final:
            expected = {REFUSED}
        elif self._cannot_be_whole():
            expected = {BROKEN}
        elif case.tools and case.midway and cell.stream:
            # A call of a tool is not continued; Gemini tells it in one event, before the fault.
            expected = {BROKEN} if STANDINS[cell.dialect].marks_end else {BROKEN, ANSWERED}
        elif cell.fallback is None and not self._is_harmless():
            # Who broke off may go on itself, and get to the end in the third part.
            is_begun = cell.stream and (case.midway or case.is_harmless(stream=True))
            expected = {BROKEN, ANSWERED} if is_begun else {REFUSED}
        if case.hasty and case.midway and cell.fallback is None and cell.stream:
            expected.add(REFUSED)  # a slow machine is late with the beginning
        return expected

    @property
    def _text(self) -> str:
        """The words of the answer."""
        return "" if self.cell.case.tools else TEXT

    def _cannot_be_whole(self) -> bool:
        """A provider's own Responses say in their last event, and nowhere else, that they end."""
        fault, cell = self.cell.case.fault, self.cell
        is_cut = fault is not None and fault.kind is Kind.NO_END
        is_own = cell.path == RESPONSES and "responses" in STANDINS[cell.dialect].capabilities
        return is_cut and cell.stream and is_own

    def _is_harmless(self) -> bool:
        """Answered whoever else is there, unless that takes a reason that the fault leaves out."""
        case, cell = self.cell.case, self.cell
        kind = case.fault.kind if case.fault is not None else None
        is_cut = kind is Kind.NO_FINISH or (kind is Kind.NO_END and cell.stream)
        if is_cut and not STANDINS[cell.dialect].marks_end:
            return False
        return case.is_harmless(stream=cell.stream)

    def _problem_of_an_answer(self, outcome: Outcome) -> str | None:
        case, said = self.cell.case, outcome.said
        if said.text != self._text:
            return f"it said {said.text!r}"
        calls = [(name, json.loads(arguments)) for name, arguments in said.calls]
        if calls != ([(TOOL, ARGUMENTS)] if case.tools else []):
            return f"it called {said.calls}"
        is_silent = case.fault is not None and case.fault.kind is Kind.NO_FINISH
        if not is_silent and said.end not in (_CALLS if case.tools else _FINISHES):
            return f"it ended by {said.end!r}"
        if not outcome.facts["cost_usd"] > 0:
            return "it cost nothing"
        right: set[int | None] = {1 if case.tools else WORDS}
        if case.fault is not None and case.fault.kind in {Kind.NO_USAGE, Kind.NO_END}:
            right |= {0, None}  # nobody told
        if said.output_tokens not in right:
            return f"{said.output_tokens} tokens counted"
        return None

    def __str__(self) -> str:
        cell, how = self.cell, "streamed" if self.cell.stream else "whole"
        who = f"{cell.dialect}, else {cell.fallback}" if cell.fallback else f"{cell.dialect} alone"
        return f"{cell.case.name}: {cell.path} {how}, {who}: {self.problem() or 'right'}"


@dataclass
class Result:
    """What came of all of them.

    Attributes:
        rows: one for each cell.
        left_behind: what the router still held at the end.
        leaks: where a key, or a part of one, was seen.
        logged: what the router logged as an error of its own.
        cost_usd: what was booked; it has to be the sum of what clients were told.
    """

    rows: list[Row] = field(default_factory=list)
    left_behind: dict[str, Any] = field(default_factory=dict)
    leaks: list[str] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)
    cost_usd: float = 0.0


def cells(cases: Iterable[Case], dialects: Iterable[str] = STANDINS) -> list[Cell]:
    """All that there are, what hangs first."""
    return [
        Cell(dialect, case, path, stream, fallback)
        for case in cases
        for dialect in dialects
        for path in STANDINS[dialect].paths[: 1 if case.dear else None]
        for stream in (False, True)
        for fallback in (None, next_dialect(dialect, path))
    ]


def next_dialect(dialect: str, path: str) -> str:
    """Who answers in place of a dialect's provider: the next one that has the API."""
    able = [name for name, standin in STANDINS.items() if path in standin.paths]
    return able[(able.index(dialect) + 1) % len(able)]


async def run(state: Path, wanted: Sequence[Cell]) -> Result:
    """All cells, through one router."""
    result = Result()
    with ExitStack() as stack:
        stack.enter_context(seldom_collected())
        result.logged = stack.enter_context(errors_logged())
        process = await _running(stack, state, wanted)
        replies: list[Reply] = []
        room = asyncio.Semaphore(AT_ONCE)
        try:
            result.rows = await asyncio.gather(
                *(_asked(process, cell, room, replies) for cell in wanted)
            )
            result.left_behind = left_behind(process)
            result.cost_usd = booked_usd(process)
        finally:
            await process.aclose()
        result.leaks = [*seen_in(replies), *seen_below(state)]
    return result


async def _running(stack: ExitStack, state: Path, wanted: Sequence[Cell]) -> RouterProcess:
    models: dict[str, list[str]] = {}
    for cell in wanted:
        models.setdefault(cell.provider, []).append(cell.model)
    providers = []
    for dialect, standin in STANDINS.items():
        bad = stack.enter_context(standin.serve(True))
        providers += list(_configured(dialect, bad, models))
        well = stack.enter_context(standin.serve(False))
        providers.append(provider(f"{dialect}-well", dialect, well, ["m"], usd_per_mtok=2.0))
    router = {
        "providers": providers,
        "delivery": _DELIVERY,
        "budgets": {"limits": [_BUDGET], "authority": "local"},
        # What finds names takes longer than all the rest, and is not what is looked at here.
        "governance": {"pii": {"default": {"frontier": "allow"}}},
    }
    settings = Settings.model_validate({"state_dir": state, "router": router})
    process = RouterProcess(settings, "router-1", environment())
    process.holder.apply(RoutingTable(revision=1, base_id="base"))  # there are no rules
    process.start()
    return process


def _configured(
    dialect: str, bad: FakeFrontier, models: Mapping[str, list[str]]
) -> Iterator[dict[str, Any]]:
    haste = dict.fromkeys(
        ("first_token_timeout_s", "whole_answer_timeout_s", "idle_timeout_s"), HASTE_S
    )
    for how, server, more in (("patient", bad, {}), ("hasty", bad, haste), ("gone", None, {})):
        name = f"{dialect}-{how}"
        if name in models:
            yield provider(name, dialect, server, models[name], context_window=1000, **more)


async def _asked(
    process: RouterProcess, cell: Cell, room: asyncio.Semaphore, replies: list[Reply]
) -> Row:
    async with _unless_hasty(cell, room):
        began = time.perf_counter()
        reply = Reply()
        replies.append(reply)
        outcome, wrong = None, None
        try:
            async with asyncio.timeout(DEADLINE_S):
                await ask(process.door, cell.path, cell.body(), _PATIENCE, reply=reply)
            outcome = judge(cell.path, reply, stream=cell.stream)
        except TimeoutError:
            wrong = f"no end after {DEADLINE_S:g} s"
        except Wrong as error:
            wrong = str(error)
        return Row(cell, outcome, wrong, time.perf_counter() - began)


@asynccontextmanager
async def _unless_hasty(cell: Cell, room: asyncio.Semaphore) -> AsyncIterator[None]:
    """Those that hang only wait: they need no room."""
    if cell.case.hasty:
        yield
        return
    async with room:
        yield


def left_behind(process: RouterProcess) -> dict[str, Any]:
    """What a router still holds; empty when all is well."""
    pipeline: Any = process.door._pipeline
    frontiers = pipeline.settlement._catalog.frontiers
    held = {
        "connections": process._providers._pool.busy,
        "requests": pipeline.admission.under_way,
        "calls": {n: each._provider.in_flight for n, each in frontiers.items()},
        "budgets": {str(b.account): b.held for b in process._accounting.leased_limits.all()},
    }
    for name in ("calls", "budgets"):
        held[name] = {what: count for what, count in held[name].items() if count}
    return {what: count for what, count in held.items() if count}


def booked_usd(process: RouterProcess) -> float:
    """What the budget has as spent."""
    return sum(
        leased.spent / 1e9
        for leased in process._accounting.leased_limits.all()
        if leased.account.metric.value == "usd"
    )
