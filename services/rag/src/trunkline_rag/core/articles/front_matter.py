"""Front matter of article files: YAML, TOML or JSON before the text.

Access rules fail closed: a header that cannot be read, or that is not in a readable place, refuses the article, which
would be public without it.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import yaml
from trunkline_protocols.decoding import DecodeError, decode_toml, read_names

from trunkline_rag.core.articles.document import InvalidArticleError, first_repeated
from trunkline_rag.core.articles.limits import MAX_HEADER_DEPTH

_START: Final = r"\A\s*^"
_YAML: Final = re.compile(_START + r"---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_TOML: Final = re.compile(_START + r"\+\+\+[ \t]*\n(.*?)^\+\+\+[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_JSON: Final = re.compile(_START + r'(?=\{\s*")', re.MULTILINE)
_UNCLOSED: Final = re.compile(
    _START + r"(?:---[ \t]*\n[A-Za-z_]+[ \t]*:|\+\+\+[ \t]*\n[A-Za-z_]+[ \t]*=)", re.MULTILINE
)
_MERGE_TAG: Final = "tag:yaml.org,2002:merge"

_DELIMITER: Final = re.compile(_START + r"(?:[-+=~*_.;]{2,}|<!--|\{)", re.MULTILINE)
_ACCESS_FIELD: Final = re.compile(
    r"""^[ \t]*["']?(visibility|valid[ _-]from|valid[ _-]until|specialties)["']?[ \t]*(?:[:=]|[ \t]internal\b)""",
    re.IGNORECASE | re.MULTILINE,
)
_HEADER_CHARACTERS: Final = 2_000
"""The part of a text that begins with a delimiter in which fields are taken for those of a header."""


def split_front_matter(content: str) -> tuple[dict[str, Any], str]:
    """Return the fields of the header, empty without a header, and the text after it.

    Raises `InvalidArticleError`.
    """
    if (match := _YAML.match(content)) is not None:
        fields, body = _read_yaml(match[1]), content[match.end() :]
        if isinstance(fields, str) and match[1].startswith("\n"):
            # Two thematic breaks around a paragraph, which a blank line separates from the first one.
            fields, body = None, content
    elif (match := _TOML.match(content)) is not None:
        fields, body = _read_toml(match[1]), content[match.end() :]
    elif (match := _JSON.match(content)) is not None:
        fields, body = _read_json(content, match.end())
    else:
        fields, body = None, content
    if fields is not None and not isinstance(fields, dict):
        raise InvalidArticleError("front matter must be a mapping")
    if fields is None:
        _refuse_other_header(body)
    return fields or {}, body


def _refuse_other_header(body: str) -> None:
    """Raise `InvalidArticleError` if a text without header begins with fields of an access rule."""
    if (match := _UNCLOSED.match(body)) is not None:
        raise InvalidArticleError(f"front matter must end with a line {match[0].lstrip()[:3]}")
    if _DELIMITER.match(body) is not None:
        start = body[:_HEADER_CHARACTERS]
    else:
        start = body.strip().partition("\n\n")[0][:_HEADER_CHARACTERS]
    if (found := _ACCESS_FIELD.search(start)) is not None:
        raise InvalidArticleError(f"{found[1]!r} is not in front matter, which begins and ends with a line ---")


def _read_yaml(text: str) -> object:
    """Read YAML; impossible dates and numbers are invalid too."""
    try:
        _check_events(text)
        loader = yaml.CSafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_keys(node)
        return loader.construct_document(node)
    except InvalidArticleError:
        raise
    except yaml.YAMLError as error:
        raise InvalidArticleError(f"front matter: {' '.join(str(error).split())}") from error
    except (ValueError, OverflowError) as error:
        raise InvalidArticleError(f"front matter: {error}") from error


def _check_events(text: str) -> None:
    """Refuse aliases, which grow exponentially, and deep nesting, which exhausts the stack of the parser."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise InvalidArticleError("front matter must not use aliases")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_HEADER_DEPTH:
            raise InvalidArticleError(f"front matter is nested more than {MAX_HEADER_DEPTH} deep")


def _check_keys(root: yaml.Node) -> None:
    """Refuse a key that is given twice, of which YAML keeps the last, and merge keys, which add fields to a mapping.

    Access rules fail closed: a second `visibility: public` would undo `internal`.
    """
    nodes = [root]
    while nodes:
        node = nodes.pop()
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        elif isinstance(node, yaml.MappingNode):
            _refuse_repeated([key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)])
            if any(key.tag == _MERGE_TAG for key, _ in node.value):
                raise InvalidArticleError("front matter must not use merge keys")
            nodes += [value for _, value in node.value]


def _refuse_repeated(names: list[str]) -> None:
    if (name := first_repeated(names)) is not None:
        raise InvalidArticleError(f"front matter has field {name!r} twice")


def _read_toml(text: str) -> dict[str, Any]:
    """Read TOML, which refuses repeated fields itself."""
    try:
        return decode_toml(text, dict)
    except DecodeError as error:
        raise InvalidArticleError(f"front matter: {error}") from error


def _read_json(content: str, start: int) -> tuple[dict[str, Any], str]:
    """Read the JSON object at a position; return it and the text after it."""
    try:
        fields, end = json.JSONDecoder().raw_decode(content, start)
        names = read_names(content[start:end])
    except (ValueError, RecursionError, DecodeError) as error:
        raise InvalidArticleError(f"front matter: {type(error).__name__}") from error
    _refuse_repeated(names)
    return fields, content[end:].lstrip()
