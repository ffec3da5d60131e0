"""Structured logs: one JSON object a line, to rotated files or to standard error.

Whoever writes a line, our structlog loggers, the standard library's or another package's, it has
the same fields: ``event``, ``level``, ``at``, ``role``, ``pid``, what was given as ``extra`` and
the traceback.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import sys
import threading
from collections.abc import MutableMapping
from typing import Any

import orjson
import structlog

from serving.config.settings import Settings

_NAME = "graftwork"
_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
]


def setup_logging(settings: Settings, role: str) -> None:
    """Send this process's logs where the settings say. ``role`` is on each line.

    Warnings of other packages come too, and what ends a thread or an unwatched task: nothing that
    fails in the background is silent.
    """
    handler = _handler(settings, role)
    handler.setFormatter(_formatter(role))
    logger = logging.getLogger(_NAME)
    logger.handlers[:] = [handler]
    logger.setLevel(settings.log.level.upper())
    logger.propagate = False
    _hear_others(handler)
    threading.excepthook = _thread_failed
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _formatter(role: str) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_SHARED, structlog.stdlib.ExtraAdder(), _without_rays],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _add_process(role),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
    )


def _without_rays(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Ray's record factory puts its own clock on every record, as if somebody had given it."""
    event.pop("_ray_timestamp_ns", None)
    return event


def _hear_others(handler: logging.Handler) -> None:
    """Also what asyncio, uvicorn or SQLAlchemy have to say; a second call replaces the first's."""
    root = logging.getLogger()
    root.handlers[:] = [h for h in root.handlers if not getattr(h, "is_graftworks", False)]
    handler.is_graftworks = True  # type: ignore[attr-defined]
    root.addHandler(handler)


def _thread_failed(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is SystemExit:
        return
    name = args.thread.name if args.thread is not None else "?"
    error = args.exc_value or args.exc_type()
    log = logging.getLogger("graftwork.threads")
    log.error("thread_failed", extra={"of": name}, exc_info=error)


def get_logger(name: str) -> Any:
    """A structured logger below ``graftwork``."""
    return structlog.stdlib.get_logger(name)


def _handler(settings: Settings, role: str) -> logging.Handler:
    if settings.log.destination == "stderr":
        # The process's own. In place of `sys.stderr` Ray Serve has a stream that hands lines to its
        # logger, which has a file, and a level under which they vanish.
        return logging.StreamHandler(sys.__stderr__ or sys.stderr)
    directory = settings.log.directory or settings.state_dir / "logs"
    directory.mkdir(parents=True, exist_ok=True)
    return logging.handlers.RotatingFileHandler(
        directory / f"{role}-{os.getpid()}.jsonl",
        maxBytes=settings.log.max_file_bytes,
        backupCount=settings.log.files_kept,
        delay=True,
    )


def _add_process(role: str) -> Any:
    pid = os.getpid()

    def add(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
        return {**event, "role": role, "pid": pid}

    return add


def _dumps(value: Any, **_: Any) -> str:
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # an integer over 64 bits, a lone surrogate: rather odd than lost
        return json.dumps(value, default=str)
