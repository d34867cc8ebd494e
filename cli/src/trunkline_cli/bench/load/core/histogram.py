"""Histogram of durations with three significant digits, in the layout and text form of HdrHistogram.

The Python package of that name needs setuptools at run time and has no wheel for ARM servers. The text form (version 2,
compressed) can be read by every tool of HdrHistogram.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from math import ceil
from typing import Final, Self

_HALF_BITS: Final = 10
_HALF: Final = 1 << _HALF_BITS
"""Values up to 2,048 are exact; above, each doubling of the value has 1,024 steps."""
_SIGNIFICANT_DIGITS: Final = 3
_LOWEST_US: Final = 1
MAX_US: Final = 3_600_000_000
"""An hour; longer durations count as an hour."""
_COOKIE: Final = 0x1C849303 | 0x10
_COMPRESSED_COOKIE: Final = 0x1C849304 | 0x10
_HEADER: Final = struct.Struct(">iiiiqqd")
_COMPRESSED_HEADER: Final = struct.Struct(">ii")
_MAX_ENCODED_BYTES: Final = 1 << 20
_US_PER_MS: Final = 1_000.0


class HistogramError(ValueError):
    """A text that is not a histogram of this kind."""


class Histogram:
    """Counts of durations; two histograms add up exactly."""

    def __init__(self) -> None:
        """Create an empty histogram."""
        self._counts: dict[int, int] = {}
        self.count = 0
        self.max_ms = 0.0
        """The longest duration, exactly."""

    @classmethod
    def of(cls, values_ms: Iterable[float]) -> Self:
        """Return the histogram of some durations in milliseconds."""
        histogram = cls()
        for value in values_ms:
            histogram.record(value)
        return histogram

    def record(self, value_ms: float) -> None:
        """Count a duration in milliseconds; a negative one counts as 0."""
        index = _index_of(min(MAX_US, max(0, round(value_ms * _US_PER_MS))))
        self._counts[index] = self._counts.get(index, 0) + 1
        self.count += 1
        self.max_ms = max(self.max_ms, value_ms)

    def add(self, other: Histogram) -> None:
        """Add the counts of another histogram."""
        for index, count in other._counts.items():
            self._counts[index] = self._counts.get(index, 0) + count
        self.count += other.count
        self.max_ms = max(self.max_ms, other.max_ms)

    def percentile_ms(self, percent: float) -> float:
        """Return the nearest-rank percentile (0 to 100), within 0.1 % and never over the maximum; 0 if empty."""
        rank = max(1, ceil(round(self.count * percent / 100, 6)))
        seen = 0
        for index in sorted(self._counts):
            seen += self._counts[index]
            if seen >= rank:
                return min(_highest_us(index) / _US_PER_MS, self.max_ms)
        return self.max_ms

    def cumulative(self) -> Iterator[tuple[float, float]]:
        """Yield each recorded duration in milliseconds, ascending, with the share (0 to 1) of values up to it."""
        seen = 0
        for index in sorted(self._counts):
            seen += self._counts[index]
            yield min(_highest_us(index) / _US_PER_MS, self.max_ms), seen / self.count

    def encode(self) -> str:
        """Return the counts as text: version 2 of HdrHistogram, compressed, base64."""
        payload = bytes(_encode_counts(self._counts))
        header = _HEADER.pack(_COOKIE, len(payload), 0, _SIGNIFICANT_DIGITS, _LOWEST_US, MAX_US, 1.0)
        packed = zlib.compress(header + payload)
        return base64.b64encode(_COMPRESSED_HEADER.pack(_COMPRESSED_COOKIE, len(packed)) + packed).decode()

    @classmethod
    def decode(cls, text: str, max_ms: float | None = None) -> Self:
        """Read a histogram; the text has the maximum within 0.1 % only, so it may be given.

        Raises:
            HistogramError: if the text is not a histogram of three digits from 1 µs to an hour.

        """
        histogram = cls()
        histogram._counts = dict(_decode_counts(_payload_of(text)))
        histogram.count = sum(histogram._counts.values())
        if histogram._counts:
            highest_ms = _highest_us(max(histogram._counts)) / _US_PER_MS
            histogram.max_ms = highest_ms if max_ms is None else max_ms
        return histogram

    def __eq__(self, other: object) -> bool:
        """Compare counts and maximum."""
        return isinstance(other, Histogram) and self._counts == other._counts and self.max_ms == other.max_ms

    __hash__ = None  # type: ignore[assignment] # it is mutable


def _index_of(value_us: int) -> int:
    """Return the position of a value: exact up to 2,047 µs, then 1,024 positions per doubling."""
    bucket = max(0, value_us.bit_length() - _HALF_BITS - 1)
    return bucket * _HALF + (value_us >> bucket)


def _highest_us(index: int) -> int:
    """Return the highest value that is counted at a position."""
    bucket = max(0, (index >> _HALF_BITS) - 1)
    return ((index - bucket * _HALF + 1) << bucket) - 1


def _encode_counts(counts: Mapping[int, int]) -> Iterator[int]:
    """Yield the bytes of ZigZag LEB128 numbers: counts by position, a negative number for a run of zeros."""
    expected = 0
    for index in sorted(counts):
        if zeros := index - expected:
            yield from _leb128(-zeros if zeros > 1 else 0)
        yield from _leb128(counts[index])
        expected = index + 1


def _leb128(number: int) -> Iterator[int]:
    value = number << 1 if number >= 0 else ((-number) << 1) - 1
    while value >= 0x80:  # noqa: PLR2004 - seven bits per byte
        yield value & 0x7F | 0x80
        value >>= 7
    yield value


def _payload_of(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
        cookie, length = _COMPRESSED_HEADER.unpack_from(raw)
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(raw[_COMPRESSED_HEADER.size : _COMPRESSED_HEADER.size + length], _MAX_ENCODED_BYTES)
        inner, size, _, digits, lowest, highest, _ = _HEADER.unpack_from(data)
    except (binascii.Error, struct.error, zlib.error, ValueError) as error:
        raise HistogramError(f"not a histogram: {error}") from error
    if (cookie, inner) != (_COMPRESSED_COOKIE, _COOKIE):
        raise HistogramError("not a histogram of version 2")
    if (digits, lowest, highest) != (_SIGNIFICANT_DIGITS, _LOWEST_US, MAX_US):
        raise HistogramError(f"a histogram of {digits} digits from {lowest} to {highest}, not of 3 from 1 to {MAX_US}")
    payload = data[_HEADER.size :]
    if len(payload) != size or not unpacker.eof or len(raw) != _COMPRESSED_HEADER.size + length:
        raise HistogramError(f"incomplete: {len(payload)} bytes of counts of {size}")
    return payload


def _decode_counts(payload: bytes) -> Iterator[tuple[int, int]]:
    index = value = shift = 0
    for byte in payload:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte & 0x80:
            continue
        if value & 1:
            index += (value + 1) >> 1
        else:
            if value:
                yield index, value >> 1
            index += 1
        value = shift = 0
        if index > _MAX_INDEX + 1:
            raise HistogramError("a count beyond an hour")
    if shift:
        raise HistogramError("the last count is incomplete")


_MAX_INDEX: Final = _index_of(MAX_US)
