"""Steps of the tool loop: the calls of a model and their outcomes, and what KV TOOLS and TOOL_CALLS keep of them."""

from __future__ import annotations

from trunkline_protocols.texts import StoredTexts, Text
from trunkline_protocols.wire import Record, Wire


class ToolCall(Record, frozen=True, kw_only=True):
    """A tool call by the model; `arguments` is unvalidated JSON, checked by the process that runs the tool."""

    id: str
    name: str
    arguments: Text


class ToolOutcome(Record, frozen=True, kw_only=True):
    """Result of the tool call with the same id; a failure is a result too."""

    id: str
    text: Text
    failed: bool = False
    unknown: bool = False
    """If true, the call may have taken effect; implies `failed`."""
    ms: float = 0.0


class ToolStep(Record, frozen=True, kw_only=True):
    """One earlier step of the tool loop: the model's calls and their outcomes."""

    calls: list[ToolCall]
    outcomes: list[ToolOutcome]
    text: Text = ""


class ToolStepRecorded(StoredTexts, frozen=True, kw_only=True, tag="tool.step"):
    """A tool step in KV TOOLS: recorded before execution without outcomes, and after it with them.

    A later attempt at the turn resumes from here, so that no executed call is repeated.
    """

    step: ToolStep
    by: str
    """The attempt that recorded it."""


class ToolCallsCounted(Wire, frozen=True, kw_only=True, tag="tool.calls"):
    """Calls of one tool for one customer on one day, in KV TOOL_CALLS; an idempotency key counts once."""

    keys: list[str]
