"""Options that several benches have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Conversations = Annotated[int, typer.Option(min=1, help="Number of open conversations, one WebSocket each")]
Rate = Annotated[float, typer.Option(min=0.1, help="Turns per second over all conversations")]
Texts = Annotated[
    Path | None, typer.Option(help="JSON Lines with `text` or `turns`; default: the examples of the fleet")
]
Fleet = Annotated[Path, typer.Option(help="Fleet whose examples are sent")]
Seed = Annotated[int, typer.Option(help="Seed of arrival times and texts")]
