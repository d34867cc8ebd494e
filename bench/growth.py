"""Growth: cost of a turn against open conversations, length, agents, passages and NATS servers.

Each point is a suite of its own, a load on it, and a result file; tables and pictures are made of the files. A run may
be interrupted: points that have a result of the present commit are not repeated, `--again` repeats them.

    TRUNKLINE_DATA=... python -m bench.growth --only conversations --max-minutes 30
    python -m bench.growth --report
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from trunkline_cli.bench.load.core.results import LoadFile, ResultError, decode_file
from trunkline_cli.bench.load.machine import commit_of_code

from bench.growth_points import DIMENSIONS, ENVIRONMENT, Dimension
from bench.growth_report import growth_picture, table
from bench.suites import SuiteError, running_suite

_FOLDER: Final = Path(__file__).parent / "results" / "growth"
_MINUTE_S: Final = 60.0


def measure(dimension: Dimension, size: int, results: Path, data: Path | None, timeout_s: float) -> None:
    """Measure a point and store its result; raise `SuiteError` if it cannot be measured."""
    with tempfile.TemporaryDirectory(prefix="trunkline-growth-") as name:
        folder = Path(name)
        prepared = dimension.prepare(size, data, folder)
        environment = {**ENVIRONMENT, **prepared.environment}
        with running_suite(folder / "data", environment, prepared.options) as suite:
            prepared.fill(suite, folder)
            note = f"{dimension.name} {size:,}"
            command = ["bench", "load", *prepared.load, "--results", str(folder / "results"), "--note", note]
            suite.run(command, timeout_s)
        [stored] = (folder / "results").iterdir()
        target = file_of(results, dimension, size)
        target.parent.mkdir(parents=True, exist_ok=True)
        # Written beside its place first: an interrupt leaves no half of a file.
        partial = target.with_suffix(".partial")
        partial.write_bytes(stored.read_bytes())
        partial.replace(target)


def file_of(results: Path, dimension: Dimension, size: int) -> Path:
    """Return the result file of a point."""
    return results / dimension.name / f"{size:06d}.json"


def stored_points(results: Path, dimension: Dimension) -> Iterator[tuple[int, LoadFile]]:
    """Yield the points that have a readable result, ascending."""
    for file in sorted((results / dimension.name).glob("*.json")):
        try:
            yield int(file.stem), decode_file(file.read_bytes())
        except (ResultError, ValueError) as error:
            print(f"{file}: {error}", file=sys.stderr)


def write_report(results: Path) -> None:
    """Write the tables of all dimensions to growth.md, and a picture of each that has two points."""
    parts = ["# Growth", ""]
    for dimension in DIMENSIONS:
        points = list(stored_points(results, dimension))
        if not points:
            continue
        parts += [f"## {dimension.name.capitalize()}", "", table(dimension.label, points), ""]
        if len(points) > 1:
            picture = results / f"{dimension.name}.svg"
            picture.write_text(growth_picture(dimension.label, points), encoding="utf-8")
            parts += [f"![{dimension.label}]({picture.name})", ""]
    results.mkdir(parents=True, exist_ok=True)
    (results / "growth.md").write_text("\n".join(parts), encoding="utf-8")


def points_of(only: Sequence[str], sizes: Sequence[int]) -> Iterator[tuple[Dimension, int]]:
    """Yield the points of some dimensions, or of all, with given sizes or their own."""
    for dimension in DIMENSIONS:
        if not only or dimension.name in only:
            yield from ((dimension, size) for size in sizes or dimension.sizes)


def is_stored(results: Path, dimension: Dimension, size: int) -> bool:
    """Return whether a point has a result of the present commit."""
    return any(at == size and file.commit == commit_of_code() for at, file in stored_points(results, dimension))


def main() -> int:
    """Measure and report; return 1 if a point could not be measured."""
    names = [dimension.name for dimension in DIMENSIONS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=names, default=[], help="dimensions")
    parser.add_argument("--sizes", nargs="+", type=int, default=[], help="sizes in place of those of the dimension")
    parser.add_argument("--results", type=Path, default=_FOLDER, help="folder of results, tables and pictures")
    parser.add_argument("--data", type=Path, default=os.environ.get("TRUNKLINE_DATA"), help="[env: TRUNKLINE_DATA]")
    parser.add_argument("--max-minutes", type=float, default=120.0, help="no further point begins after this time")
    parser.add_argument("--point-minutes", type=float, default=30.0, help="limit of one load with its warm-up")
    parser.add_argument("--again", action="store_true", help="repeat points of the present commit")
    parser.add_argument("--report", action="store_true", help="write tables and pictures only")
    options = parser.parse_args()
    deadline = time.monotonic() + options.max_minutes * _MINUTE_S
    failed = 0
    for dimension, size in () if options.report else points_of(options.only, options.sizes):
        point = f"{dimension.name} {size:,}"
        if not options.again and is_stored(options.results, dimension, size):
            print(f"{point}: has a result", flush=True)
            continue
        if time.monotonic() > deadline:
            print(f"{point}: not begun, {options.max_minutes:g} minutes are over", flush=True)
            continue
        print(f"{point}: measuring", flush=True)
        try:
            measure(dimension, size, options.results, options.data, options.point_minutes * _MINUTE_S)
        except SuiteError as error:
            failed += 1
            print(f"{point}: failed: {error}", flush=True)
    write_report(options.results)
    print(options.results / "growth.md")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
