"""Compatibility of the messages of two releases, both of which read and write during a roll-out.

    python -m trunkline_protocols.compatibility               prints the messages of this release as JSON
    python -m trunkline_protocols.compatibility OTHER.json    compares them with those of another one, both ways

Exit status 1 if a message of one release cannot be decoded by the other one; each fault is a line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect

from trunkline_protocols import codec
from trunkline_protocols.catalogue import CHANNELS
from trunkline_protocols.wire import Record

_LIMITS: Final = ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern", "multiple_of")

_READ_AS: Final = {"literal": ("literal", "str"), "int": ("int", "float")}
"""Kinds that read values of another one."""


class FieldShape(Record, frozen=True, kw_only=True):
    """A field of a message or of one of its parts."""

    required: bool
    shape: Any
    """Its type: a name of a struct, of a scalar, or a list of a kind and its members."""


class MessageShapes(Record, frozen=True, kw_only=True):
    """All messages of a release."""

    tags: dict[str, str]
    """Struct of each message by tag."""
    structs: dict[str, dict[str, FieldShape]]
    """Fields of each struct by their names on the wire."""


DECODER: Final[codec.Decoder[MessageShapes]] = codec.Decoder(MessageShapes)


def own_shapes() -> MessageShapes:
    """Return the messages of this release: all that are in the catalogue, with their parts."""
    structs: dict[str, dict[str, FieldShape]] = {}
    messages = sorted({message for channel in CHANNELS for message in channel.messages}, key=lambda each: each.__name__)
    tags = {}
    for message, info in zip(messages, inspect.multi_type_info(messages), strict=True):
        _shape_of(info, structs)
        tags[str(message.__struct_config__.tag)] = message.__name__
    return MessageShapes(tags=tags, structs=structs)


def _shape_of(info: inspect.Type, structs: dict[str, dict[str, FieldShape]]) -> Any:  # noqa: ANN401 - JSON
    """Return a type as JSON, and add the structs in it to `structs`."""
    match info:
        case inspect.Metadata(type=inner):
            return _shape_of(inner, structs)
        case inspect.StructType(cls=cls, fields=fields):
            # A tag distinguishes members of a union: it is a part of the shape.
            name = f"{cls.__name__}:{info.tag}" if info.tag is not None else cls.__name__
            if name not in structs:
                structs[name] = {}
                structs[name] |= {
                    field.encode_name: FieldShape(required=field.required, shape=_shape_of(field.type, structs))
                    for field in fields
                }
            return ["struct", name]
        case inspect.UnionType(types=types):
            return ["union", *sorted((_shape_of(each, structs) for each in types), key=repr)]
        case inspect.LiteralType(values=values):
            return ["literal", *sorted(values, key=repr)]
        case inspect.DictType(key_type=key, value_type=value):
            return ["dict", _shape_of(key, structs), _shape_of(value, structs)]
        case inspect.CollectionType(item_type=item):
            return ["list", _shape_of(item, structs), *_limits(info)]
        case inspect.TupleType(item_types=items):
            return ["tuple", *(_shape_of(each, structs) for each in items)]
        case _:
            return [type(info).__name__.removesuffix("Type").lower(), *_limits(info)]


def _limits(info: inspect.Type) -> list[str]:
    found = ((name, getattr(info, name, None)) for name in _LIMITS)
    return [f"{name}={value}" for name, value in found if value is not None]


def faults(writer: MessageShapes, reader: MessageShapes) -> list[str]:
    """Return why messages of `writer` could not be decoded by `reader`; a message that only one has is no fault."""
    comparison = _Comparison(writer, reader)
    for tag in sorted(writer.tags.keys() & reader.tags.keys()):
        before, after = writer.tags[tag], reader.tags[tag]
        comparison.compare(["struct", f"{before}:{tag}"], ["struct", f"{after}:{tag}"], tag)
    return comparison.faults


class _Comparison:
    """Walks the shapes of both releases side by side."""

    def __init__(self, writer: MessageShapes, reader: MessageShapes) -> None:
        self._writer = writer.structs
        self._reader = reader.structs
        self._compared: set[tuple[str, str]] = set()
        self.faults: list[str] = []

    def compare(self, written: Any, read: Any, place: str) -> None:  # noqa: ANN401 - JSON
        """Report why a reader would refuse a value that a writer may write."""
        if read[0] == "any" or (written == read and not _has_structs(written)):
            return
        match written, read:
            case ["struct", str(before)], ["struct", str(after)]:
                self._compare_structs(before, after, place)
            case ["union", *members], _:
                for member in members:
                    self.compare(member, read, place)
            case _, ["union", *members]:
                self._compare_with_union(written, members, place)
            case [str(kind), *before], [str(other), *after] if kind == other and kind in {"list", "dict", "tuple"}:
                self._compare_members(before, after, place)
            case _:
                self._compare_scalars(written, read, place)

    def _compare_scalars(self, written: list[Any], read: list[Any], place: str) -> None:
        kind, other = written[0], read[0]
        if kind == other == "literal":
            if missing := [value for value in written if value not in read]:
                self.faults.append(f"{place}: unknown value {missing[0]!r}")
        elif not (kind == other and set(read) <= set(written)) and not (
            kind != other and other in _READ_AS.get(kind, ()) and len(read) == 1
        ):
            self.faults.append(f"{place}: {written} is read as {read}")

    def _compare_structs(self, before: str, after: str, place: str) -> None:
        if (before, after) in self._compared:
            return
        self._compared.add((before, after))
        written, read = self._writer[before], self._reader[after]
        if _tag_of(before) != _tag_of(after):
            self.faults.append(f"{place}: {before} is read as {after}")
        for name, field in read.items():
            known = written.get(name)
            if known is None:
                if field.required:
                    self.faults.append(f"{place}.{name}: required, and the other release does not write it")
                continue
            if field.required and not known.required:
                self.faults.append(f"{place}.{name}: required, and the other release omits its default")
            self.compare(known.shape, field.shape, f"{place}.{name}")

    def _compare_with_union(self, written: Any, members: list[Any], place: str) -> None:  # noqa: ANN401 - JSON
        if written[0] == "struct":
            matching = [each for each in members if each[0] == "struct" and _tag_of(each[1]) == _tag_of(written[1])]
            if matching:
                self.compare(written, matching[0], place)
            elif _tag_of(written[1]):
                return  # a new kind of message or event: written once every process knows it
            else:
                self.faults.append(f"{place}: {written[1]} is not one of the known types")
            return
        same_kind = [each for each in members if each[0] in _READ_AS.get(written[0], (written[0],))]
        if same_kind:
            self.compare(written, same_kind[0], place)
        else:
            self.faults.append(f"{place}: {written} is not one of the known types")

    def _compare_members(self, before: list[Any], after: list[Any], place: str) -> None:
        shapes = [each for each in before if not isinstance(each, str)]
        others = [each for each in after if not isinstance(each, str)]
        for written, read in zip(shapes, others, strict=False):
            self.compare(written, read, place)
        limits = {each for each in after if isinstance(each, str)} - {each for each in before if isinstance(each, str)}
        if limits or len(shapes) != len(others):
            self.faults.append(f"{place}: {', '.join(sorted(limits)) or 'another number of members'}")


def _tag_of(name: str) -> str:
    return name.partition(":")[2]


def _has_structs(shape: Any) -> bool:  # noqa: ANN401 - JSON
    return isinstance(shape, list) and (shape[0] == "struct" or any(map(_has_structs, shape[1:])))


def both_ways(own: MessageShapes, other: MessageShapes) -> Iterator[str]:
    """Yield the faults between two releases."""
    yield from (f"this release cannot read {fault}" for fault in faults(other, own))
    yield from (f"the other release cannot read {fault}" for fault in faults(own, other))


def main(arguments: list[str]) -> int:
    """Print the messages of this release, or the faults in comparison with another one; return the exit status."""
    own = own_shapes()
    if not arguments:
        sys.stdout.write(msgspec.json.encode(own, order="sorted").decode() + "\n")
        return 0
    found = list(both_ways(own, DECODER.decode(Path(arguments[0]).read_bytes())))
    sys.stdout.writelines(f"{fault}\n" for fault in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
