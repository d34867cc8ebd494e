"""Structured logs on stderr: dotted event names with key-value pairs, never the text of a customer."""

from __future__ import annotations

import logging
import sys
from typing import Literal, TextIO

import structlog


def configure_logs(
    *, service: str, instance: str, level: str, style: Literal["json", "console"], stream: TextIO = sys.stderr
) -> None:
    """Configure structlog for a process; every line carries service and instance."""
    renderer = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks if style == "json" else structlog.processors.StackInfoRenderer(),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service, instance=instance)
    # Warnings and errors of libraries that use the standard logging module.
    logging.basicConfig(level=logging.WARNING, stream=stream, format="%(name)s: %(message)s")
