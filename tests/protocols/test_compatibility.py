"""Comparison of the messages of two releases."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from trunkline_protocols.compatibility import DECODER, MessageShapes, both_ways, faults, own_shapes

OWN = own_shapes()
Structs = dict[str, dict[str, dict[str, Any]]]


def changed(change: Callable[[Structs], object]) -> MessageShapes:
    """Return the messages of another release, which differ by a change."""
    data = msgspec.to_builtins(OWN)
    change(data["structs"])
    return DECODER.decode(msgspec.json.encode(data))


def add(structs: Structs, *, required: bool) -> None:
    structs["AnswerTurn:turn.answer"]["mood"] = {"required": required, "shape": ["str"]}


def test_release_is_compatible_with_itself() -> None:
    """All messages of the catalogue and their parts are described."""
    assert list(both_ways(OWN, OWN)) == []
    assert OWN.tags["turn.answer"] == "AnswerTurn"
    assert OWN.structs["AnswerTurn:turn.answer"]["text"].required


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda structs: add(structs, required=False), id="a field with a default"),
        pytest.param(lambda structs: structs["AnswerTurn:turn.answer"].pop("lane"), id="a default is gone"),
        pytest.param(
            lambda structs: structs["Commit:commit"]["events"]["shape"][1].append(["struct", "Moved:moved"]),
            id="a kind of event",
        ),
    ],
)
def test_addition_is_compatible(change: Callable[[Structs], object]) -> None:
    """In both directions: unknown fields are ignored, missing ones have a default."""
    assert list(both_ways(OWN, changed(change))) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(
            lambda structs: add(structs, required=True),
            "the other release cannot read turn.answer.mood: required, and the other release does not write it",
            id="a field without a default",
        ),
        pytest.param(
            lambda structs: structs["AnswerTurn:turn.answer"].pop("text"),
            "this release cannot read turn.answer.text: required, and the other release does not write it",
            id="a required field is gone",
        ),
        pytest.param(
            lambda structs: structs["AnswerTurn:turn.answer"]["text"].update(required=False),
            "this release cannot read turn.answer.text: required, and the other release omits its default",
            id="a field is no longer required",
        ),
        pytest.param(
            lambda structs: structs["AnswerTurn:turn.answer"]["text"].update(shape=["int"]),
            "this release cannot read turn.answer.text: ['int'] is read as ['str']",
            id="another type",
        ),
        pytest.param(
            lambda structs: structs["AnswerTurn:turn.answer"]["lane"]["shape"].append("slow"),
            "this release cannot read turn.answer.lane: unknown value 'slow'",
            id="another value",
        ),
        pytest.param(
            lambda structs: structs["ReleaseDraw"]["share"]["shape"].append("ge=10"),
            "the other release cannot read commit.release_draw.share: ['int', 'ge=0', 'le=100'] is read as "
            "['int', 'ge=0', 'le=100', 'ge=10']",
            id="a narrower limit",
        ),
    ],
)
def test_fault_is_named(change: Callable[[Structs], object], expected: str) -> None:
    """With the release that cannot read, the message and the field."""
    assert expected in list(both_ways(OWN, changed(change)))


def test_reused_tag_is_a_fault() -> None:
    """A tag never changes its meaning."""
    data = msgspec.to_builtins(OWN)
    data["tags"]["turn.failed"] = "Escalate"
    data["structs"]["Escalate:turn.failed"] = data["structs"]["Escalate:turn.escalate"]
    other = DECODER.decode(msgspec.json.encode(data))
    assert any(fault.startswith("turn.failed.retryable: required") for fault in faults(other, OWN))


def test_command(tmp_path: Path) -> None:
    """It prints this release and compares it with another one; the exit status says whether they fit."""

    def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "trunkline_protocols.compatibility", *arguments]
        return subprocess.run(command, capture_output=True, check=False)

    same, other = tmp_path / "same.json", tmp_path / "other.json"
    same.write_bytes(run().stdout)
    assert (run(str(same)).returncode, run(str(same)).stdout) == (0, b"")
    other.write_bytes(msgspec.json.encode(changed(lambda structs: add(structs, required=True))))
    refused = run(str(other))
    assert (refused.returncode, refused.stdout.count(b"turn.answer.mood")) == (1, 1)
