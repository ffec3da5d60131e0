"""Logs: one JSON object a line with every field, whoever wrote it."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from router.pipeline import Pipeline
from serving.config.settings import Settings
from serving.telemetry.logs import get_logger, setup_logging
from tests.fakes.running_router import running_router, settings_with

REPO = Path(__file__).resolve().parents[3]
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Lines]:
    """This process as a router whose logs go to files; gives the lines written so far."""
    ours, root = logging.getLogger("graftwork"), logging.getLogger()
    before = (ours.handlers[:], ours.level, ours.propagate, root.handlers[:], threading.excepthook)
    # Another test may have let uvicorn configure its loggers, which then tell nobody else.
    servers = [logging.getLogger("uvicorn"), logging.getLogger("uvicorn.error")]
    for each in servers:
        each.handlers[:], each.propagate = [], True
    setup_logging(Settings.model_validate({"state_dir": tmp_path}), "router")

    def read() -> list[dict[str, Any]]:
        files = (tmp_path / "logs").glob("router-*.jsonl")
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    yield read
    for handler in ours.handlers:
        handler.close()
    structlog.reset_defaults()
    ours.handlers[:], ours.level, ours.propagate, root.handlers[:], threading.excepthook = before


def test_rays_own_clock_is_no_extra(lines: Lines) -> None:
    """Ray's record factory marks every record of a process that it started."""
    marked = {"name": "graftwork.router", "msg": "late", "levelno": 30, "_ray_timestamp_ns": 1}
    logging.getLogger("graftwork.router").handle(logging.makeLogRecord(marked))
    assert "_ray_timestamp_ns" not in lines()[0]


def test_a_standard_logger_keeps_its_extra_and_its_traceback(lines: Lines) -> None:
    """`router` and `adapters` log through the standard library: no field of theirs is lost."""
    error = OSError("the disk is full")
    extra = {"version": "abc", "retrained": True}
    logging.getLogger("graftwork.router").warning("intents_%s", "changed", extra=extra)
    logging.getLogger("graftwork.jobs").error("job_failed", exc_info=error)
    first, second = lines()
    assert (first["event"], first["level"]) == ("intents_changed", "warning")
    assert (first["version"], first["retrained"]) == ("abc", True)
    assert "OSError: the disk is full" in second["exception"]
    for line in (first, second):
        assert line["role"] == "router"
        assert {"pid", "at"} <= line.keys()
        assert "_record" not in line


def test_both_kinds_of_logger_write_the_same_fields(lines: Lines) -> None:
    """Who reads the files need not know which library wrote a line; context is on both."""
    with structlog.contextvars.bound_contextvars(request_id="req_1"):
        get_logger("graftwork.router").warning("late", seconds=3)
        logging.getLogger("graftwork.router").warning("late", extra={"seconds": 3})
    ours, theirs = ({k: v for k, v in line.items() if k != "at"} for line in lines())
    assert ours == theirs
    assert ours["request_id"] == "req_1"


def test_other_packages_are_heard_from_warnings_on(lines: Lines) -> None:
    """What a server or a database driver complains about is in our files, small talk is not."""
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.error").error("Exception in ASGI application", exc_info=OSError())
    assert [line["event"] for line in lines()] == ["Exception in ASGI application"]


def test_a_thread_that_breaks_is_told(lines: Lines) -> None:
    """Its name and its traceback, as a line like any other."""
    thread = threading.Thread(target=lambda: dict[str, int]()["x"], name="journal")
    thread.start()
    thread.join()
    [line] = lines()
    assert (line["event"], line["of"], line["level"]) == ("thread_failed", "journal", "error")
    assert "KeyError" in line["exception"]


def test_a_task_that_nobody_awaits_is_told_when_it_breaks(lines: Lines) -> None:
    """Fire and forget is no hiding place."""

    async def breaks() -> None:
        raise LookupError("a bug")

    async def scene() -> None:
        asyncio.create_task(breaks())  # noqa: RUF006 - that nobody holds it is the point
        await asyncio.sleep(0.01)

    asyncio.run(scene())
    gc.collect()
    [line] = lines()
    assert "LookupError: a bug" in line["exception"]


@pytest.mark.parametrize("odd", [2**70, "\udc80", {1: {2}}, float("nan"), object()])
def test_no_value_can_keep_a_line_from_being_written(lines: Lines, odd: object) -> None:
    """A log line is rather odd than lost."""
    logging.getLogger("graftwork.router").warning("odd", extra={"value": odd})
    assert [line["event"] for line in lines()] == ["odd"]


def test_a_second_setup_does_not_double_the_lines(lines: Lines, tmp_path: Path) -> None:
    """A replica that is built again in one process writes each line once."""
    setup_logging(Settings.model_validate({"state_dir": tmp_path}), "router")
    logging.getLogger("graftwork.router").warning("once")
    logging.getLogger("elsewhere").warning("once more")
    assert len(lines()) == 2


async def test_what_is_logged_during_a_request_names_it(
    lines: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is the log of requests; an ordinary line leads to it by the request's id."""

    async def breaks(*_: object) -> None:
        logging.getLogger("graftwork.budgets").warning("late")
        raise LookupError("a bug")

    monkeypatch.setattr(Pipeline, "run", breaks)
    async with running_router(settings_with(tmp_path)) as (url, _), httpx.AsyncClient() as client:
        path, headers = f"{url}/v1/chat/completions", {"x-request-id": "req-7"}
        assert (await client.post(path, json={}, headers=headers)).status_code == 500
    during = [line for line in lines() if line["event"] == "late" or "exception" in line]
    assert len(during) == 2
    assert {line["request_id"] for line in during} == {"req-7"}


def test_standard_error_is_the_processs_own() -> None:
    """Ray Serve puts another stream in its place in every replica, and drops what comes there."""
    script = (
        "import io, sys\n"
        "sys.stderr = io.StringIO()\n"
        "from serving.config.settings import Settings\n"
        "from serving.telemetry.logs import get_logger, setup_logging\n"
        "setup_logging(Settings.model_validate({'log': {'destination': 'stderr'}}), 'router')\n"
        "get_logger('graftwork.router').info('router_started')\n"
        "assert not sys.stderr.getvalue()\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, cwd=REPO, capture_output=True, text=True, timeout=100, check=True
    )
    [line] = [each for each in done.stderr.splitlines() if "router_started" in each]
    assert json.loads(line)["role"] == "router"
