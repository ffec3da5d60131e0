"""Structured logs: one JSON object a line, to rotated files or to standard error."""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
from typing import Any

import orjson
import structlog

from serving.config.settings import Settings

_NAME = "graftwork"


def setup_logging(settings: Settings, role: str) -> None:
    """Send this process's Graftwork logs where the settings say. ``role`` is on each line."""
    handler = _handler(settings, role)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger(_NAME)
    logger.handlers[:] = [handler]
    logger.setLevel(settings.log.level.upper())
    logger.propagate = False
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _add_process(role),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> Any:
    """A structured logger below ``graftwork``."""
    return structlog.stdlib.get_logger(name)


def _handler(settings: Settings, role: str) -> logging.Handler:
    if settings.log.destination == "stderr":
        return logging.StreamHandler(sys.stderr)
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
    return orjson.dumps(value, default=str).decode()
