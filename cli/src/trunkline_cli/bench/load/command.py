"""`trunkline bench load`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
import uvloop

from trunkline_cli.bench.load import options
from trunkline_cli.bench.load.core.profile import Phase, ProfileError, constant, parse_profile
from trunkline_cli.bench.load.core.results import LoadFile, encode_file, file_name, load_file
from trunkline_cli.bench.load.machine import commit_of_code, machine_facts
from trunkline_cli.bench.load.plan import LoadPlan
from trunkline_cli.bench.load.run import FinishedRun, run_load
from trunkline_cli.bench.options import Conversations, Fleet, Seed, Texts
from trunkline_cli.bench.texts import read_replay, read_texts
from trunkline_cli.errors import CommandError
from trunkline_cli.options import DataDir, Url, client_settings
from trunkline_cli.settings import ClientSettings

_DEFAULT_RATE: Final = 10.0
_DEFAULT_SECONDS: Final = 10.0


def load(  # noqa: PLR0913 - one parameter per option
    conversations: Conversations = 100,
    rate: options.LoadRate = None,
    duration: options.Duration = None,
    profile: options.Profile = None,
    arrivals: options.Arrival = "poisson",
    processes: options.Processes = 1,
    texts: Texts = None,
    replay: options.Replay = None,
    fleet: Fleet = Path("fleet"),
    seed: Seed = 1,
    active: options.Active = 0,
    warm_up: options.WarmUp = 0,
    on_refusal: options.Refusal = "drop",
    max_traces: options.MaxTraces = 0,
    ingress: options.Ingress = None,
    source: options.Source = None,
    results: options.Results = None,
    note: options.Note = "",
    url: Url = None,
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; always on")] = True,  # noqa: FBT002
) -> None:
    """Keep conversations open and send turns at intended moments, independent of the answers (open loop)."""
    del as_json
    if texts is not None and replay is not None:
        raise CommandError("--texts and --replay: only one can be given")
    plan = LoadPlan(
        conversations=conversations,
        phases=_phases(profile, rate, duration),
        arrivals=arrivals,
        texts=read_replay(replay) if replay is not None else read_texts(texts, fleet),
        is_replay=replay is not None,
        seed=seed,
        active=active,
        warm_up=warm_up,
        on_refusal=on_refusal,
        max_traces=max_traces,
        ingresses=tuple(client_settings(each, data_dir).url for each in ingress or ()),
        sources=tuple(source or ()),
        processes=min(processes, active or conversations, conversations),
    )
    _run(client_settings(url, data_dir), plan, results, note)


def _run(settings: ClientSettings, plan: LoadPlan, results: Path | None, note: str) -> None:
    """Run a plan, store the result if there is a folder for it, and print the report."""
    if results is not None:
        _make_folder(results)
    begin = time.time()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        run = runner.run(run_load(settings, plan))
    if results is not None:
        _store(results, _file_of(run, begin, note))
    typer.echo(msgspec.json.format(msgspec.json.encode(run.report), indent=2))


def _phases(profile: str | None, rate: float | None, duration: float | None) -> tuple[Phase, ...]:
    if profile is None:
        return constant(rate or _DEFAULT_RATE, duration or _DEFAULT_SECONDS)
    if rate is not None or duration is not None:
        raise CommandError("--profile has rates and durations: --rate and --duration cannot be given")
    try:
        return parse_profile(profile)
    except ProfileError as error:
        raise CommandError(f"--profile: {error}") from error


def _make_folder(folder: Path) -> None:
    """Create the folder before the load, so that no result is lost."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"--results: {error}") from error


def _file_of(run: FinishedRun, begin: float, note: str) -> LoadFile:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin))
    return load_file(
        run.result,
        run.report,
        at=at,
        commit=commit_of_code(),
        machine=machine_facts(),
        suite=run.suite,
        note=note,
    )


def _store(folder: Path, file: LoadFile) -> None:
    path = folder / file_name(file)
    try:
        path.write_bytes(encode_file(file))
    except OSError as error:
        raise CommandError(f"--results: {error}") from error
    typer.echo(f"result: {path}", err=True)
