"""URL of a tool call: arguments in the path, each one a single segment that cannot leave its place."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote, unquote

from trunkline_protocols.fleet import Tool
from trunkline_protocols.rules.tools import PLACEHOLDER, path_arguments

from trunkline_agents.core.tools import ArgumentsError

_SEPARATORS: Final = re.compile(r"[/\\]")
_DOTS: Final = frozenset({".", ".."})
_MAX_UNQUOTES: Final = 5


def call_url(tool: Tool, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the URL of a call and the arguments that it does not take; raise `ArgumentsError` for an unsafe one."""
    in_path = path_arguments(tool)
    texts = {name: _segment(name, arguments.get(name)) for name in in_path}
    url = PLACEHOLDER.sub(lambda match: quote(texts[match[1]], safe=""), tool.url)
    if any(_is_dots(segment) for segment in url.partition("?")[0].split("/")[3:]):
        raise ArgumentsError("the path must not contain . or ..")
    return url, {name: value for name, value in arguments.items() if name not in in_path}


def _segment(name: str, value: object) -> str:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise ArgumentsError(f"{name} must be a text or a number, because it is part of the address")
    text = str(value)
    if not text.strip():
        raise ArgumentsError(f"{name} must not be empty, because it is part of the address")
    if any(_is_dots(part) for part in _SEPARATORS.split(_fully_unquoted(text))):
        raise ArgumentsError(f"{name} must not contain . or .. as a part of a path")
    return text


def _fully_unquoted(text: str) -> str:
    for _ in range(_MAX_UNQUOTES):
        unquoted = unquote(text)
        if unquoted == text:
            break
        text = unquoted
    return text


def _is_dots(segment: str) -> bool:
    return unquote(segment).partition(";")[0].strip() in _DOTS
