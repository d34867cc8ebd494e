"""Messages between the command and its generator processes: one JSON object per line of a pipe."""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from trunkline_protocols.decoding import Decoder

from trunkline_cli.bench.load.core.tally import Tally
from trunkline_cli.bench.load.plan import LoadPlan


class Prepare(msgspec.Struct, frozen=True, kw_only=True, tag="prepare"):
    """Open the conversations of a share; the credentials come from environment and data folder."""

    url: str
    data_dir: str
    plan: LoadPlan


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """Begin the load at a moment of the monotonic clock, which all processes of a machine share."""

    at: float


class FinishLoad(msgspec.Struct, frozen=True, tag="finish"):
    """Close the conversations, read the model's times and report."""


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """Progress of the current phase."""

    done: float


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """All conversations are open and warm."""


class Driven(msgspec.Struct, frozen=True, tag="driven"):
    """The load is sent, and answered or given up."""


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The result."""

    tally: Tally


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The process ends with an error."""

    message: str


Request: TypeAlias = Prepare | Begin | FinishLoad
Reply: TypeAlias = Progress | Ready | Driven | Finished | Failed
MAX_LINE_BYTES = 256 * 1024 * 1024

request: Decoder[Request] = Decoder(Request)
reply: Decoder[Reply] = Decoder(Reply)


def line(message: Request | Reply) -> bytes:
    """Return a message as a line."""
    return msgspec.json.encode(message) + b"\n"
