"""Fields of messages in terms of JSON: name on the wire, type, default and meaning."""

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
class MessageField:
    """A field of a message. `type` and `default` are Markdown; without a default the field is always present."""

    name: str
    type: str
    default: str
    meaning: str


def fields_of(struct: Struct) -> list[MessageField]:
    """Return the fields of a message or part, in order."""
    meanings = meanings_of(struct)
    return [
        MessageField(field.encode_name, _describe(field.type), _default(field), meanings.get(field.name, ""))
        for field in _inspected(struct).fields
    ]


def parts_of(messages: Iterable[Struct]) -> list[Struct]:
    """Return the structs that messages are built of, sorted by name."""
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
    """Return the docstrings of fields, also inherited ones, parsed from the source since Python does not keep them."""
    if struct is msgspec.Struct:
        return {}
    tree = ast.parse(inspect.getsource(struct))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef))
    meanings = {name: meaning for base in struct.__bases__ for name, meaning in meanings_of(base).items()}
    for field, below in pairwise(body):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ) if name in struct.__struct_fields__:
                meanings[name] = " ".join(text.split())
            case _:
                pass
    return meanings


def sentence_of(struct: Struct) -> str:
    """Return the docstring on one line."""
    return " ".join((inspect.getdoc(struct) or "").split())


def anchor_of(struct: Struct) -> str:
    """Return the anchor of a struct in docs/messages.md."""
    return struct.__name__.lower()


def _inspected(struct: Struct) -> types.StructType:
    found = types.type_info(struct)
    if not isinstance(found, types.StructType):
        raise TypeError(f"{struct.__name__} is not a struct")
    return found


def _structs_in(type_: types.Type) -> Iterator[Struct]:
    match type_:
        case types.StructType(cls=cls):
            yield cls
        case types.Metadata(type=text):
            yield from _structs_in(text)
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


def portable(pattern: str) -> str:
    """Return a pattern as other languages write it: in them `$` is the end, in Python also before a last newline."""
    return pattern.replace(r"\Z", "$")


def _describe(type_: types.Type) -> str:
    match type_:
        case types.StructType(cls=cls):
            return f"[{cls.__name__}](#{anchor_of(cls)})"
        case types.ListType(item_type=item) | types.SetType(item_type=item) | types.VarTupleType(item_type=item):
            return f"list of {_describe(item)}"
        case types.Metadata(type=text):
            return f"{_describe(text)} (text)"
        case types.DictType(value_type=value):
            return f"map to {_describe(value)}"
        case types.UnionType(types=members):
            return " or ".join(sorted(_describe(member) for member in members))
        case types.LiteralType(values=values):
            return " ".join(f"`{value}`" for value in values)
        case _:
            return _describe_scalar(type_)


def _describe_scalar(type_: types.Type) -> str:
    match type_:
        case types.StrType(min_length=minimum, max_length=maximum, pattern=pattern):
            return f"string{_range(minimum, maximum, ' characters')}" + (f" `{portable(pattern)}`" if pattern else "")
        case types.IntType(ge=minimum, le=maximum):
            return f"integer{_range(minimum, maximum)}"
        case types.FloatType(ge=minimum, le=maximum):
            return f"number{_range(minimum, maximum)}"
        case types.BytesType():
            return "string (base64)"
        case _ if type(type_) in _PLAIN:
            return _PLAIN[type(type_)]
        case _:
            raise TypeError(f"no description for {type_}")


def _range(minimum: float | None, maximum: float | None, unit: str = "") -> str:
    match minimum, maximum:
        case None, None:
            return ""
        case _, None:
            return f", from {minimum:g}{unit}"
        case None, _:
            return f", up to {maximum:,g}{unit}"
        case int() | float(), int() | float():
            return f", {minimum:,g} to {maximum:,g}{unit}"
        case _:
            assert_never((minimum, maximum))


def _default(field: types.Field) -> str:
    if field.required:
        return ""
    if field.default is not NODEFAULT:
        return f"`{msgspec.json.encode(field.default).decode()}`"
    if field.default_factory is not NODEFAULT:
        return f"`{msgspec.json.encode(field.default_factory()).decode()}`"
    return "omitted"
