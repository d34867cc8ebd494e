"""Wire compatibility: every message type has a golden sample, and samples always decode."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType
from typing import get_args

import msgspec
import pytest
from trunkline_protocols import (
    broadcast,
    completion,
    consultation,
    customer_keys,
    dead_letter,
    desk,
    escalation,
    fleet,
    frames,
    inbox,
    knowledge,
    log,
    presence,
    refusal,
    snapshot,
    spending,
    tool_steps,
    turn,
)
from trunkline_protocols.wire import Wire

from tests.protocols.golden import SAMPLES

GOLDEN = Path(__file__).parent / "golden"
MODULES: tuple[ModuleType, ...] = (
    broadcast,
    completion,
    consultation,
    customer_keys,
    dead_letter,
    desk,
    escalation,
    fleet,
    frames,
    inbox,
    knowledge,
    log,
    presence,
    refusal,
    snapshot,
    spending,
    tool_steps,
    turn,
)


def wire_types() -> list[type[Wire]]:
    """Return all message types."""
    return [
        type_
        for module in MODULES
        for _, type_ in inspect.getmembers(module, inspect.isclass)
        if issubclass(type_, Wire) and type_ is not Wire and type_.__module__ == module.__name__
    ]


def name_of(type_: type[Wire]) -> str:
    """Return the file name of a type's sample: module and class."""
    return f"{type_.__module__.rpartition('.')[2]}.{type_.__name__}"


@pytest.mark.parametrize("type_", wire_types(), ids=name_of)
def test_golden_bytes_decode_to_the_same_message(type_: type[Wire]) -> None:
    """The bytes of a message's first release decode to the same value today."""
    sample = SAMPLES[name_of(type_)]
    golden = (GOLDEN / f"{name_of(type_)}.json").read_bytes().strip()
    assert msgspec.json.decode(golden, type=type_) == sample
    assert msgspec.json.encode(sample) == golden


@pytest.mark.parametrize("type_", wire_types(), ids=name_of)
def test_type_is_the_first_key(type_: type[Wire]) -> None:
    """The type is readable in any NATS client."""
    encoded = msgspec.json.encode(SAMPLES[name_of(type_)])
    tag = type_.__struct_config__.tag
    assert encoded.startswith(b'{"type":"%s"' % str(tag).encode())


def test_golden_commits_decode_to_the_same_events() -> None:
    """Together they contain every kind of event."""
    kinds: set[type] = set()
    for name in ("log.Commit", "log.Commit-people", "log.Commit-tools", "log.Commit-notes"):
        golden, sample = (GOLDEN / f"{name}.json").read_bytes().strip(), SAMPLES[name]
        assert isinstance(sample, log.Commit)
        assert msgspec.json.decode(golden, type=log.Commit) == sample
        assert msgspec.json.encode(sample) == golden
        kinds |= {type(event) for event in sample.events}
    assert kinds == set(get_args(log.Event))


def test_tags_are_not_class_names() -> None:
    """A class can be renamed without a change on the wire."""
    assert all(str(type_.__struct_config__.tag).islower() for type_ in wire_types())


def test_no_two_internal_messages_share_a_tag() -> None:
    """A tag identifies one message on every stream."""
    internal = [type_ for type_ in wire_types() if type_.__module__ != frames.__name__]
    tags = [type_.__struct_config__.tag for type_ in internal]
    assert len(tags) == len(set(tags))


def test_unknown_fields_of_a_newer_version_are_ignored() -> None:
    """Older processes accept messages with new fields."""
    newer = b'{"type":"attached","conversation":"c1","ingress":"ingress-1","new":[{"newer":2}]}'
    assert msgspec.json.decode(newer, type=turn.SocketAttached) == SAMPLES["turn.SocketAttached"]
