"""Generator of docs/messages.md: channels, then every message with its fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from trunkline_protocols.catalogue import CHANNELS
from trunkline_protocols.channels import PARAMETERS, Channel, Flow
from trunkline_protocols.wire import Wire

from trunkline_cli.reference.fields import MessageField, Struct, anchor_of, fields_of, parts_of, sentence_of
from trunkline_cli.reference.permissions import permission_lines

_OPENING: Final = """\
# Messages

All messages between Trunkline's processes, and between a client and the ingress. Generated from the code by
`./just docs`; [asyncapi.json](asyncapi.json) is the machine-readable version.

A message is one JSON object whose first key, `type`, is its tag. Fields with a default may be omitted, all others are
always present. Receivers ignore unknown fields. Times (`at`, `…_at`) are Unix seconds in UTC, durations
(`…_ms`) milliseconds, money is US dollars.
"""
_CARRIERS: Final = {
    "stream": "JetStream {stored_in}",
    "core": "core NATS",
    "request": "core NATS, request and reply",
    "bucket": "KV {stored_in}",
    "websocket": "WebSocket",
}


def markdown() -> str:
    """Return the whole file."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _OPENING
    yield "## Channels\n"
    yield "| address | carrier | from → to | messages |"
    yield "|---|---|---|---|"
    for channel in CHANNELS:
        yield from (_row(channel, flow) for flow in channel.flows)
    yield "\nParameters of the addresses:\n"
    yield "| | |"
    yield "|---|---|"
    for name, (meaning, values) in PARAMETERS.items():
        yield f"| `{{{name}}}` | {meaning}{': ' if values else ''}{' '.join(f'`{value}`' for value in values)} |"
    shown: set[Struct] = set()
    for channel in CHANNELS:
        yield from _channel(channel, shown)
    yield from permission_lines()
    yield "\n## Parts\n"
    yield "Records that messages are built of. A part has no `type`; events of a commit have `event` instead."
    for part in parts_of(list(shown)):
        yield from _message(part)


def _row(channel: Channel, flow: Flow) -> str:
    carrier = "reply" if flow.reply else _carrier(channel)
    address = "" if flow.reply else f"`{channel.address}`"
    direction = f"{', '.join(flow.senders)} → {', '.join(flow.receivers)}"
    return f"| {address} | {carrier} | {direction} | {', '.join(_link(message) for message in flow.messages)} |"


def _carrier(channel: Channel) -> str:
    return _CARRIERS[channel.carrier].format(stored_in=channel.stored_in)


def _channel(channel: Channel, shown: set[Struct]) -> Iterator[str]:
    title = "WebSocket" if channel.carrier == "websocket" else f"`{channel.address}`"
    yield f"\n## {title}\n"
    yield f"{channel.summary}. Carried by {_carrier(channel)}."
    for flow in channel.flows:
        new = [message for message in flow.messages if message not in shown]
        known = [message for message in flow.messages if message in shown]
        yield f"\n**{', '.join(flow.senders)} → {', '.join(flow.receivers)}**" + (" (reply)" if flow.reply else "")
        if known:
            yield f"\nAlso {', '.join(_link(message) for message in known)}, above."
        for message in new:
            yield from _message(message)
        shown.update(new)


def _message(struct: Struct) -> Iterator[str]:
    yield f"\n### {struct.__name__}\n"
    yield f"{_tag(struct)}{sentence_of(struct)}"
    fields = fields_of(struct)
    if any(field.meaning for field in fields):
        yield "\n| field | type | default | |"
        yield "|---|---|---|---|"
        yield from (f"{_cells(field)} {_cell(field.meaning)} |" for field in fields)
    elif fields:
        yield "\n| field | type | default |"
        yield "|---|---|---|"
        yield from (_cells(field) for field in fields)


def _cells(field: MessageField) -> str:
    return f"| `{field.name}` | {_cell(field.type)} | {field.default} |"


def _tag(struct: Struct) -> str:
    config = struct.__struct_config__
    return f'`"{config.tag_field}": "{config.tag}"`. ' if config.tag is not None else ""


def _link(message: type[Wire]) -> str:
    return f"[{message.__name__}](#{anchor_of(message)})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
