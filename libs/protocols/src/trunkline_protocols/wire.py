"""Base classes: `Wire` for messages, `Record` for their parts."""

from __future__ import annotations

import msgspec


class Wire(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type"):
    """Base of all wire messages: immutable, defaults omitted, an explicit `type` tag."""


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of all parts of messages; without a tag."""
