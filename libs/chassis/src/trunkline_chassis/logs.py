"""Structured logs on stderr: dotted event names with key-value pairs, never the text of a customer or a secret.

Exceptions are logged as type and position of each frame, without source lines and local variables. Their message is
logged for Trunkline's own errors only, unless their class sets `quotes_input`: messages of libraries quote their input
(`KeyError`, asyncpg, pydantic).
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from structlog.typing import EventDict, Processor, WrappedLogger

_OWN_MODULES: Final = "trunkline_"
_MAX_CHAIN: Final = 8
_MAX_FRAMES: Final = 40


def configure_logs(
    *,
    service: str,
    instance: str,
    level: str,
    style: Literal["json", "console"],
    region: str = "",
    stream: TextIO = sys.stderr,
) -> None:
    """Configure structlog for a process; every line carries service, instance and, except in a command, region.

    By the region, a collector keeps the lines in it.
    """
    renderer = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _adding(service=service, instance=instance, region=region),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _describe_exception if style == "json" else _format_exception,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_LibraryHandler()])
    sys.excepthook = _log_crash
    threading.excepthook = lambda crash: _log_crash(crash.exc_type, crash.exc_value, crash.exc_traceback)


def reason_of(error: BaseException) -> str:
    """Return the type of an error with its message, or with the type of its cause if the message may quote input."""
    detail = _message_of(error) or (type(error.__cause__).__name__ if error.__cause__ is not None else "")
    return f"{type(error).__name__}: {detail}" if detail else type(error).__name__


def _adding(**fields: str) -> Processor:
    """Return a processor that adds fields that are not empty: also in threads, which have no context of their own."""
    given = {name: value for name, value in fields.items() if value}

    def add(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        for name, value in given.items():
            event.setdefault(name, value)
        return event

    return add


class _LibraryHandler(logging.Handler):
    """Warnings and errors of libraries that use the standard logging module, without their arguments.

    A message that was formatted by the library may quote its input, so that the position stands for it.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record."""
        _log = structlog.get_logger(__name__)
        fields = {
            "logger": record.name,
            "template": str(record.msg) if record.args else "",
            "position": f"{record.module}:{record.lineno}",
            "exc_info": record.exc_info,
        }
        if record.levelno >= logging.ERROR:
            _log.error("library.failed", **fields)
        else:
            _log.warning("library.warned", **fields)


def _log_crash(type_: type[BaseException], error: BaseException | None, _: TracebackType | None) -> None:
    """Log the exception that ends the process or a thread."""
    _log = structlog.get_logger(__name__)
    if error is not None and not issubclass(type_, KeyboardInterrupt | SystemExit):
        _log.critical("process.crashed", exc_info=error)


def _describe_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    error = _exception_of(event.pop("exc_info", None))
    if error is not None:
        event["exception"] = [_describe(each) for each in _chain(error)]
    return event


def _format_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    error = _exception_of(event.pop("exc_info", None))
    if error is not None:
        event["exception"] = "\n".join(
            "\n  ".join([f"{each['exc_type']}: {each['exc_value']}", *each["frames"]])
            for each in map(_describe, _chain(error))
        )
    return event


def _exception_of(exc_info: Any) -> BaseException | None:  # noqa: ANN401 - True, an exception or its triple
    if exc_info is True:
        return sys.exception()
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    return exc_info if isinstance(exc_info, BaseException) else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, those of a group, and its causes, as many as fit a log line."""
    pending, seen = [error], 0
    while pending and seen < _MAX_CHAIN:
        current = pending.pop(0)
        seen += 1
        yield current
        if isinstance(current, BaseExceptionGroup):
            pending.extend(current.exceptions)
        cause = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
        if cause is not None:
            pending.append(cause)


def _describe(error: BaseException) -> dict[str, Any]:
    frames = traceback.StackSummary.extract(
        traceback.walk_tb(error.__traceback__), limit=-_MAX_FRAMES, lookup_lines=False, capture_locals=False
    )
    return {
        "exc_type": f"{type(error).__module__}.{type(error).__qualname__}",
        "exc_value": _message_of(error),
        "frames": [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames],
    }


def _message_of(error: BaseException) -> str:
    """Return the message of an error that quotes no input, else an empty text."""
    type_ = type(error)
    is_safe = type_.__module__.startswith(_OWN_MODULES) and not getattr(type_, "quotes_input", False)
    return str(error) if is_safe else ""


def _short(filename: str) -> str:
    """Return the last two parts of a path."""
    return "/".join(Path(filename).parts[-2:])
