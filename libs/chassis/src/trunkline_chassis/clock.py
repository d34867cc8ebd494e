"""A clock in Unix seconds that never jumps, for times that one process measures itself.

The wall clock of a host may be set while a turn runs. This clock starts with the wall clock's time and goes on with the
monotonic clock, so a duration between two readings is right whatever happens to the wall clock. It is no clock of the
cluster: times of two processes can only be compared if both of their hosts' clocks are right.
"""

from __future__ import annotations

import time
from typing import Final

_STARTED_AT: Final = time.time() - time.monotonic()


def steady_time() -> float:
    """Return Unix seconds by the wall clock at the start of the process."""
    return _STARTED_AT + time.monotonic()
