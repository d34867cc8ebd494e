"""Options of `trunkline bench load`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trunkline_cli.bench.load.core.schedule import Arrivals
from trunkline_cli.bench.load.plan import OnRefusal

LoadRate = Annotated[float | None, typer.Option(min=0.1, help="Turns per second over all conversations; default: 10")]
Duration = Annotated[float | None, typer.Option(min=1, help="Seconds of load; default: 10")]
Profile = Annotated[
    str | None,
    typer.Option(help="Phases in place of --rate and --duration: ramp:0-200/60s,hold:200/5m,burst:1000/10s"),
]
Arrival = Annotated[Arrivals, typer.Option(help="Moments of turns: at random, or evenly spaced")]
Processes = Annotated[int, typer.Option(min=1, max=64, help="Generator processes")]
Replay = Annotated[
    Path | None,
    typer.Option(help="Conversations to replay in order: JSON Lines in the format of MultiDoGO, or a folder"),
]
Active = Annotated[
    int, typer.Option(min=0, help="Conversations that send turns, 0 for all; the others are open and silent")
]
WarmUp = Annotated[int, typer.Option(min=0, help="Turns of each active conversation before the load, not counted")]
Refusal = Annotated[OnRefusal, typer.Option(help="If the suite refuses a message for now: drop it, or send it again")]
MaxTraces = Annotated[
    int, typer.Option(min=0, help="Conversations whose traces are read for the model's time; 0 for all")
]
Ingress = Annotated[list[str] | None, typer.Option(help="Address of an ingress, several by repetition; default: --url")]
Source = Annotated[list[str] | None, typer.Option(help="Local address to connect from, several by repetition")]
Results = Annotated[Path | None, typer.Option(help="Folder for a result file, for `bench plot`")]
Note = Annotated[str, typer.Option(help="Name of the run in the result file and in plots")]
