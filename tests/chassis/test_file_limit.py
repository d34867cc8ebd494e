"""The limit of open files is reported while it is reached."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from trunkline_chassis.file_limit import FileLimitMonitor


@contextmanager
def no_free_descriptor() -> Iterator[None]:
    """Lower the limit to the files that are open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = [os.dup(2)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (held[0] + 1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(held[0])


def test_limit_that_is_reached_is_logged_once_a_minute() -> None:
    """The event loop itself drops connections in silence."""
    monitor = FileLimitMonitor()
    with structlog.testing.capture_logs() as lines:
        monitor.check()
        assert lines == []
        with no_free_descriptor():
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            for _ in range(60):
                monitor.check()
            assert [(line["event"], line["limit"]) for line in lines] == [("process.file_limit_reached", limit)]
            monitor.check()
            assert len(lines) == 2
        monitor.check()
    assert len(lines) == 2
