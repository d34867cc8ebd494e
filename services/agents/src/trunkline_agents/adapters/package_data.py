"""Data files of the package: the built-in examples of intents, and texts in other languages."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import TypeVar

import msgspec
from trunkline_protocols.decoding import decode_toml

from trunkline_agents.core.intents.examples import BuiltInExamples
from trunkline_agents.core.languages import LanguageTexts

T = TypeVar("T")


class _Intent(msgspec.Struct, forbid_unknown_fields=True):
    examples: list[str]


@lru_cache(maxsize=1)
def built_in_examples() -> BuiltInExamples:
    """Return the built-in examples by intent."""
    return {name: intent.examples for name, intent in _read("intents.toml", dict[str, _Intent]).items()}


@lru_cache(maxsize=1)
def language_texts() -> LanguageTexts:
    """Return the texts for customers who write in another language."""
    return _read("languages.toml", LanguageTexts)


def _read(name: str, type_: type[T]) -> T:
    return decode_toml((files("trunkline_agents") / "data" / name).read_text(encoding="utf-8-sig"), type_)
