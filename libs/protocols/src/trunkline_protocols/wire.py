"""What every message is made of: `Wire` for messages, `Record` for their parts."""

from __future__ import annotations

import msgspec


class Wire(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type"):
    """What all wire messages share: immutable, named fields, defaults left out, an explicit `type` tag."""


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of a message; has no tag of its own."""
