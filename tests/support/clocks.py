"""A wall clock of its own for each process of a suite, by Debian's libfaketime.

Every service process starts again below the library, which reads its difference from a file; the monotonic clock stays
right, as on a host whose clock is set. nats-server is a Go program, which libfaketime does not reach; PostgreSQL and
the supervisor keep the right time too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_LIBRARIES: Final = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))

_START: Final = """
import os, sys
_name = os.environ.get("TRUNKLINE_INSTANCE")
if _name and "FAKETIME_TIMESTAMP_FILE" not in os.environ:
    _file = os.path.join(os.environ["PYTHON_CLOCKS"], _name)
    if not os.path.exists(_file):
        with open(_file, "w") as _opened:
            _opened.write("+0")
    _clock = {
        "LD_PRELOAD": os.environ["PYTHON_CLOCK_LIBRARY"],
        "FAKETIME_TIMESTAMP_FILE": _file,
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DISABLE_SHM": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | _clock)
"""


def is_available() -> bool:
    """Return whether libfaketime is installed."""
    return bool(_LIBRARIES)


class Clocks:
    """The clocks of the processes of a suite, all of them right at first."""

    def __init__(self, folder: Path) -> None:
        """Keep the files in a new folder."""
        folder.mkdir(parents=True)
        self._folder = folder
        (folder / "sitecustomize.py").write_text(_START)

    @property
    def environment(self) -> dict[str, str]:
        """Variables of `trunkline up`; its child processes inherit those that begin with PYTHON."""
        return {
            "PYTHONPATH": str(self._folder),
            "PYTHON_CLOCKS": str(self._folder),
            "PYTHON_CLOCK_LIBRARY": str(_LIBRARIES[0]),
        }

    def set(self, instance: str, difference_s: int) -> None:
        """Set the clock of a process, present or future, to this many seconds ahead; within a second it jumps."""
        changed = self._folder / f"{instance}.new"
        changed.write_text(f"{difference_s:+d}")
        changed.replace(self._folder / instance)
