"""A message's fields as a reader in any language sees them: name on the wire, JSON type, default, what it means."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Final, assert_never

import msgspec
from msgspec import NODEFAULT, inspect as types

Struct = type[msgspec.Struct]
_PLAIN: Final[dict[type[types.Type], str]] = {
    types.BoolType: "true or false",
    types.NoneType: "null",
    types.AnyType: "anything",
    types.BytesType: "bytes, in base64",
}


@dataclass(frozen=True, slots=True)
class FieldOf:
    """One field. `type` and `default` are Markdown; no default: the field is always there."""

    name: str
    type: str
    default: str
    meaning: str


def fields_of(struct: Struct) -> list[FieldOf]:
    """Fields of a message or of a part of one, in their order."""
    meanings = meanings_of(struct)
    return [
        FieldOf(field.encode_name, _written(field.type), _default(field), meanings.get(field.name, ""))
        for field in _inspected(struct).fields
    ]


def parts_of(messages: Iterable[Struct]) -> list[Struct]:
    """Structs that messages are built of, by name."""
    wanted = list(messages)
    found: set[Struct] = set()
    for struct in wanted:
        for field in _inspected(struct).fields:
            for part in _structs_in(field.type):
                if part not in found and part not in wanted:
                    found.add(part)
                    wanted.append(part)
    return sorted(found, key=lambda part: part.__name__)


@cache
def meanings_of(struct: Struct) -> dict[str, str]:
    """Docstrings below fields, which Python itself does not keep."""
    tree = ast.parse(inspect.getsource(struct))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef))
    meanings = {}
    for field, below in pairwise(body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                meanings[name] = " ".join(text.split())
            case _:
                pass
    return meanings


def sentence_of(struct: Struct) -> str:
    """What the docstring says, on one line."""
    return " ".join((inspect.getdoc(struct) or "").split())


def anchor_of(struct: Struct) -> str:
    """Where a struct stands in docs/messages.md."""
    return struct.__name__.lower()


def _inspected(struct: Struct) -> types.StructType:
    found = types.type_info(struct)
    if not isinstance(found, types.StructType):
        raise TypeError(f"{struct.__name__} is no struct")
    return found


def _structs_in(type_: types.Type) -> Iterator[Struct]:
    match type_:
        case types.StructType(cls=cls):
            yield cls
        case types.ListType(item_type=item) | types.SetType(item_type=item) | types.VarTupleType(item_type=item):
            yield from _structs_in(item)
        case types.DictType(key_type=key, value_type=value):
            yield from _structs_in(key)
            yield from _structs_in(value)
        case types.UnionType(types=members):
            for member in members:
                yield from _structs_in(member)
        case _:
            pass


def _written(type_: types.Type) -> str:
    match type_:
        case types.StructType(cls=cls):
            return f"[{cls.__name__}](#{anchor_of(cls)})"
        case types.ListType(item_type=item) | types.SetType(item_type=item) | types.VarTupleType(item_type=item):
            return f"list of {_written(item)}"
        case types.DictType(value_type=value):
            return f"map to {_written(value)}"
        case types.UnionType(types=members):
            return " or ".join(sorted(_written(member) for member in members))
        case types.LiteralType(values=values):
            return " ".join(f"`{value}`" for value in values)
        case _:
            return _written_scalar(type_)


def _written_scalar(type_: types.Type) -> str:
    match type_:
        case types.StrType(min_length=least, max_length=most, pattern=pattern):
            return f"string{_range(least, most, ' characters')}" + (f" `{pattern}`" if pattern else "")
        case types.IntType(ge=least, le=most):
            return f"integer{_range(least, most)}"
        case types.FloatType(ge=least, le=most):
            return f"number{_range(least, most)}"
        case types.BytesType():
            return "string (base64)"
        case _ if type(type_) in _PLAIN:
            return _PLAIN[type(type_)]
        case _:
            raise TypeError(f"no words for {type_}")


def _range(least: float | None, most: float | None, unit: str = "") -> str:
    match least, most:
        case None, None:
            return ""
        case _, None:
            return f", from {least:g}{unit}"
        case None, _:
            return f", up to {most:,g}{unit}"
        case int() | float(), int() | float():
            return f", {least:,g} to {most:,g}{unit}"
        case _:
            assert_never((least, most))


def _default(field: types.Field) -> str:
    if field.required:
        return ""
    if field.default is not NODEFAULT:
        return f"`{msgspec.json.encode(field.default).decode()}`"
    if field.default_factory is not NODEFAULT:
        return f"`{msgspec.json.encode(field.default_factory()).decode()}`"
    return "left out"
