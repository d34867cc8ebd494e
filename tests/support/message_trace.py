"""Messages of a suite's NATS server, each as its trace lists it: from or to which client, on which subject.

The trace writes texts into the server's log: a suite that other tests share must not be traced.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.suite import Suite, wait_until

_OPERATION: Final = re.compile(
    r' - cid:\d+ - "[^"]*:(?P<client>[\w-]+)"(?: - "[^"]*")? - (?P<way><<-|->>) '
    r"(?:\[(?P<operation>H?(?:PUB|MSG)) (?P<arguments>[^\]]*)\]|MSG_PAYLOAD: \[\"(?P<payload>.*)\"\])"
)
_RELOADED: Final = "Reloaded server configuration"
_REPLY_AT: Final = {"PUB": (2, 1), "HPUB": (3, 1), "MSG": (3, 2), "HMSG": (4, 2)}
"""Arguments without a reply subject, and the position of one that is there."""


@dataclass(slots=True)
class TracedMessage:
    """A message into the server from a client, or out of it to one."""

    client: str
    """Name of its connection, for example `agents-1`."""
    is_in: bool
    subject: str
    reply: str
    payload: str = ""
    """Headers and payload, with escapes."""

    @property
    def service(self) -> str:
        """The service of the client."""
        return self.client.rpartition("-")[0]


@contextmanager
def message_trace(suite: Suite) -> Iterator[Callable[[], list[TracedMessage]]]:
    """Trace the one server of a suite while the block runs; yield a function that returns the messages so far."""
    log = suite.data_dir / "logs" / "nats-1.log"
    _set_trace(suite, log, is_on=True)
    start = log.stat().st_size

    def read() -> list[TracedMessage]:
        with log.open("rb") as file:
            file.seek(start)
            return list(_messages(file.read().decode(errors="replace").splitlines()))

    try:
        yield read
    finally:
        _set_trace(suite, log, is_on=False)


def _set_trace(suite: Suite, log: Path, *, is_on: bool) -> None:
    """Write the option, and wait until the server has loaded it."""
    [config] = (suite.data_dir / "nats").rglob("nats.conf")
    text = re.sub(r"^trace: \w+\n", "", config.read_text(encoding="utf-8"), flags=re.MULTILINE)
    config.write_text(f"trace: {str(is_on).lower()}\n{text}", encoding="utf-8")
    reloads = log.read_text(errors="replace").count(_RELOADED)
    os.kill(suite.pid("nats-1"), signal.SIGHUP)
    wait_until(lambda: log.read_text(errors="replace").count(_RELOADED) > reloads, "the server traces its messages")


def _messages(lines: Iterable[str]) -> Iterator[TracedMessage]:
    """Parse lines of the log; the payload of a message follows it, possibly after messages of other clients."""
    last: dict[tuple[str, bool], TracedMessage] = {}
    for line in lines:
        found = _OPERATION.search(line)
        if found is None:
            continue
        key = found["client"], found["way"] == "<<-"
        if found["operation"] is None:
            if key in last:
                last[key].payload = found["payload"]
            continue
        arguments = found["arguments"].split()
        least, at = _REPLY_AT[found["operation"]]
        last[key] = TracedMessage(*key, arguments[0], arguments[at] if len(arguments) > least else "")
        yield last[key]
