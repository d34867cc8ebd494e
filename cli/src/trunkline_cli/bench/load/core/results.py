"""Result file of a load run: its report, and what is needed to compare it with others."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from trunkline_protocols.decoding import DecodeError, decode

from trunkline_cli.bench.load.core.tally import StoredHistogram, Tally, merged

FORMAT: Final = "trunkline-load-1"


class ResultError(ValueError):
    """A file that is not the result of a load run."""


class MachineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The machine of the generators, and of the suite if it ran there."""

    cores: int
    model: str = ""
    memory_mib: int = 0
    system: str = ""
    python: str = ""


class LoadFile(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    at: str
    """Begin of the run, UTC, such as 2026-11-28T06:30:00Z."""
    commit: str
    """Commit of the working copy, with `-dirty` if it had changes; the version of the package without one."""
    machine: MachineFacts
    suite: dict[str, Any]
    """Configuration: embedder, providers, processes by service, replicas of streams."""
    report: dict[str, Any]
    histograms: dict[str, StoredHistogram]
    """By measure, over all phases."""
    format: str = FORMAT
    note: str = ""

    @property
    def name(self) -> str:
        """A short name for a legend."""
        return self.note or f"{self.at[:10]} {self.commit}"


def load_file(
    result: Tally,
    report: dict[str, Any],
    *,
    at: str,
    commit: str,
    machine: MachineFacts,
    suite: dict[str, Any],
    note: str = "",
) -> LoadFile:
    """Return the result file of a run."""
    names = result.phases[0].histograms if result.phases else {}
    histograms = {name: StoredHistogram.of(merged(phase.histograms[name] for phase in result.phases)) for name in names}
    return LoadFile(at=at, commit=commit, machine=machine, suite=suite, report=report, histograms=histograms, note=note)


def file_name(file: LoadFile) -> str:
    """Return the name of a result file: time and commit, in the order of the runs."""
    time = file.at.replace(":", "").replace("-", "")
    return f"{time}-{file.commit}.json"


def encode_file(file: LoadFile) -> bytes:
    """Return a result file as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n"


def decode_file(raw: bytes) -> LoadFile:
    """Read a result file; raise `ResultError` if it is not one, or of another format."""
    try:
        file = decode(raw, LoadFile)
    except DecodeError as error:
        raise ResultError(f"not a result of `trunkline bench load --results`: {error}") from error
    if file.format != FORMAT:
        raise ResultError(f"format {file.format}, not {FORMAT}")
    return file
