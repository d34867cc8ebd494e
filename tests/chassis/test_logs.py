"""Logs hold neither local variables nor inputs, in any format and for any exception."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog
from pydantic import BaseModel, ValidationError
from trunkline_chassis.errors import BusUnavailableError
from trunkline_chassis.logs import configure_logs, reason_of
from trunkline_chassis.settings import ProcessSettings
from trunkline_protocols.ids import InvalidIdError, token

SECRET = "canary-7f3a"


@pytest.fixture(params=["json", "console"])
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """The log stream of a configured process."""
    stream = io.StringIO()
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook)
    handlers, root.handlers = root.handlers, []
    style: Literal["json", "console"] = request.param
    configure_logs(service="test", instance="test-1", region="eu", level="info", style=style, stream=stream)
    yield stream
    root.handlers = handlers
    sys.excepthook, threading.excepthook = hooks
    structlog.contextvars.clear_contextvars()


class _Limits(BaseModel):
    password: int


def _fail(kind: str) -> None:
    password = SECRET
    match kind:
        case "key":
            raise KeyError(password)
        case "pydantic":
            _Limits.model_validate({"password": password})
        case "id":
            token(f"not a token {password}", "conversation")
        case "group":
            raise ExceptionGroup(password, [ValueError(password)])
        case "cause":
            try:
                raise ValueError(password)  # noqa: TRY301 - the cause
            except ValueError as error:
                raise BusUnavailableError("no reply on inbox.local") from error
        case _:
            raise AssertionError(kind)


@pytest.mark.parametrize("kind", ["key", "pydantic", "id", "group", "cause"])
def test_traceback_has_types_and_positions_only(log: io.StringIO, kind: str) -> None:
    """Neither the message of a library's error nor a local variable of a frame."""
    try:
        _fail(kind)
    except Exception:
        structlog.get_logger("test").exception("turn.failed")
    written = log.getvalue()
    assert SECRET not in written
    assert "test_logs.py:" in written
    assert "_fail" in written


def test_logger_used_under_another_configuration_is_captured() -> None:
    """Else the order of the tests decides what one that captures logs sees (`tests/conftest.py`)."""
    logger = structlog.get_logger("test")
    error_only = structlog.make_filtering_bound_logger(logging.ERROR)
    structlog.configure(wrapper_class=error_only, cache_logger_on_first_use=True)
    logger.info("before")
    structlog.reset_defaults()
    with structlog.testing.capture_logs() as lines:
        logger.info("after")
    assert [line["event"] for line in lines] == ["after"]


def test_message_of_an_own_error_is_logged(log: io.StringIO) -> None:
    """It says what an operator must do."""
    try:
        _fail("cause")
    except BusUnavailableError:
        structlog.get_logger("test").exception("turn.failed")
    assert "no reply on inbox.local" in log.getvalue()


def test_library_log_has_no_arguments(log: io.StringIO) -> None:
    """A formatted message is replaced by its position, arguments are left out of a template."""
    logger = logging.getLogger("some.library")
    logger.warning("cannot store %s", SECRET)
    logger.error(f"cannot store {SECRET}")  # noqa: G004 - as a library would
    try:
        _fail("key")
    except KeyError:
        logger.exception("failed")
    written = log.getvalue()
    assert SECRET not in written
    assert (written.count("library.warned"), written.count("library.failed")) == (1, 2)
    assert "cannot store %s" in written


def test_crash_of_the_process_and_of_a_thread_is_logged_without_values() -> None:
    """The hooks replace the interpreter's own output, which quotes the message."""
    script = f"""
import threading
from trunkline_chassis.logs import configure_logs
configure_logs(service="test", instance="test-1", level="info", style="json")
def fail(): raise KeyError("{SECRET}"[::-1])
thread = threading.Thread(target=fail)
thread.start()
thread.join()
fail()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["process.crashed"] * 2
    assert SECRET[::-1] not in done.stderr


def test_json_lines_are_valid(log: io.StringIO) -> None:
    """An exception is a list of objects, outermost first."""
    try:
        _fail("cause")
    except BusUnavailableError:
        structlog.get_logger("test").exception("turn.failed")
    line = log.getvalue().splitlines()[-1]
    if line.startswith("{"):
        described = json.loads(line)["exception"]
        assert [each["exc_type"] for each in described] == [
            "trunkline_chassis.errors.BusUnavailableError",
            "builtins.ValueError",
        ]


def test_every_line_names_service_instance_and_region(log: io.StringIO) -> None:
    """Also that of a library, and of a thread, which has no context: a collector keeps the lines of a region in it."""
    structlog.get_logger("test").info("turn.started")
    logging.getLogger("library").warning("slow")
    thread = threading.Thread(target=lambda: structlog.get_logger("test").info("thread.started"))
    thread.start()
    thread.join()
    lines = log.getvalue().splitlines()
    assert len(lines) == 3
    for line in lines:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", line).replace('": "', "=").replace('"', "")
        assert all(field in plain for field in ("service=test", "instance=test-1", "region=eu")), line


def test_reason_names_the_type_and_quotes_own_errors_only() -> None:
    """Errors that quote their input are named by their type."""
    assert reason_of(KeyError(SECRET)) == "KeyError"
    assert reason_of(InvalidIdError("conversation", SECRET)) == "InvalidIdError"
    caused = KeyError(SECRET)
    caused.__cause__ = OSError(SECRET)
    assert reason_of(caused) == "KeyError: OSError"
    assert reason_of(BusUnavailableError("no reply")) == "BusUnavailableError: no reply"


def test_invalid_settings_are_reported_without_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret may stand in the wrong variable."""
    monkeypatch.setenv("TRUNKLINE_LOG_LEVEL", SECRET)
    with pytest.raises(ValidationError) as raised:
        ProcessSettings()
    assert SECRET not in str(raised.value)
