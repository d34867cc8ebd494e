"""Bytes from outside are decoded in one module, and patterns end where the text ends."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.language import MEASURED, ROOT, python_files

WRAPPER: Final = ROOT / "libs/protocols/src/trunkline_protocols/decoding.py"
CODEC_MODULES: Final = ("msgspec", "msgspec.json", "msgspec.msgpack", "msgspec.toml", "msgspec.yaml", "tomllib", "json")
DECODERS: Final = {"DecodeError", "ValidationError", "Decoder", "decode", "convert", "loads", "load", "JSONDecodeError"}
"""Names of these modules that only the wrapper may use: each raises more errors than the named one."""


def foreign_decoders(source: str) -> Iterator[str]:
    """Yield the decoders and errors of libraries that a module names, however it imports them."""
    tree = ast.parse(source)
    aliases = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in DECODERS:
            owner, _, rest = ast.unparse(node.value).partition(".")
            module = ".".join(filter(None, (aliases.get(owner, owner), rest)))
            if module in CODEC_MODULES:
                yield f"{module}.{node.attr}"
        if isinstance(node, ast.ImportFrom) and node.module in CODEC_MODULES:
            yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name in DECODERS)


def open_ended(source: str) -> Iterator[str]:
    r"""Yield the patterns of fields that end with `$`, which matches before a last line break too: `\Z` does not."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        for keyword in node.keywords:
            value = keyword.value
            if keyword.arg == "pattern" and isinstance(value, ast.Constant) and "$" in str(value.value):
                yield str(value.value)
        if _is_search(node):
            pattern = ast.unparse(node.args[0]).strip("rfb\"'")
            if pattern.startswith(("^", r"\A")) and re.search(r"(?<!\\)\$$", pattern):
                yield pattern


def _is_search(call: ast.Call) -> bool:
    """Return whether a call of `re` has one pattern and no flags: with MULTILINE, `$` is the end of a line."""
    has_flags = any(keyword.arg == "flags" for keyword in call.keywords)
    if ast.unparse(call.func) == "re.compile":
        return len(call.args) == 1 and not has_flags
    return ast.unparse(call.func) in {"re.match", "re.search"} and not has_flags and len(call.args) <= 2


def _modules() -> Iterable[Path]:
    return python_files(MEASURED)


def test_only_the_wrapper_names_decoders_and_their_errors() -> None:
    """`except msgspec.DecodeError` would miss a bad byte, deep nesting and long numbers."""
    found = {
        str(file.relative_to(ROOT)): names
        for file in _modules()
        if file != WRAPPER and (names := sorted(set(foreign_decoders(file.read_text("utf-8")))))
    }
    # Programs for another interpreter, which has only the standard library.
    found.pop("services/supervisor/src/trunkline_supervisor/adapters/accounts.py", None)
    for name in ("verifier", "timestamp_verifier"):
        found.pop(f"services/audit/src/trunkline_audit/core/{name}.py", None)
    assert found == {}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import msgspec\ntry: ...\nexcept msgspec.DecodeError: ...", ["msgspec.DecodeError"]),
        ("import msgspec as m\nm.json.decode(raw)", ["msgspec.json.decode"]),
        ("import msgspec.json\nmsgspec.json.Decoder(int)", ["msgspec.json.Decoder"]),
        ("from msgspec import ValidationError, Struct", ["msgspec.ValidationError"]),
        ("from json import loads", ["json.loads"]),
        ("import tomllib\ntomllib.load(file)", ["tomllib.load"]),
        ("from trunkline_protocols import codec\ncodec.decode(raw, int)\nraw.decode()", []),
        ("import pydantic\npydantic.ValidationError", []),
    ],
)
def test_foreign_decoder_is_found(source: str, names: list[str]) -> None:
    """Under an alias and by its bare name too."""
    assert list(foreign_decoders(source)) == names


def test_patterns_end_where_the_text_ends() -> None:
    """An identifier with a line break at its end is no identifier."""
    found = {
        str(file.relative_to(ROOT)): patterns
        for file in _modules()
        if (patterns := list(open_ended(file.read_text("utf-8"))))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("source", "patterns"),
    [
        ('Meta(pattern="^[a-z]+$")', ["^[a-z]+$"]),
        ('Field(pattern=r"^(a( +|$))*")', ["^(a( +|$))*"]),
        ('re.compile(r"^[a-z]+$")', ["^[a-z]+$"]),
        ('re.match("^a$", text)', ["^a$"]),
        (r'Meta(pattern=r"^[a-z]+\Z")', []),
        ('re.compile("^a$", re.MULTILINE)', []),
        (r're.compile(r"^[$]\$")', []),
    ],
)
def test_pattern_with_an_open_end_is_found(source: str, patterns: list[str]) -> None:
    """Of msgspec, pydantic and `re`."""
    assert list(open_ended(source)) == patterns
