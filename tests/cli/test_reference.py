"""The generated reference in docs/: up to date with the code, and a valid AsyncAPI document."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema
from trunkline_cli.reference.asyncapi import asyncapi
from trunkline_cli.reference.configuration import configuration
from trunkline_cli.reference.fields import fields_of, parts_of
from trunkline_cli.reference.markdown import markdown
from trunkline_cli.reference.telemetry import telemetry
from trunkline_protocols import accounting, citations, ids, log
from trunkline_protocols.catalogue import CHANNELS

from tests.protocols.golden import SAMPLES

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT: dict[str, Any] = msgspec.json.decode(asyncapi())
KEY = re.compile(r"[A-Za-z0-9_-]+")


def references(node: Any) -> Iterator[str]:
    """Yield all `$ref` below a node."""
    match node:
        case {"$ref": str(reference)}:
            yield reference
        case dict():
            for value in node.values():
                yield from references(value)
        case list():
            for value in node:
                yield from references(value)
        case _:
            pass


def resolve(reference: str) -> Any:
    """Return the node that a reference of the document names."""
    node: Any = DOCUMENT
    for key in reference.removeprefix("#/").split("/"):
        node = node[key]
    return node


@pytest.mark.parametrize(
    ("name", "generate"),
    [
        ("messages.md", markdown),
        ("asyncapi.json", lambda: asyncapi().decode()),
        ("configuration.md", configuration),
        ("telemetry.md", telemetry),
    ],
    ids=["messages", "asyncapi", "configuration", "telemetry"],
)
def test_generated_file_is_up_to_date(name: str, generate: Callable[[], str]) -> None:
    """A change of the code that forgets the documentation fails here."""
    assert (DOCS / name).read_text(encoding="utf-8") == generate(), "run ./just docs"


def test_document_is_asyncapi_3() -> None:
    """FastStream's model of the specification accepts it; the model is stricter than the specification for servers."""
    read = ApplicationSchema.model_validate({**DOCUMENT, "servers": None})
    assert read.asyncapi == "3.0.0"
    assert set(read.channels) == set(DOCUMENT["channels"])
    assert set(read.operations) == set(DOCUMENT["operations"])


def test_every_reference_of_the_document_is_resolved() -> None:
    """Within the document, whose keys have the characters that the specification allows."""
    found = set(references(DOCUMENT))
    assert found
    for reference in found:
        assert resolve(reference)
    for part in ("channels", "operations", *(f"components/{name}" for name in DOCUMENT["components"])):
        assert all(KEY.fullmatch(key) for key in resolve(f"#/{part}"))


def test_operations_use_messages_of_their_channel() -> None:
    """The specification requires it, for replies too."""
    for name, operation in DOCUMENT["operations"].items():
        assert operation["action"] in {"send", "receive"}
        for part in (operation, *([operation["reply"]] if "reply" in operation else [])):
            channel = part["channel"]["$ref"]
            for message in part["messages"]:
                assert message["$ref"].startswith(f"{channel}/messages/"), name


def test_address_parameters_are_declared() -> None:
    """Each token between braces, and no others."""
    for channel in DOCUMENT["channels"].values():
        assert set(re.findall(r"{(\w+)}", channel["address"] or "")) == set(channel.get("parameters", {}))


def test_schemas_have_every_key_of_the_golden_samples() -> None:
    """A client generated from the document knows all fields on the wire."""
    sent = {message for channel in CHANNELS for message in channel.messages}
    for sample in SAMPLES.values():
        if type(sample) in sent:
            schema = DOCUMENT["components"]["schemas"][type(sample).__name__]
            keys = set(msgspec.json.decode(msgspec.json.encode(sample)))
            assert set(schema["required"]) <= keys <= set(schema["properties"])


def test_docstring_of_a_field_is_its_meaning() -> None:
    """In the page and in the AsyncAPI document."""
    (attempt,) = (field for field in fields_of(ids.TurnRef) if field.name == "attempt")
    assert attempt.meaning.startswith("Attempt number from 1")
    assert DOCUMENT["components"]["schemas"]["TurnRef"]["properties"]["attempt"]["description"] == attempt.meaning


def test_parts_are_found_through_lists_and_unions() -> None:
    """Events of a commit, and their parts."""
    assert {log.TurnAnswered, log.Closed, citations.Citation, accounting.Timings} <= set(parts_of([log.Commit]))
