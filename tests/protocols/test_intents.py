"""The names of intents stand in one place, and the two sides that use them agree on all of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from trunkline_agents.adapters.package_data import built_in_examples
from trunkline_llm_gateway.core.small_talk import small_talk_reply
from trunkline_protocols import intents

ROOT = Path(__file__).parents[2]
NAMES = {value for name, value in vars(intents).items() if name.isupper() and isinstance(value, str)}
UNMISTAKABLE = {name for name in NAMES if "_" in name} | {intents.VAGUE, intents.GOODBYE}
"""Names that mean nothing else in code."""


def string_literals(file: Path) -> Iterator[str]:
    """Yield the string constants of a module."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_every_built_in_intent_has_its_name_and_examples() -> None:
    """A message is only perhaps off topic by its probability, so there are no examples of it."""
    assert set(built_in_examples()) == NAMES - {intents.PERHAPS_OFF_TOPIC}


def test_every_small_talk_has_a_reply() -> None:
    """And no other intent."""
    replied = {name for name in NAMES if small_talk_reply(name, speaker="Shop", greeting="Hello.") is not None}
    assert replied == intents.SMALL_TALK


def test_no_package_repeats_the_name_of_an_intent() -> None:
    """A name that one side changes alone would be an ordinary question to the other."""
    files = [file for folder in ("services", "cli", "libs") for file in (ROOT / folder).glob("**/src/**/*.py")]
    assert len(files) > 100
    repeated = {
        f"{file.relative_to(ROOT)}: {literal}"
        for file in files
        if file.name != "intents.py"
        for literal in string_literals(file)
        if literal in UNMISTAKABLE
    }
    assert repeated == set()
