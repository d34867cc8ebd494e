"""Process that checks arguments against schemas, one JSON array `[schema, arguments]` per line of standard input.

A schema may hold a pattern that never ends: the process limits its own time and memory, because neither a thread nor
the parent could stop such a check otherwise. It ends when its input does.
"""

from __future__ import annotations

import resource
import signal
import sys
from typing import Any, Final

from trunkline_protocols.decoding import Decoder, encode

from trunkline_agents.core.schemas import find_violation

TIME_LIMIT_S: Final = 1.0
_MEMORY_BYTES: Final = 512 * 1024 * 1024
_decoder: Final[Decoder[tuple[dict[str, Any], dict[str, Any]]]] = Decoder(tuple[dict[str, Any], dict[str, Any]])


def main() -> None:
    """Check every line; the alarm ends the process if one takes too long."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    for line in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT_S)
        schema, arguments = _decoder.decode(line)
        violation = find_violation(schema, arguments)
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout.buffer.write(encode(violation) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
