"""Generator of docs/asyncapi.json: an AsyncAPI 3.0 document with a JSON schema for every message."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any, Final

import msgspec
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema
from trunkline_protocols.catalogue import CHANNELS
from trunkline_protocols.channels import PARAMETERS, Channel, Flow
from trunkline_protocols.frames import SUBPROTOCOL
from trunkline_protocols.wire import Wire

from trunkline_cli.reference.fields import Struct, meanings_of, parts_of, portable, sentence_of

# An AsyncAPI document has no types here; its JSON objects are plain maps.
_Json = dict[str, Any]

_SERVERS: Final[_Json] = {
    "nats": {"host": "127.0.0.1:4222", "protocol": "nats", "description": "NATS server, TRUNKLINE_NATS_URL"},
    "ingress": {"host": "127.0.0.1:8080", "protocol": "ws", "description": "WebSocket endpoint for customers"},
}


def asyncapi() -> bytes:
    """Return the document, validated against FastStream's model of AsyncAPI 3.0."""
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Trunkline",
            "version": version("trunkline-protocols"),
            "description": "Customer-support agents on NATS JetStream. Generated from the code by `./just docs`.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": _SERVERS,
        "channels": {name: entry for channel in CHANNELS for name, entry in _channels(channel).items()},
        "operations": {name: entry for channel in CHANNELS for name, entry in _operations(channel).items()},
        "components": {"messages": _messages(), "schemas": _schemas()},
    }
    ApplicationSchema.model_validate({**document, "servers": None})  # its model of servers requires optional fields
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


# -- channels ---


def _channels(channel: Channel) -> _Json:
    """Return a channel, and a second one for replies, whose address is the requester's inbox."""
    requests = {message.__name__: message for flow in channel.flows if not flow.reply for message in flow.messages}
    replies = {message.__name__: message for flow in channel.flows if flow.reply for message in flow.messages}
    entry: _Json = {
        "address": channel.address,
        "description": channel.summary,
        "messages": {name: _ref("components", "messages", name) for name in requests},
        "servers": [_ref("servers", "ingress" if channel.carrier == "websocket" else "nats")],
        "tags": [{"name": channel.carrier}],
    }
    parameters = {name: _parameter(name) for name in re.findall(r"{(\w+)}", channel.address)}
    if parameters:
        entry["parameters"] = parameters
    if channel.stored_in:
        entry["x-stored-in"] = channel.stored_in
    if channel.carrier == "websocket":
        entry["bindings"] = {"ws": {"method": "GET", "headers": _subprotocol()}}
    if not replies:
        return {channel.name: entry}
    answers = {name: _ref("components", "messages", name) for name in replies}
    return {
        channel.name: entry,
        _reply_name(channel): {
            "address": None,
            "description": "Replies are sent to the requester's inbox",
            "messages": answers,
        },
    }


def _parameter(name: str) -> _Json:
    meaning, values = PARAMETERS[name]
    return {"description": meaning, **({"enum": list(values)} if values else {})}


def _subprotocol() -> _Json:
    return {"type": "object", "properties": {"Sec-WebSocket-Protocol": {"type": "string", "const": SUBPROTOCOL}}}


def _reply_name(channel: Channel) -> str:
    return f"{channel.name}-reply"


# -- operations ---


def _operations(channel: Channel) -> _Json:
    """Return the send and receive operations of each party; a reply belongs to its request's operation."""
    reply = next((flow for flow in channel.flows if flow.reply), None)
    operations: _Json = {}
    for flow in (flow for flow in channel.flows if not flow.reply):
        for action, parties in (("send", flow.senders), ("receive", flow.receivers)):
            for party in parties:
                name = f"{party.replace(' ', '-')}-{action}-{channel.name}"
                operations[name] = _operation(channel, flow, action, party, reply)
    return operations


def _operation(channel: Channel, flow: Flow, action: str, party: str, reply: Flow | None) -> _Json:
    operation: _Json = {
        "action": action,
        "channel": _ref("channels", channel.name),
        "messages": [_ref("channels", channel.name, "messages", message.__name__) for message in flow.messages],
        "tags": [{"name": party}],
    }
    if reply is not None:
        name = _reply_name(channel)
        operation["reply"] = {
            "channel": _ref("channels", name),
            "messages": [_ref("channels", name, "messages", message.__name__) for message in reply.messages],
        }
    return operation


# -- messages and their schemas ---


def _messages() -> _Json:
    return {
        message.__name__: {
            "name": str(message.__struct_config__.tag),
            "title": message.__name__,
            "summary": sentence_of(message),
            "contentType": "application/json",
            "payload": _ref("components", "schemas", message.__name__),
        }
        for message in _all_messages()
    }


def _schemas() -> _Json:
    """Return the schemas of all messages and their parts; docstrings of fields become descriptions."""
    messages = _all_messages()
    _, schemas = msgspec.json.schema_components(messages, ref_template="#/components/schemas/{name}")
    structs: list[Struct] = [*messages, *parts_of(messages)]
    for struct in structs:
        properties = schemas[struct.__name__]["properties"]
        named = {field.name: field.encode_name for field in msgspec.structs.fields(struct)}
        for field, meaning in meanings_of(struct).items():
            described = properties[named[field]]
            properties[named[field]] = {"allOf": [described]} if "$ref" in described else described
            properties[named[field]]["description"] = meaning
    _make_portable(schemas)
    return schemas


def _make_portable(schema: Any) -> None:  # noqa: ANN401 - JSON of any shape
    """Write the patterns of a schema, and of those in it, as JSON Schema has them."""
    if isinstance(schema, list):
        for item in schema:
            _make_portable(item)
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name == "pattern" and isinstance(value, str):
                schema[name] = portable(value)
            else:
                _make_portable(value)


def _all_messages() -> list[type[Wire]]:
    return list(dict.fromkeys(message for channel in CHANNELS for message in channel.messages))


def _ref(*path: str) -> _Json:
    return {"$ref": "#/" + "/".join(path)}
