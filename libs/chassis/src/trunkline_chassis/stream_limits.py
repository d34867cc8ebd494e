"""Limits of streams and buckets that the operator sets, by name: age, size, compression."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from trunkline_protocols import streams

KNOWN: Final = frozenset(
    (*(stream.name for stream in streams.STREAMS), *(bucket.name for bucket in streams.BUCKETS)),
)
STREAM_LIMITS: Final = (
    "Limits of streams and buckets by name, as JSON: "
    '`{"INBOX": {"max_age_s": 604800}, "CONVERSATIONS": {"max_bytes": 50000000000, "compression": "s2"}}`; a limit '
    "that is not set here stays as it is on the server"
)


class StreamLimits(BaseModel):
    """Limits of one stream; None leaves the server's value."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    max_age_s: float | None = Field(None, ge=0)
    """Seconds after which a message is removed; 0 for never."""
    max_bytes: int | None = Field(None, ge=-1)
    """Bytes of all messages; -1 for no limit."""
    compression: Literal["none", "s2"] | None = None


def _refuse_unknown_names(limits: dict[str, StreamLimits]) -> dict[str, StreamLimits]:
    unknown = sorted(set(limits) - KNOWN)
    if unknown:
        raise ValueError(f"no stream or bucket {', '.join(unknown)}; they are {', '.join(sorted(KNOWN))}")
    return limits


LimitsByName = Annotated[dict[str, StreamLimits], AfterValidator(_refuse_unknown_names)]
