"""Assembly of tool calls from the fragments of a stream.

A fragment belongs to the call with its id, else to the latest call with its index, else to the latest call. Servers
number from 1, number every call 0, repeat the id in every fragment, use one id for several calls, send the name late,
in every fragment or in none, and send the whole arguments again at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from trunkline_protocols.decoding import DecodeError, Decoder
from trunkline_protocols.half_characters import join_halves
from trunkline_protocols.tool_steps import ToolCall

MAX_CALLS: Final = 128
"""Calls of one answer; further ones are dropped."""

_object: Final[Decoder[dict[str, Any]]] = Decoder(dict[str, Any])


@dataclass(slots=True)
class _Call:
    id: str
    index: int | None
    name: str = ""
    fragments: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> str:
        return "".join(self.fragments)


class ToolCallAssembler:
    """The tool calls of one answer."""

    def __init__(self) -> None:
        """Start without calls."""
        self._calls: list[_Call] = []
        self.dropped = 0
        """Fragments without a place: calls beyond the limit, and calls that never got a name."""
        self.size = 0
        """Characters of all names and arguments."""

    def add(self, *, id_: str, index: int | None, name: str, arguments: str) -> None:
        """Take a fragment; an absent `id_`, `name` or `arguments` is empty, an absent `index` None."""
        self.size += len(name) + len(arguments)
        call = self._find(id_, index, name)
        if call is None:
            if len(self._calls) >= MAX_CALLS:
                self.dropped += 1
                return
            call = _Call(id_, index)
            self._calls.append(call)
        call.id = call.id or id_
        call.name = call.name or name
        if arguments and not _repeats(call, arguments):
            call.fragments.append(arguments)

    def calls(self) -> list[ToolCall]:
        """Return the calls with a name, in order, each with an id of its own and arguments without half characters."""
        found: list[ToolCall] = []
        for number, call in enumerate(self._calls):
            if not call.name:
                self.dropped += 1
                continue
            taken = {each.id for each in found}
            id_ = call.id if call.id and call.id not in taken else f"call-{number}"
            found.append(ToolCall(id=id_, name=join_halves(call.name), arguments=join_halves(call.arguments)))
        return found

    def _find(self, id_: str, index: int | None, name: str) -> _Call | None:
        """Return the call that a fragment continues, None if it begins another one."""
        if id_:
            call = next((each for each in reversed(self._calls) if each.id == id_), None)
            if call is None:
                # An id may come after the first fragment of its call.
                late = self._last(index)
                return late if late is not None and not late.id and not _begins(late, name) else None
            is_other = index is not None and call.index is not None and index != call.index
            return None if (name and is_other) or _begins(call, name) else call
        call = self._last(index)
        return None if call is None or _begins(call, name) else call

    def _last(self, index: int | None) -> _Call | None:
        """Return the latest call, of an index if there is one."""
        return next((each for each in reversed(self._calls) if index is None or each.index in {index, None}), None)


def is_complete(arguments: str) -> bool:
    """Return whether arguments are a whole JSON object."""
    if not arguments.rstrip().endswith("}"):
        return False
    try:
        _object.decode_with_halves(arguments)
    except DecodeError:
        return False
    return True


def _begins(call: _Call, name: str) -> bool:
    """Return whether a fragment with a name begins another call: this one has its name and all its arguments."""
    return bool(name) and bool(call.name) and (name != call.name or is_complete(call.arguments))


def _repeats(call: _Call, arguments: str) -> bool:
    """Return whether a fragment is the whole arguments again."""
    return len(arguments) > 1 and is_complete(arguments) and arguments == call.arguments
