"""Shape of a decoded TOML document against a record: every defect with its key, and the valid part of the rest."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar, get_args, get_origin

import msgspec
from trunkline_protocols import decoding
from trunkline_protocols.wire import Record

from trunkline_cli.fleet.core.lines import KeyPath
from trunkline_cli.fleet.core.text import shortened

T = TypeVar("T", bound=Record)
UNKNOWN_KEY: Final = "unknown key"
"""Beginning of the reason for a key that its record does not have."""

_MAX_VALUE_CHARACTERS: Final = 60


class ShapeDefect(NamedTuple):
    """A key that is missing, unknown, or of another type or range."""

    path: KeyPath
    reason: str


def shape_defects(value: object, type_: Any, path: KeyPath = ()) -> Iterator[ShapeDefect]:  # noqa: ANN401 - any annotation
    """Yield every defect of a value; the decoder of records stops at the first."""
    plain = _without_metadata(type_)
    if isinstance(plain, type) and issubclass(plain, msgspec.Struct):
        yield from _defects_of_table(value, plain, path)
        return
    defects = list(_defects_of_items(value, plain, path))
    if defects:
        yield from defects
        return
    reason = _refusal(value, type_, plain)
    if reason:
        yield ShapeDefect(path, reason)


def salvage(value: object, type_: type[T], **fallback: str) -> T:
    """Return a record of the valid parts of a table, with `fallback` or an empty value for required ones.

    It stands in for a defective definition, so that the checks of all others find it.
    """
    table = value if isinstance(value, dict) else {}
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(type_):
        plain = _without_metadata(field.type)
        raw = table.get(field.encode_name)
        if field.encode_name in table and not any(shape_defects(raw, field.type)):
            found[field.name] = decoding.convert(raw, field.type)
        elif isinstance(plain, type) and issubclass(plain, Record):
            found[field.name] = salvage(raw, plain)
        elif get_origin(plain) is list:
            found[field.name] = _valid_items(raw, get_args(plain)[0])
        elif get_origin(plain) is dict:
            found[field.name] = {}
        elif field.required:
            found[field.name] = fallback.get(field.name, "")
    return type_(**found)


def _defects_of_items(value: object, plain: Any, path: KeyPath) -> Iterator[ShapeDefect]:  # noqa: ANN401 - any annotation
    """Yield the defects of the items of an array, or of the values of a table with keys of its own."""
    if get_origin(plain) is list and isinstance(value, list):
        for index, item in enumerate(value):
            yield from shape_defects(item, get_args(plain)[0], (*path, index))
    if get_origin(plain) is dict and isinstance(value, dict):
        for key, item in value.items():
            yield from shape_defects(item, get_args(plain)[1], (*path, str(key)))


def _defects_of_table(value: object, type_: type[msgspec.Struct], path: KeyPath) -> Iterator[ShapeDefect]:
    if not isinstance(value, dict):
        yield ShapeDefect(path, "must be a table")
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(type_)}
    for key in value:
        if key not in fields:
            close = difflib.get_close_matches(str(key)[:_MAX_VALUE_CHARACTERS], fields, n=1)
            yield ShapeDefect((*path, str(key)), f"{UNKNOWN_KEY}{f', did you mean {close[0]!r}?' if close else ''}")
    for name, field in fields.items():
        if name in value:
            yield from shape_defects(value[name], field.type, (*path, name))
        elif field.required:
            yield ShapeDefect((*path, name), "is missing")


def _valid_items(value: object, type_: Any) -> list[Any]:  # noqa: ANN401 - any annotation
    items = value if isinstance(value, list) else []
    return [decoding.convert(item, type_) for item in items if not any(shape_defects(item, type_))]


def _refusal(value: object, type_: Any, plain: Any) -> str:  # noqa: ANN401 - any annotation
    """Return the reason why a value does not convert, an empty string if it does."""
    try:
        decoding.convert(value, type_)
    except decoding.ValidationError as error:
        reason, _, at = str(error).partition(" - at `")
    else:
        return ""
    if get_origin(plain) is Literal:
        reason = f"must be one of: {', '.join(map(str, get_args(plain)))}"
    where = at.removeprefix("$").removesuffix("`")
    reason = f"{reason}{f' at {where}' if where else ''}"
    if isinstance(value, list | dict) and "length" in reason:
        return f"{reason}, got {len(value)}"
    if isinstance(value, str | int | float) and ", got " not in reason:
        return f"{reason}, got {shortened(repr(value), _MAX_VALUE_CHARACTERS)}"
    return reason


def _without_metadata(type_: Any) -> Any:  # noqa: ANN401 - any annotation
    return get_args(type_)[0] if get_origin(type_) is Annotated else type_
