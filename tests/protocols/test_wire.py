"""Messages on the wire: every type has a golden sample, and old samples always decode."""

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
    desk,
    escalation,
    fleet,
    frames,
    inbox,
    knowledge,
    log,
    presence,
    snapshot,
    turn,
)
from trunkline_protocols.wire import Wire

from tests.protocols.golden import SAMPLES

GOLDEN = Path(__file__).parent / "golden"
MODULES: tuple[ModuleType, ...] = (
    broadcast,
    completion,
    consultation,
    desk,
    escalation,
    fleet,
    frames,
    inbox,
    knowledge,
    log,
    presence,
    snapshot,
    turn,
)


def wire_types() -> list[type[Wire]]:
    """All messages that can be on the wire."""
    return [
        type_
        for module in MODULES
        for _, type_ in inspect.getmembers(module, inspect.isclass)
        if issubclass(type_, Wire) and type_ is not Wire and type_.__module__ == module.__name__
    ]


def name_of(type_: type[Wire]) -> str:
    """File name of a type's sample: module and class."""
    return f"{type_.__module__.rpartition('.')[2]}.{type_.__name__}"


@pytest.mark.parametrize("type_", wire_types(), ids=name_of)
def test_kept_bytes_decode_to_the_same_message(type_: type[Wire]) -> None:
    """The bytes of the day on which a message was first released decode today, to the same value."""
    sample = SAMPLES[name_of(type_)]
    kept = (GOLDEN / f"{name_of(type_)}.json").read_bytes().strip()
    assert msgspec.json.decode(kept, type=type_) == sample
    assert msgspec.json.encode(sample) == kept


@pytest.mark.parametrize("type_", wire_types(), ids=name_of)
def test_messages_say_their_type_first(type_: type[Wire]) -> None:
    """`type` is the first key: readable on any NATS client."""
    encoded = msgspec.json.encode(SAMPLES[name_of(type_)])
    tag = type_.__struct_config__.tag
    assert encoded.startswith(b'{"type":"%s"' % str(tag).encode())


def test_kept_commits_decode_to_the_same_events() -> None:
    """Every kind of event is in one of them."""
    kinds: set[type] = set()
    for name in ("log.Commit", "log.Commit-people", "log.Commit-tools"):
        kept, sample = (GOLDEN / f"{name}.json").read_bytes().strip(), SAMPLES[name]
        assert isinstance(sample, log.Commit)
        assert msgspec.json.decode(kept, type=log.Commit) == sample
        assert msgspec.json.encode(sample) == kept
        kinds |= {type(event) for event in sample.events}
    assert kinds == set(get_args(log.Event))


def test_tags_are_words_of_ours_and_not_class_names() -> None:
    """A class can be renamed without changing the wire."""
    assert all(str(type_.__struct_config__.tag).islower() for type_ in wire_types())


def test_no_two_internal_messages_share_a_tag() -> None:
    """A tag names one message, whichever stream it is read from."""
    internal = [type_ for type_ in wire_types() if type_.__module__ != frames.__name__]
    tags = [type_.__struct_config__.tag for type_ in internal]
    assert len(tags) == len(set(tags))


def test_unknown_fields_of_a_newer_version_are_ignored() -> None:
    """A newer process may say more; an older one still understands."""
    newer = b'{"type":"task.claimed","ref":{"conversation":"c1","turn":"c1-1","attempt":1,"hop":0,"new":2},"instance":"a","new":[1]}'
    assert msgspec.json.decode(newer, type=turn.TaskClaimed) == SAMPLES["turn.TaskClaimed"]
