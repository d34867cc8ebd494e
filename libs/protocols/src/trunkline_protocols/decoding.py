"""Decoding of untrusted bytes with a single error type, for JSON, msgpack and TOML.

DecodeError              the input is not of the format: malformed, truncated, no UTF-8
+-- ValidationError      well-formed as far as it was read, but of another shape, out of range or nested too deeply

Only this module calls the decoders of msgspec and `tomllib` (ruff bans them elsewhere): besides their own errors they
raise `UnicodeDecodeError`, `UnicodeEncodeError` (lone surrogates), `RecursionError` (deep nesting), `ValueError` (over
4,300 digits), `OverflowError`, `TypeError` (unhashable set members) and `MemoryError`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, NoReturn, TypeVar

import msgspec

from trunkline_protocols.half_characters import join_halves_in

DecodeError = msgspec.DecodeError
"""The one error of a decoding. Its text names the invalid field, never the input."""

ValidationError = msgspec.ValidationError

_BYTE_ORDER_MARK: Final = "\ufeff"
_ENCODER: Final = msgspec.json.Encoder()
_PATH_SEPARATOR: Final = " - at "
_QUOTING: Final = ("Invalid enum value", "Invalid value", "Object contains unknown field")
"""Messages of msgspec that continue with a piece of the input."""

T = TypeVar("T")


class Decoder(Generic[T]):
    """A reusable decoder that raises `DecodeError` and nothing else."""

    def __init__(self, type_: Any, *, binary: bool = False) -> None:  # noqa: ANN401 - a union is no type to mypy
        """Decode JSON, or msgpack if `binary`."""
        self.type: Final = type_
        self._decode = msgspec.msgpack.Decoder(type_).decode if binary else msgspec.json.Decoder(type_).decode

    def decode(self, payload: bytes | str) -> T:
        """Decode a payload."""
        try:
            decoded: T = self._decode(payload)  # type: ignore[arg-type]
        except Exception as error:  # every failure of a decoder becomes a `DecodeError`
            _raise(error)
        return decoded

    def decode_joined(self, payload: bytes | str) -> T:
        """Decode JSON of a client, whose strings may hold lone surrogates: `half_characters.join_halves` joins them.

        Raises `DecodeError`, also for bytes that are not UTF-8.
        """
        return self._decode_halves(payload, decode_text, join_halves_in)

    def decode_with_halves(self, payload: bytes | str) -> T:
        """Decode JSON of a model server, whose strings may hold lone surrogates; they stay in the result.

        Bytes that are not UTF-8 become U+FFFD. The caller joins the halves by `half_characters`, which knows how.
        """
        return self._decode_halves(payload, lambda raw: raw.decode("utf-8", "replace"), lambda value: value)

    def _decode_halves(self, payload: bytes | str, read: Callable[[bytes], str], change: Callable[[Any], Any]) -> T:
        try:
            return self.decode(payload)
        except ValidationError:
            raise
        except DecodeError:
            value = _load(payload if isinstance(payload, str) else read(payload))
        try:
            return msgspec.convert(change(value), self.type)  # type: ignore[no-any-return]
        except Exception as error:  # as in `decode`
            _raise(error)


def decode(payload: bytes | str, type_: type[T]) -> T:
    """Decode JSON of a type that is decoded rarely; raise `DecodeError`."""
    return Decoder[T](type_).decode(payload)


def convert(value: object, type_: type[T]) -> T:
    """Convert decoded values to a type; raise `ValidationError`."""
    try:
        return msgspec.convert(value, type_)
    except Exception as error:  # every failure of a conversion becomes a `ValidationError`
        _raise(error)


def decode_toml(
    text: str, type_: type[T], *, prepare: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None
) -> T:
    """Decode a TOML document of the operator; raise `DecodeError`, which quotes the invalid value.

    `prepare` completes the table before it is checked, for example with defaults; its exceptions pass through.
    """
    try:
        table = tomllib.loads(text.removeprefix(_BYTE_ORDER_MARK))
    except tomllib.TOMLDecodeError as error:
        raise DecodeError(str(error)) from None
    except Exception as error:  # as in `Decoder.decode`
        _raise(error)
    prepared = prepare(table) if prepare is not None else table
    try:
        return msgspec.convert(prepared, type_)
    except DecodeError:
        raise
    except Exception as error:  # as in `Decoder.decode`
        _raise(error)


def decode_text(payload: bytes) -> str:
    """Decode UTF-8; raise `DecodeError`."""
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        _raise(error)


def read_malformed(text: str) -> dict[str, Any]:
    """Return the fields of a JSON object that its decoder has refused; raise `DecodeError` if it is not JSON.

    Empty for JSON that is no object, and for JSON that is nested too deeply to be read. Strings may hold lone
    surrogates, which the grammar of JSON permits; numbers are strings.
    """
    try:
        found = json.loads(text, parse_constant=_refuse_constant, parse_int=str, parse_float=str)
    except RecursionError:
        return {}
    except ValueError:
        raise DecodeError("JSON is malformed") from None
    return found if isinstance(found, dict) else {}


def read_names(text: str) -> list[str]:
    """Return the names of the outermost object of JSON in their order, repeated ones too, which decoders drop.

    Raises `DecodeError` if the text is not JSON, is no object or is nested too deeply.
    """
    names: list[str] = []

    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # Objects are complete from the innermost to the outermost.
        names[:] = [name for name, _ in pairs]
        return {}

    try:
        found = json.loads(
            text, object_pairs_hook=keep, parse_constant=_refuse_constant, parse_int=str, parse_float=str
        )
    except RecursionError:
        raise ValidationError("nested too deeply") from None
    except ValueError:
        raise DecodeError("JSON is malformed") from None
    if not isinstance(found, dict):
        raise ValidationError("Expected `object`")
    return names


def encode(message: object) -> bytes:
    """Encode as JSON; lone surrogates, which UTF-8 cannot represent, become U+FFFD."""
    try:
        return _ENCODER.encode(message)
    except UnicodeEncodeError:
        return _ENCODER.encode(join_halves_in(msgspec.to_builtins(message, str_keys=True)))


def _raise(error: Exception) -> NoReturn:
    """Raise the `DecodeError` for a failure, without the input: `UnicodeDecodeError` keeps it as an attribute."""
    match error:
        case ValidationError():
            raise ValidationError(_without_input(str(error))) from None
        case DecodeError():
            raise error
        case UnicodeError():
            raise DecodeError("the text is not valid UTF-8") from None
        case RecursionError():
            raise ValidationError("nested too deeply") from None
        case MemoryError():
            raise ValidationError("too large") from None
        case _:
            raise ValidationError(f"invalid value ({type(error).__name__})") from None


def _without_input(message: str) -> str:
    """Return a message of msgspec without the quoted input; the path has no keys of maps."""
    for beginning in _QUOTING:
        if message.startswith(beginning):
            _, separator, path = message.rpartition(_PATH_SEPARATOR)
            return f"{beginning}{separator}{path}" if separator else beginning
    return message


def _load(text: str) -> Any:  # noqa: ANN401 - JSON of any shape
    """Return the value of a JSON text as Python reads it: strings may hold lone surrogates; raise `DecodeError`."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValidationError("nested too deeply") from None
    except ValueError:
        raise DecodeError("JSON is malformed") from None


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which are no JSON."""
    raise ValueError(name)
