"""Decoding of article files: byte order marks, declared encodings of HTML, and UTF-8 for everything else."""

from __future__ import annotations

import codecs
import re
from typing import Final

from trunkline_rag.core.articles.document import InvalidArticleError

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""UTF-32 before UTF-16, whose mark it begins with."""

_INVISIBLE: Final = "\ufeff\u200b\u2060"
"""Byte order mark, zero width space and word joiner."""

_DECLARATION_BYTES: Final = 1_024
"""Browsers search as far for a declaration."""

_DECLARATION: Final = re.compile(
    rb"""<meta\s[^>]*?charset\s*=\s*["']?\s*([\w.:-]+)|\A\s*<\?xml\s[^>]*?encoding\s*=\s*["']([\w.:-]+)""",
    re.IGNORECASE,
)
_PAGE_ENCODINGS: Final = re.compile(
    r"utf-8|cp125\d|cp874|cp866|cp932|cp949|iso8859-\d+|koi8-[rtu]|mac-(?:roman|cyrillic)|gb18030|big5hkscs|euc_(?:jp|kr)"
)
"""Encodings that a page may declare; Python's names of them."""

_AS_BROWSERS_DO: Final = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "utf-16": "utf-8",
    "utf-16-le": "utf-8",
    "utf-16-be": "utf-8",
}
"""Declared encodings that are read as another one: https://encoding.spec.whatwg.org/#names-and-labels."""


def decode_file(data: bytes) -> str:
    """Decode UTF-8, or the encoding of the byte order mark; raise `InvalidArticleError` with the line of a bad byte."""
    encoding, content = _marked(data)
    return _decode(content, encoding or "utf-8")


def decode_page(data: bytes) -> str:
    """Decode HTML: by byte order mark, declaration, else UTF-8 if it is valid, else windows-1252 like browsers.

    Raises `InvalidArticleError`.
    """
    encoding, content = _marked(data)
    if not encoding and (declared := _DECLARATION.search(data[:_DECLARATION_BYTES])) is not None:
        encoding = _known(declared[1] or declared[2])
    if encoding:
        return _decode(content, encoding)
    try:
        return content.decode()
    except UnicodeDecodeError:
        return _decode(content, "cp1252")


def normalise(text: str) -> str:
    """Remove byte order marks and the like at the start, and make every line end a line feed.

    They would hide the front matter, and with it the visibility.
    """
    return text.lstrip(_INVISIBLE).replace("\r\n", "\n").replace("\r", "\n")


def _marked(data: bytes) -> tuple[str, bytes]:
    """Return the encoding of the byte order mark, empty without a mark, and the bytes after it."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding, data[len(mark) :]
    return "", data


def _known(label: bytes) -> str:
    """Return the Python name of a declared encoding; raise `InvalidArticleError` if a page must not use it."""
    try:
        name = codecs.lookup(label.decode("ascii", "replace")).name
    except (LookupError, ValueError):
        name = ""
    name = _AS_BROWSERS_DO.get(name, name)
    if _PAGE_ENCODINGS.fullmatch(name) is None:
        raise InvalidArticleError(f"encoding {label[:40].decode('ascii', 'replace')!r} is not supported")
    return name


def _decode(content: bytes, encoding: str) -> str:
    try:
        # Browsers decode the five bytes that windows-1252 leaves open as control characters.
        return content.decode(encoding, "replace" if encoding == "cp1252" else "strict")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        reason = f"byte 0x{content[error.start]:02x} in line {line} is not {encoding.upper()}"
        raise InvalidArticleError(f"{reason}; save the file as UTF-8") from error
