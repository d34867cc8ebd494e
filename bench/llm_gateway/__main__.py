"""Command line: parse the options, run, and print one JSON object."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path

import msgspec
import uvloop
from trunkline_chassis.logs import configure_logs

import bench.llm_gateway
from bench.llm_gateway.run import Plan, run


def main() -> None:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.llm_gateway",
        description=bench.llm_gateway.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rate", type=float, default=300.0, help="requests per second")
    parser.add_argument("--rounds", type=int, default=5, help="rounds over all targets")
    parser.add_argument("--duration", type=float, default=3.0, help="seconds per target in a round")
    parser.add_argument("--chunks", type=int, default=10, help="chunks per answer")
    parser.add_argument("--pause-ms", type=float, default=10.0, help="the model's time per chunk")
    parser.add_argument("--litellm", type=Path, help="virtual environment with litellm[proxy]")
    parser.add_argument(
        "--litellm-rate", type=float, default=10.0, help="requests per second for the comparison with LiteLLM"
    )
    parser.add_argument("--cancellations", type=int, default=100, help="answers cancelled by their caller")
    options = parser.parse_args()
    plan = Plan(
        rate=options.rate,
        slow_rate=options.litellm_rate,
        rounds=options.rounds,
        duration_s=options.duration,
        chunks=options.chunks,
        pause_ms=options.pause_ms,
        cancellations=options.cancellations,
        litellm=str(options.litellm or ""),
    )
    configure_logs(service="bench", instance="bench", level="warning", style="console")
    with (
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        tempfile.TemporaryDirectory() as folder,
        ExitStack() as stack,
    ):
        report = runner.run(run(plan, stack, Path(folder)))
    print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())


if __name__ == "__main__":
    main()
