"""A long run of the fuzz targets: `python -m tests.fuzz [--seconds N] [--target NAME] [--seed N]`.

The targets take turns until the time is over. Exit status 1 if one of them has failed; its smallest input is printed
and kept in `.hypothesis`, where the next run begins.
"""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
import time
import traceback
from collections import Counter

import structlog
from hypothesis import HealthCheck, given, seed as seeded, settings

from tests.fuzz.targets import TARGETS, Target

ROUND_EXAMPLES = 300


def main() -> int:
    """Run until the time is over and return the exit status."""
    # Decoders log every value that they skip.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    arguments = _arguments()
    targets = [target for target in TARGETS if arguments.target in target.name]
    print(f"{len(targets)} targets, {arguments.seconds:g} s, seed {arguments.seed}")
    runs: Counter[str] = Counter()
    failed: set[str] = set()
    deadline = time.monotonic() + arguments.seconds
    while time.monotonic() < deadline and len(failed) < len(targets):
        for target in targets:
            if target.name not in failed and time.monotonic() < deadline:
                runs[target.name] += 1
                if not _run(target, arguments.seed + runs[target.name]):
                    failed.add(target.name)
    for target in targets:
        verdict = "FAILED" if target.name in failed else "passed"
        print(f"{target.name:28} {runs[target.name] * ROUND_EXAMPLES:>8} inputs  {verdict}")
    return 1 if failed else 0


def _run(target: Target, seed: int) -> bool:
    """Run one round of a target; False if it failed."""
    limits = settings(max_examples=ROUND_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    try:
        limits(seeded(seed)(given(target.inputs)(target.check)))()
    except Exception:  # whatever the decoder raises is the defect that is reported
        print(f"{target.name}, seed {seed}:")
        traceback.print_exc(file=sys.stdout)
        return False
    return True


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./just fuzz", description="Fuzz every decoder.")
    parser.add_argument("--seconds", type=float, default=300.0, help="duration of the run, default 300")
    parser.add_argument("--target", default="", help="only the targets whose name contains this text")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31), help="seed of the first round")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
