"""Texts of customers in stored messages: marked at their fields, and encrypted where the messages are stored.

A field that holds words of a customer, or words about one, has the type `Text`; a value of another shape is marked with
`TEXT`. A `StoredTexts` message is stored with all of them encrypted by one key, which its field `key` names, or with
none. In an encrypted message each text is `enc1:` and the Base64 of its ciphertext, bound to the message and the field:
one that is moved to another place, or a text that is not encrypted, is refused. Empty texts stay empty.

Core messages and streams in memory carry texts in clear: nothing stores them.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator
from functools import cache
from typing import Annotated, Any, ClassVar, Final, Protocol, TypeAlias, TypeVar

import msgspec
from msgspec import inspect
from msgspec.structs import replace

from trunkline_protocols.decoding import DecodeError, Decoder, ValidationError, decode_text, encode
from trunkline_protocols.half_characters import join_halves
from trunkline_protocols.wire import Wire

TEXT: Final = msgspec.Meta(extra={"text": True})
"""Marks a field as text, for any type that may also be a string."""

Text: TypeAlias = Annotated[str, TEXT]
"""Words of a customer, or words about one."""

ERASED: Final = "[erased]"
"""Stands for a text whose key is destroyed."""

_PREFIX: Final = "enc1:"
_IS_TEXT: Final = b"t"
_IS_VALUE: Final = b"v"
"""First byte of a plain text before encryption: a text, or the JSON of a value of another shape."""
_value_decoder: Final[Decoder[Any]] = Decoder(int | float | bool | dict[str, str])


class StoredTexts(Wire, frozen=True, kw_only=True):
    """Base of the messages that are stored with texts of a customer."""

    key: str = ""
    """Id of the customer's key that the texts are encrypted with, see `customer_keys.key_id`; empty: in clear."""

    identity: ClassVar[tuple[str, ...]] = ()
    """Fields that identify the message: its texts are not valid in another one."""


class TextKey(Protocol):
    """A customer's key."""

    @property
    def id(self) -> str:
        """Its id, see `customer_keys.key_id`."""
        ...

    def encrypt(self, plain: bytes, context: bytes) -> bytes:
        """Return the ciphertext, bound to the context."""
        ...

    def decrypt(self, ciphertext: bytes, context: bytes) -> bytes:
        """Return the text; raise `DecodeError` for another key, another context or changed bytes."""
        ...


M = TypeVar("M", bound=StoredTexts)

_Change: TypeAlias = Callable[[Any, str], Any]
"""Returns the new value of a text at a path."""
_Visitor: TypeAlias = Callable[[Any, str, _Change], Any]
"""Returns a value with its texts changed; the same object if it has none."""


def encrypt_texts(message: M, key: TextKey) -> M:
    """Return the message with its texts encrypted and with the id of the key."""
    context = _context_of(message, key.id)

    def change(value: Any, path: str) -> str:  # noqa: ANN401 - a text or a value
        plain = _IS_TEXT + join_halves(value).encode() if isinstance(value, str) else _IS_VALUE + encode(value)
        return _PREFIX + b64encode(key.encrypt(plain, context + _bytes_of(path))).decode()

    return _changed(replace(message, key=key.id), change)


def decrypt_texts(message: M, key: TextKey) -> M:
    """Return an encrypted message with its texts in clear; raise `DecodeError` if one is not authentic."""
    context = _context_of(message, key.id)

    def change(value: Any, path: str) -> Any:  # noqa: ANN401 - a text or a value
        plain = key.decrypt(_ciphertext(value, path), context + _bytes_of(path))
        return decode_text(plain[1:]) if plain[:1] == _IS_TEXT else _value_decoder.decode(plain[1:])

    return _changed(message, change)


def erase_texts(message: M) -> M:
    """Return an encrypted message with `ERASED` in place of its texts."""
    return _changed(message, lambda _value, _path: ERASED)


def text_fields(type_: type) -> Iterator[tuple[str, str, bool]]:
    """Yield type, field and whether it is marked as text, for each field of a message or its parts that may be text."""
    yield from _fields_of(type_, set())


def _changed(message: M, change: _Change) -> M:
    visit = _visitor_of(type(message))
    return message if visit is None else visit(message, "", change)


def _context_of(message: StoredTexts, key: str) -> bytes:
    """Return the context that texts are bound to, beside their path: key, type and identity of the message."""
    named = (str(getattr(message, field)) for field in message.identity)
    return "\0".join((key, str(message.__struct_config__.tag), *named, "")).encode()


def _bytes_of(path: str) -> bytes:
    """Return a path, in which keys of maps are as they are stored."""
    return join_halves(path).encode()


def _ciphertext(value: object, path: str) -> bytes:
    if not isinstance(value, str) or not value.startswith(_PREFIX):
        raise ValidationError(f"a text is not encrypted - at `$.{path}`")
    try:
        return b64decode(value[len(_PREFIX) :], validate=True)
    except (Base64Error, ValueError):
        raise ValidationError(f"a text is not Base64 - at `$.{path}`") from None


# -- places of the texts, by the types ---


@cache
def _visitor_of(type_: type) -> _Visitor | None:
    return _visitor(inspect.type_info(type_))


def _visitor(info: inspect.Type) -> _Visitor | None:
    """Return the function that changes the texts of a type, None if it has none."""
    match info:
        case inspect.Metadata(extra={"text": True}):
            return _visit_text
        case inspect.Metadata():
            return _visitor(info.type)
        case inspect.StructType():
            return _struct_visitor(info)
        case inspect.ListType(item_type=item_type):
            return _list_visitor(_visitor(item_type))
        case inspect.DictType(value_type=value_type):
            return _dict_visitor(_visitor(value_type))
        case inspect.UnionType(types=types):
            return _union_visitor(types)
        case _:
            return None


def _visit_text(value: Any, path: str, change: _Change) -> Any:  # noqa: ANN401 - a text or a value
    return value if value == "" else change(value, path)


def _struct_visitor(info: inspect.StructType) -> _Visitor | None:
    visitors = [(field.name, found) for field in info.fields if (found := _visitor(field.type)) is not None]
    if not visitors:
        return None

    def visit(value: Any, path: str, change: _Change) -> Any:  # noqa: ANN401 - a struct
        changes = {}
        for name, visit_field in visitors:
            before = getattr(value, name)
            after = visit_field(before, f"{path}{name}.", change)
            if after is not before:
                changes[name] = after
        return replace(value, **changes) if changes else value

    return visit


def _list_visitor(visit_item: _Visitor | None) -> _Visitor | None:
    if visit_item is None:
        return None

    def visit(value: list[Any], path: str, change: _Change) -> list[Any]:
        if not value:
            return value
        return [visit_item(item, f"{path}{number}.", change) for number, item in enumerate(value)]

    return visit


def _dict_visitor(visit_item: _Visitor | None) -> _Visitor | None:
    if visit_item is None:
        return None

    def visit(value: dict[str, Any], path: str, change: _Change) -> dict[str, Any]:
        if not value:
            return value
        return {key: visit_item(item, f"{path}{key}.", change) for key, item in value.items()}

    return visit


def _union_visitor(types: tuple[inspect.Type, ...]) -> _Visitor | None:
    """Return the visitor of a union of messages and None, of which any may have texts."""
    by_class = {info.cls: found for info in types if isinstance(info, inspect.StructType) and (found := _visitor(info))}
    if not by_class:
        return None

    def visit(value: Any, path: str, change: _Change) -> Any:  # noqa: ANN401 - a member of the union
        visit_member = by_class.get(type(value))
        return value if visit_member is None else visit_member(value, path, change)

    return visit


def _fields_of(type_: type, seen: set[type]) -> Iterator[tuple[str, str, bool]]:
    info = inspect.type_info(type_)
    if type_ in seen or not isinstance(info, inspect.StructType):
        return
    seen.add(type_)
    for field in info.fields:
        is_text, may_be_text, parts = _text_of(field.type)
        if may_be_text:
            yield type_.__name__, field.name, is_text
        for part in parts:
            yield from _fields_of(part, seen)


def _text_of(info: inspect.Type) -> tuple[bool, bool, list[type]]:
    """Return whether a type is marked as text, whether it may hold any string, and the structs in it."""
    match info:
        case inspect.Metadata(extra={"text": True}):
            return True, True, []
        case inspect.Metadata(type=inner) | inspect.ListType(item_type=inner):
            return _text_of(inner)
        case inspect.DictType(value_type=inner):
            return _text_of(inner)
        case inspect.UnionType(types=types):
            found = [_text_of(each) for each in types]
            return (
                any(is_text for is_text, _, _ in found),
                any(may_be for _, may_be, _ in found),
                [part for _, _, parts in found for part in parts],
            )
        case inspect.StructType(cls=cls):
            return False, False, [cls]
        case inspect.StrType() | inspect.BytesType() | inspect.AnyType() | inspect.RawType():
            return False, True, []
        case _:
            return False, False, []


__all__ = [
    "ERASED",
    "TEXT",
    "DecodeError",
    "StoredTexts",
    "Text",
    "TextKey",
    "decrypt_texts",
    "encrypt_texts",
    "erase_texts",
    "text_fields",
]
