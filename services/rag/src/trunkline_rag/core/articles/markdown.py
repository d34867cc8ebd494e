"""Markdown files with optional YAML front matter; the body is kept verbatim."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import PurePath
from typing import Any, Final

import yaml
from markdown_it import MarkdownIt
from trunkline_protocols.knowledge import ArticleFile, ImportProblem

from trunkline_rag.core.articles.document import (
    Document,
    InvalidArticleError,
    ParsedItem,
    build_documents,
    first_repeated,
    slug,
)
from trunkline_rag.core.articles.limits import MAX_HEADER_DEPTH
from trunkline_rag.core.scope import ScopeError, read_scope

_FRONT_MATTER: Final = re.compile(r"\A\s*^---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_UNCLOSED: Final = re.compile(r"\A\s*^---[ \t]*\r?\n[A-Za-z_]+[ \t]*:", re.MULTILINE)
_MERGE_TAG: Final = "tag:yaml.org,2002:merge"
# Only the source of the first heading is needed, and inline parsing takes long for some texts.
_markdown: Final = MarkdownIt().disable(["inline", "text_join"])


def parse_markdown(file: ArticleFile) -> Iterator[ParsedItem]:
    """Parse one article; without front matter, the file name gives the id and the first heading the title."""
    try:
        yield from _documents(file)
    except (InvalidArticleError, ScopeError) as error:
        yield ImportProblem(name=file.name, reason=str(error))


def _documents(file: ArticleFile) -> list[Document]:
    fields, body = _front_matter(file.content)
    title = str(fields.get("title") or _first_heading(body) or PurePath(file.name).stem)
    return build_documents(
        id_=str(fields.get("id") or slug(PurePath(file.name).stem)),
        title=title,
        text=body,
        topics=fields.get("topics"),
        updated=str(fields.get("updated") or ""),
        scope=read_scope(fields),
    )


def _front_matter(content: str) -> tuple[dict[str, Any], str]:
    match = _FRONT_MATTER.match(content)
    if match is None:
        # Access rules fail closed: without its fields, an internal article would be public.
        if _UNCLOSED.match(content):
            raise InvalidArticleError("front matter must end with a line ---")
        return {}, content
    fields = _read_yaml(match[1])
    if fields is None:
        return {}, content[match.end() :]
    if not isinstance(fields, dict):
        raise InvalidArticleError("front matter must be a mapping")
    return fields, content[match.end() :]


def _read_yaml(text: str) -> object:
    """Read YAML; impossible dates and numbers are invalid too."""
    try:
        _check_header(text)
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


def _check_header(text: str) -> None:
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
            names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if (name := first_repeated(names)) is not None:
                raise InvalidArticleError(f"front matter has field {name!r} twice")
            if any(key.tag == _MERGE_TAG for key, _ in node.value):
                raise InvalidArticleError("front matter must not use merge keys")
            nodes += [value for _, value in node.value]


def _first_heading(body: str) -> str:
    tokens = _markdown.parse(body)
    for token, following in pairwise(tokens):
        if token.type == "heading_open":
            return following.content
    return ""
