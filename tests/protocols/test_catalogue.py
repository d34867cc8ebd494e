"""The catalogue of channels matches the subjects, streams and messages."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable
from typing import get_args, get_type_hints

import pytest
import trunkline_protocols
from trunkline_protocols import codec, frames, streams, subjects
from trunkline_protocols.catalogue import CHANNELS
from trunkline_protocols.channels import PARAMETERS, Channel
from trunkline_protocols.ids import ConversationId, partition_of
from trunkline_protocols.texts import StoredTexts
from trunkline_protocols.wire import Wire

CONVERSATION = ConversationId("c0123456789abcdef")
TOKENS = {"conversation": CONVERSATION, "kind": "handoff", "lane": "high", "colour": "green", "audience": "customers"}
BY_NAME = {channel.name: channel for channel in CHANNELS}
ON_SUBJECTS = [channel for channel in CHANNELS if channel.carrier in {"stream", "core", "request"}]


def builders() -> dict[str, Callable[..., str]]:
    """Return the functions that build one subject; filters with wildcards and parsers are excluded."""
    found = {
        name: function
        for name, function in inspect.getmembers(subjects, inspect.isfunction)
        if function.__module__ == subjects.__name__
        and not name.startswith("_")
        and get_type_hints(function).get("return") is str
    }
    return {name: function for name, function in found.items() if not re.search(r"[*>]", build(function))}


def build(function: Callable[..., str]) -> str:
    """Build a subject; each parameter is its own name or an allowed value."""
    return function(**{name: token(name) for name in inspect.signature(function).parameters})


def token(parameter: str) -> str:
    return str(partition_of(CONVERSATION)) if parameter == "partition" else TOKENS.get(parameter, parameter)


def test_every_wire_message_is_in_the_catalogue() -> None:
    """The reference is complete."""
    for module in pkgutil.iter_modules(trunkline_protocols.__path__):
        importlib.import_module(f"trunkline_protocols.{module.name}")
    sent = {message for channel in CHANNELS for message in channel.messages}
    subclasses = [*Wire.__subclasses__(), *StoredTexts.__subclasses__()]
    defined = {type_ for type_ in subclasses if type_.__module__.startswith("trunkline_protocols.")} - {StoredTexts}
    assert sent == defined


@pytest.mark.parametrize("name", builders())
def test_address_matches_the_built_subject(name: str) -> None:
    """Every subject that can be built has a channel with the same tokens in the same positions."""
    address = BY_NAME[name].address
    assert re.sub(r"{(\w+)}", lambda match: token(match[1]), address) == build(builders()[name])


@pytest.mark.parametrize("channel", ON_SUBJECTS, ids=lambda channel: channel.name)
def test_channel_has_a_subject_builder(channel: Channel) -> None:
    """The reference lists no channel that is unreachable from the code."""
    assert channel.name in builders()


def test_stored_channels_belong_to_their_stream_or_bucket() -> None:
    """Every stored channel names its stream or bucket, and no other channel does."""
    stored_in = {spec.name: spec.subjects for spec in streams.STREAMS}
    buckets = {spec.name: [f"$KV.{spec.name}.>"] for spec in streams.BUCKETS}
    for channel in CHANNELS:
        match channel.carrier:
            case "stream":
                patterns = stored_in[channel.stored_in]
            case "bucket":
                patterns = buckets[channel.stored_in]
            case _:
                assert not channel.stored_in
                continue
        assert channel.address.startswith(tuple(pattern.removesuffix(">") for pattern in patterns)), channel.name


def test_parameters_are_those_of_the_addresses() -> None:
    """Each parameter is explained, and each explanation is used."""
    used = {name for channel in CHANNELS for name in re.findall(r"{(\w+)}", channel.address)}
    assert used == set(PARAMETERS)


def test_websocket_carries_exactly_the_frames() -> None:
    """The channel carries exactly the frames that the ingress decodes and sends."""
    chat = BY_NAME["chat"]
    assert set(chat.messages) == {*get_args(frames.ClientFrame), *get_args(frames.ServerFrame)}
    assert chat.messages[0] is type(codec.client_frame.decode(b'{"type":"start","customer":"ada"}'))
